"""The table says which checkpoint each rule chooses, and what choosing otherwise adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import confirmation
import pytest
from clones import clone


def row(seed: int, steps: int, mean: float, confirmed: float, distances: list[float]) -> dict[str, Any]:
    return {
        "seed": seed,
        "timesteps_total": steps,
        "episode_reward_mean": mean,
        "confirmed": {"rewards": [confirmed - 1, confirmed + 1], "survived": 2},
        "drives": {
            "survived": [distance > 20 for distance in distances],
            "distance_m": distances,
            "lateral_mean_m": [0.02, None, 0.04],
        },
    }


ROWS = [
    row(1, 100, mean=500, confirmed=610, distances=[30.0, 31.0, 32.0]),
    row(1, 200, mean=510, confirmed=600, distances=[30.0, 10.0, 32.0]),
    row(1, 300, mean=490, confirmed=590, distances=[31.0, 31.0, 33.0]),
    row(2, 100, mean=500, confirmed=600, distances=[29.0, 29.0, 29.0]),
    row(2, 200, mean=400, confirmed=500, distances=[29.0, 28.0, 29.0]),
]


def test_each_rule_chooses_its_checkpoint() -> None:
    steps = {name: found["timesteps_total"] for name, found in confirmation.chosen(ROWS[:3]).items()}
    assert steps == {"the mean": 200, "confirmation": 100, "the best kept": 300, "the worst kept": 200}


def test_seeds_are_the_unit_of_what_confirmation_adds() -> None:
    assert confirmation.gains(ROWS) == [7.0, 0.0]
    text = confirmation.table(ROWS)
    assert "instead of by the mean: +3.50 [-40.97, +47.97] m a drive, over seeds [95 %]." in text
    lines = [line for line in text.splitlines() if line.startswith(("| 1 ", "| 2 "))]
    assert len(lines) == 8
    assert lines[0].startswith("| 1 | the mean of 3 | 200 | 510.0 | 600.0 | 2 of 3 | 24.00 [")
    assert lines[0].endswith("| 3.0 |")
    assert "| 29.00 |" in lines[4]  # all the same: no interval


@pytest.mark.full
def test_kept_checkpoints_of_a_real_training_are_driven(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    project.type("python benchmarks/confirmation.py --seeds 2 --kept 2")
    report = project.json("benchmarks/results/confirmation.json")
    assert [trial["seed"] for trial in report["trials"]] == [1, 1, 2, 2]
    assert len({trial["weights_sha256"] for trial in report["trials"]}) == 4
    assert len(report["trials"][0]["drives"]["distance_m"]) == 4
    assert not any((project.root / "runs" / "train").iterdir())
