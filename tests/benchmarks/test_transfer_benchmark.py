from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.policy import save_policy

# the whole script runs
pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).resolve().parents[2]


def test_both_simulators_score_both_drivers(make_policy, settings, tmp_path):
    policy = make_policy(settings)
    save_policy(tmp_path / "checkpoint", policy.spec, policy.network)
    command = [sys.executable, "benchmarks/transfer.py", "--episodes=1", "--seconds=1"]
    where = [f"--checkpoint={tmp_path / 'checkpoint'}", f"--output={tmp_path}"]
    subprocess.run([*command, *where], cwd=REPOSITORY, check=True)
    drivers = json.loads((tmp_path / "transfer.json").read_text())["drivers"]
    assert set(drivers) == {"trained", "proportional"}
    controller = drivers["proportional"]
    assert controller["gym-duckietown"]["distance_m"] > 0.2
    assert controller["off_by"]["distance_m"] == pytest.approx(0, abs=1e-6)
    assert f"{controller['batched']['distance_m']:.3f}" in (tmp_path / "transfer.md").read_text()
