"""The scores of a recipe: those of each seed's model, and how far seeds differ."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ducklane.evaluation.scores.intervals import interval_over_seeds
from ducklane.evaluation.scores.summary import Scores
from ducklane.policy import Provenance

SCORES = ("survived_share", "distance_m", "lateral_mean_m", "in_lane_share")
"""Of a seed's drives: the share that reaches the time limit, the medians of metres and of metres from the
lane's centre, and the mean share of the time in the lane."""


@dataclass(frozen=True)
class SeedScores:
    """How the model of one seed drives."""

    origin: Provenance
    """of the model"""
    drives: Sequence[Scores]
    """from the fixed starts in gym-duckietown"""
    laps: Sequence[Scores]
    """of the long drives in the batched simulator"""

    @property
    def seed(self) -> int:
        """The seed of its training run."""
        return self.origin.seed

    def scores(self) -> dict[str, float | None]:
        """SCORES of the drives, and of the long drives under the prefix `laps_`; None if never in a lane."""
        long = {f"laps_{name}": value for name, value in _scores(self.laps).items()}
        return {**_scores(self.drives), **long}


def _scores(drives: Sequence[Scores]) -> dict[str, float | None]:
    laterals = [drive.lateral_mean_m for drive in drives if drive.lateral_mean_m is not None]
    values = (
        fmean(drive.survived for drive in drives),
        median(drive.distance_m for drive in drives),
        median(laterals) if laterals else None,
        fmean(drive.in_lane_share for drive in drives),
    )
    return dict(zip(SCORES, values, strict=True))


def over_seeds(seeds: Sequence[SeedScores]) -> dict[str, Any]:
    """Each score's `median` over the seeds with the bounds `low` and `high` of its 95 % interval.

    Returns:
        `count` of the seeds; and for each of `SeedScores.scores` these three. The bounds are None for a
        single seed, all three where a model was never in a lane.
    """
    rows = [seed.scores() for seed in seeds]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {"count": len(rows), **{name: _over(name, values) for name, values in columns.items()}}


def _over(name: str, values: Sequence[float | None]) -> Mapping[str, float | None]:
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        return {"median": None, "low": None, "high": None}
    found = interval_over_seeds(present)
    # no score is negative, and no share above 1
    most = 1.0 if name.endswith("_share") else math.inf
    return {part: value and min(max(value, 0.0), most) for part, value in found.items()}


def write_seeds(path: Path, seeds: Sequence[SeedScores]) -> None:
    """Write the scores as CSV, one row per seed, the best model first."""
    with path.open("w", newline="") as file:
        rows = [dict(_row(number, seed)) for number, seed in enumerate(seeds)]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _row(number: int, seed: SeedScores) -> Iterator[tuple[str, object]]:
    origin = seed.origin
    yield "seed", seed.seed
    yield "best", number == 0
    yield "model_sha256", origin.weights_sha256
    yield "mlflow_run_id", origin.trial_run_id or origin.mlflow_run_id
    yield from seed.scores().items()
