from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

# the whole script runs
pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).resolve().parents[2]
PROMISED = {
    "sampling_vs_bare",
    "learning_vs_bare",
    "learning_vs_bare_busy",
    "end_to_end_vs_stock",
    "minutes_for_2M_steps",
}


def test_every_arm_trains_and_the_headline_follows_from_them(tmp_path):
    command = [sys.executable, "benchmarks/training.py", "--rounds=1", f"--output={tmp_path}"]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("1/1")) <= 80
    report = json.loads((tmp_path / "training.json").read_text())
    arms = report["arms"]
    bare, ours, _, stock, *_ = arms.values()
    busy_bare, busy_ours = (arms[f"{name} (busy)"] for name in list(arms)[:2])
    for arm in arms.values():
        assert all(math.isfinite(figure) and figure > 0 for figure in arm.values())
        assert arm["sampling_share"] + arm["learning_share"] <= 1.001
    assert stock["sampling_share"] > 0.5 > ours["sampling_share"]
    headline = report["headline"]
    assert headline.keys() == PROMISED
    for name, rate in (("sampling_vs_bare", "sampling_steps_per_s"), ("learning_vs_bare", "updates_per_s")):
        assert math.isclose(headline[name], ours[rate] / bare[rate], rel_tol=0.01)
    busy_ratio = busy_ours["updates_per_s"] / busy_bare["updates_per_s"]
    assert math.isclose(headline["learning_vs_bare_busy"], busy_ratio, rel_tol=0.01)
    assert f"{ours['updates_per_s']:,.0f}" in (tmp_path / "training.md").read_text()
