from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# the whole script runs
pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["--quick", "--no-first-calls", "--rounds=2", "--seconds=0.05", "--poses=2", "--map=loop_empty"]
TARGETED = {
    "ratio_vs_stock",
    "ratio_vs_stock_fastest",
    "objects_cost",
    "udem1_cost",
    "domain_rand_cost",
    "default_observation_cost",
    "psnr_mean_db",
    "psnr_worst_db",
    "ssim_mean",
}


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """The results of a tiny run; its figures mean nothing."""
    folder = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, "benchmarks/simulator.py", *TINY, "--output", str(folder)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    return folder


@pytest.fixture(scope="module")
def report(output) -> dict[str, Any]:
    return json.loads((output / "simulator.json").read_text())


def test_headline_has_every_figure_with_a_target(report):
    assert set(report["headline"]) == TARGETED
    assert all(math.isfinite(value) and value > 0 for value in report["headline"].values())


def test_each_arm_runs_in_each_round(report):
    assert {len(speed["rounds"]) for speed in report["steps_per_s"].values()} == {report["rounds"]}


def test_parts_of_a_step_add_up(report):
    (parts,) = report["us_per_frame"].values()
    whole = parts.pop("a step in all")
    parts.pop("floor: a copy of the frame")
    assert sum(parts.values()) == pytest.approx(whole, abs=0.1)


def test_machine_is_named_without_host_or_paths(report):
    assert set(report["machine"]) == {"cpu", "cores", "python", "numpy", "numba", "git_commit"}


def test_table_and_picture_are_written(output):
    assert "84x84 loop_empty" in (output / "simulator.md").read_text()
    assert (output / "parity_worst.png").stat().st_size > 1000
