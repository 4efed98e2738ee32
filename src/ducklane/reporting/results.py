"""Reads the files that the stages wrote."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ducklane.errors import UserError
from ducklane.project.outputs import CHECKPOINT, RESULTS

TRAINED, EVALUATED = RESULTS / "train", RESULTS / "evaluate"
SUMMARY = TRAINED / "summary.json"
CURVES = TRAINED / "curves.csv"
TRIALS = TRAINED / "trials.csv"
SCORES = EVALUATED / "scores.json"
SEEDS = EVALUATED / "seeds.csv"
LAPS = EVALUATED / "laps.csv"
TILES = EVALUATED / "tiles.csv"
FILM = EVALUATED / "drive.mp4"
TRAJECTORIES = EVALUATED / "trajectories.png"
BASELINES = RESULTS / "baselines/scores.json"
EXPORT_CHECK = RESULTS / "export/check.json"
POLICY = CHECKPOINT / "policy.json"

CONTROLLER = "proportional"
"""The baseline that knows the true lane position; the only one that makes the long drives."""

LONG = "laps_"
"""What the names of the scores of the long drives begin with."""

Row = Mapping[str, str]
Values = Mapping[str, float | None]
"""Scores by the names of `seeds.csv`."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of one seed."""

    seed: str
    points: Sequence[tuple[float, float]]
    """(environment steps, episode_reward_mean), without iterations in which no episode had ended"""


@dataclass(frozen=True)
class Seed:
    """A trained seed, and how it drives."""

    seed: str
    best: bool
    """whether it is the model in models/checkpoint"""
    values: Values


@dataclass(frozen=True)
class Scored:
    """A trained model, and how it drives."""

    policy: Mapping[str, Any]
    """policy.json: what the network takes and gives, and its provenance"""
    scores: Mapping[str, Any]
    """scores.json, of the best model; empty if that has not been scored yet"""
    seeds: Sequence[Seed]
    """all that were scored, and the best one in any case"""

    @property
    def origin(self) -> Mapping[str, Any]:
        """The provenance of the best model."""
        return self.policy["provenance"]

    @property
    def best(self) -> Seed:
        """The seed whose model is in models/checkpoint."""
        return next(seed for seed in self.seeds if seed.best)

    @property
    def laps(self) -> Mapping[str, Any]:
        """Driver -> the summary of its long drives; empty without any."""
        return self.scores.get("laps", {})


@dataclass(frozen=True)
class Results(Scored):
    """What one experiment left in `models` and `results`."""

    summary: Mapping[str, Any]
    """of the training"""
    baselines: Mapping[str, Any]
    """policy -> its summary and gate, from the same starts"""
    curves: Sequence[Curve]
    """of the seeds"""
    tiles: Sequence[Row]
    """where drives ended, and how far off the lane's centre they were"""
    exported: Mapping[str, Any]
    """check.json of the ONNX file"""


def read_scored() -> Scored:
    """Read the model's description and its scores; those of another model do not count.

    Raises:
        UserError: a file is missing or damaged.
    """
    policy, scores = read_json(POLICY, "train"), read_json(SCORES, "evaluate")
    if scores.get("model_sha256") != policy["provenance"]["weights_sha256"]:
        return Scored(policy, {}, [Seed(str(policy["provenance"]["seed"]), True, {})])
    return Scored(policy, scores, _seeds())


def read_results() -> Results:
    """Read the results of all stages before the report.

    Raises:
        UserError: a file is missing or damaged, or the scores are another model's.
    """
    scored = read_scored()
    if not scored.scores:
        raise UserError(f"{SCORES}: is of another model; run `dvc repro evaluate` first")
    return Results(
        **vars(scored),
        summary=read_json(SUMMARY, "train"),
        baselines=read_json(BASELINES, "baselines"),
        curves=_curves(),
        tiles=read_csv(TILES, "evaluate"),
        exported=read_json(EXPORT_CHECK, "export"),
    )


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """The content of a stage's JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise _unusable(path, stage) from None
    return content


def read_csv(path: Path, stage: str) -> list[dict[str, str]]:
    """The rows of a stage's CSV file.

    Raises:
        UserError: it is missing or empty.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (FileNotFoundError, ValueError):
        raise _unusable(path, stage) from None
    if not rows:
        raise _unusable(path, stage)
    return rows


def _unusable(path: Path, stage: str) -> UserError:
    return UserError(f"{path}: is missing or damaged; run `dvc repro {stage}` first")


def _seeds() -> list[Seed]:
    """The seeds that were scored."""
    rows = read_csv(SEEDS, "evaluate")
    names = [name for name in rows[0] if name not in ("seed", "best", "model_sha256", "mlflow_run_id")]
    return [
        Seed(row["seed"], row["best"] == "True", {name: number(row[name]) for name in names})
        for row in sorted(rows, key=lambda row: int(row["seed"]))
    ]


def values_of(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores of one model by the names of `seeds.csv`; None for those that it does not have.

    Args:
        scores: content of a scores.json.
    """
    readable, gate = scores["readable"], scores["gate"]
    return {
        "survived_share": scores["survived"] / scores["episodes"],
        "distance_m": readable["distance_m"],
        "lateral_mean_m": readable["lateral_mean_m"],
        "in_lane_share": gate["in_lane_share"],
        **_long(scores.get("laps", {}).get("trained")),
    }


def controllers_values(scored: Scored) -> dict[str, float | None]:
    """The controller's scores in the long drives, by the names of `seeds.csv`."""
    values = _long(scored.laps.get(CONTROLLER))
    rows = [row for row in read_csv(LAPS, "evaluate") if row["policy"] == CONTROLLER]
    laterals = list(_numbers(row["lateral_mean_m"] for row in rows))
    values[f"{LONG}lateral_mean_m"] = median(laterals) if laterals else None
    values[f"{LONG}in_lane_share"] = fmean(_numbers(row["in_lane_share"] for row in rows))
    return values


def _long(laps: Mapping[str, Any] | None) -> dict[str, float | None]:
    if laps is None:
        return {}
    return {
        f"{LONG}survived_share": laps["survived"] / laps["episodes"],
        f"{LONG}distance_m": laps["official"]["driven_lanedir_consec"]["median"],
    }


def _curves() -> list[Curve]:
    """Those of the scored seeds."""
    rows = read_csv(CURVES, "train")
    trials = _scored_trials() or {row["trial"] for row in rows}
    numbered = {row["trial"]: row["seed"] for row in rows if row["trial"] in trials}
    return [
        Curve(seed, _points(row for row in rows if row["trial"] == trial)) for trial, seed in numbered.items()
    ]


def _scored_trials() -> set[str]:
    """The numbers of the trials whose models were scored: a search trains others, too."""
    scored = {row["mlflow_run_id"] for row in read_csv(SEEDS, "evaluate")}
    return {row["trial"] for row in read_csv(TRIALS, "train") if row["mlflow_run_id"] in scored}


def _points(rows: Iterable[Row]) -> list[tuple[float, float]]:
    points = ((number(row["timesteps_total"]), number(row["episode_reward_mean"])) for row in rows)
    return [(steps, reward) for steps, reward in points if steps is not None and reward is not None]


def _numbers(texts: Iterable[str]) -> Iterable[float]:
    return (value for text in texts if (value := number(text)) is not None)


def number(text: str) -> float | None:
    """A number in a CSV file; None for an empty cell and for NaN."""
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None
