"""The table of tiles accounts for every step and every failure."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ducklane.baselines import ConstantPolicy, ProportionalController
from ducklane.evaluation.evaluator import Evaluator
from ducklane.evaluation.scores.tiles import tile_rows, write_tiles
from ducklane.settings import Settings


def test_every_step_and_every_failure_lies_on_a_tile(
    changed: Callable[..., Settings], tmp_path: Path
) -> None:
    with Evaluator(changed(evaluate={"episodes": 6, "max_seconds": 6.0})) as evaluator:
        driven = {
            "straight": evaluator.evaluate(ConstantPolicy("straight", 1, 1)),
            "controller": evaluator.evaluate(ProportionalController()),
        }
        rows = {
            name: tile_rows(evaluator.simulator, drives.episodes, drives.laterals_m)
            for name, drives in driven.items()
        }
    for name, drives in driven.items():
        assert sum(int(str(row["failures"])) for row in rows[name]) == sum(
            not episode.survived for episode in drives.episodes
        )
        seconds = sum(float(str(row["seconds"])) for row in rows[name])
        assert seconds == pytest.approx(sum(score.survival_s for score in drives.scores), abs=0.05)
    assert int(str(rows["straight"][0]["failures"])) >= int(str(rows["straight"][-1]["failures"])) == 0
    # the mean over the tiles is that of the scores
    weighed = [
        (float(str(row["seconds"])) * float(str(row["in_lane_share"])), float(str(row["lateral_mean_m"])))
        for row in rows["controller"]
        if row["lateral_mean_m"] != ""
    ]
    in_lane, laterals = np.array(weighed).T
    scores = driven["controller"].scores
    times = [score.survival_s * score.in_lane_share for score in scores]
    expected = np.average([score.lateral_mean_m or 0 for score in scores], weights=times)
    assert np.average(laterals, weights=in_lane) == pytest.approx(expected, abs=2e-4)
    write_tiles(tmp_path / "tiles.csv", rows)
    with (tmp_path / "tiles.csv").open() as file:
        written = list(csv.DictReader(file))
    assert len(written) == len(rows["straight"]) + len(rows["controller"])
    assert len({row["tile"] for row in written}) == len(rows["straight"])
