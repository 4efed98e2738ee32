"""The scored drives of a recipe, pooled over its seeds."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ducklane import settings
from ducklane.comparing.sources import PARAMS, SCORES, ComparisonError, Source, find
from ducklane.comparing.statistics import Floats, Ints
from ducklane.project.recipe import flatten

SIMULATORS = {"gym-duckietown": "evaluate/episodes.csv", "long drives": "evaluate/laps.csv"}
"""Where seeds drove -> file with the drives; the long drives are in the batched simulator."""

SEEDS = "evaluate/seeds.csv"
TRIALS = "train/trials.csv"

SCORED = ("survived", "distance_m", "lateral_mean_m", "in_lane_share")
"""Columns that are compared: yes or no, metres, metres, share of the time."""

START = ("start_x_m", "start_z_m", "start_angle_rad")
SHORT = 12

Row = Mapping[str, str]


@dataclass(frozen=True)
class Drives:
    """One seed's drives in one simulator."""

    starts: Floats
    """(drives, 3) of x and z in metres and the angle in radians"""
    scores: Mapping[str, Floats]
    """one of SCORED -> (drives,), NaN where a drive has none"""
    loops_m: Floats
    """(drives,) length of the loop that the drive was on, NaN where there is none"""


@dataclass(frozen=True)
class Seed:
    """One scored seed."""

    seed: str
    model: str
    """SHA-256 of its weights"""
    drives: Mapping[str, Drives]
    """one of SIMULATORS -> its drives"""


@dataclass(frozen=True)
class Scored:
    """A recipe with its scored seeds."""

    name: str
    task: Mapping[str, object]
    """all that must be equal for scores to compare: `section.key` -> value"""
    recipe: str
    """digest of its settings without the seed"""
    code: str
    """digest of the code that trained it"""
    settings: Mapping[str, object]
    """`section.key` -> value"""
    commit: str | None
    seeds: Sequence[Seed]
    left_out: int = 0
    """runs of the recipe without scores"""


def load(name: str) -> Scored:
    """The seeds that a name stands for.

    Args:
        name: as for `sources.find`, or several of these joined by commas, whose seeds are pooled.

    Raises:
        ComparisonError: there is nothing of that name, nothing was scored in it, or its parts do not belong
            together.
    """
    parts = [find(part.strip()) for part in name.split(",") if part.strip()]
    if not parts:
        raise ComparisonError("a name to compare is empty; give an experiment, a commit, a run or a recipe")
    pooled, *others = [_read(source) for part in parts for source in part.sources]
    for other in others:
        _check_recipes(pooled, other)
        check_task(pooled, other)
    seeds = {(seed.seed, seed.model): seed for scored in (pooled, *others) for seed in scored.seeds}
    return Scored(
        name,
        pooled.task,
        pooled.recipe,
        pooled.code,
        pooled.settings,
        pooled.commit,
        sorted(seeds.values(), key=lambda seed: (len(seed.seed), seed.seed)),
        sum(part.left_out for part in parts),
    )


def _check_recipes(one: Scored, other: Scored) -> None:
    """Refuse to pool seeds that were not trained alike."""
    pair = f"{one.name} and {other.name}"
    if one.recipe != other.recipe:
        changed = [key for key, _ in differing(one.settings, other.settings) if key != "simulator.seed"]
        named = f" ({', '.join(changed)})" if 0 < len(changed) <= 3 else ""
        raise ComparisonError(f"{pair}: have different recipes{named}; compare them instead of pooling them")
    if one.code != other.code:
        raise ComparisonError(
            f"{pair}: one recipe, trained with different code; compare these two, or join with commas the "
            "runs that were trained with the same code"
        )


def check_task(one: Scored, other: Scored) -> None:
    """Refuse scores that do not compare.

    Raises:
        ComparisonError: they are of different tasks, or drives began elsewhere.
    """
    changed = list(differing(one.task, other.task))
    if changed:
        key, (a, b) = changed[0]
        more = f" ({len(changed) - 1} more differ)" if len(changed) > 1 else ""
        cure = f"with {other.name} in the working tree, dvc exp run -S {key}={_short(a)} scores it alike"
        if "." not in key:
            cure = f"score both on the same {key}"
        raise ComparisonError(
            f"task: {key} is {_short(a)} in {one.name}, {_short(b)} in {other.name}{more}; {cure}"
        )
    for simulator in SIMULATORS:
        a, b = (scored.seeds[0].drives[simulator].starts for scored in (one, other))
        if not _same_starts(a, b):
            raise ComparisonError(
                f"starts: {one.name} and {other.name} drove from different ones ({simulator}); "
                "score both with the same version: dvc repro evaluate"
            )


def differing(
    one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[tuple[str, tuple[object, object]]]:
    """The keys whose values differ, in order, and both values."""
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield key, (one.get(key), other.get(key))


def lanes(drives: Iterable[Drives]) -> list[Ints]:
    """The starts on each lane, as indices: a lane is known by the length of its loop.

    Drives from the same start may end up on different loops, so most of them decide.
    """
    loops = np.stack([each.loops_m for each in drives])
    by_length: dict[float | None, list[int]] = {}
    for start, lengths in enumerate(loops.T.round(3)):
        known = Counter(lengths[np.isfinite(lengths)].tolist()).most_common(1)
        by_length.setdefault(known[0][0] if known else None, []).append(start)
    return [np.array(starts) for starts in by_length.values()]


def _same_starts(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=1e-5))


def _short(value: object) -> object:
    return value[:SHORT] if isinstance(value, str) and len(value) == 64 else value


def _read(source: Source) -> Scored:
    scores = json.loads(source.read(SCORES) or "{}")
    if not scores or not _of_this_training_run(source, scores):
        raise ComparisonError(f"{source.name}: nothing was scored in it; dvc repro evaluate")
    try:
        task, recipe = scores["task"], scores["recipe"]
        rows = _rows(source, SEEDS)
        if not rows:
            raise KeyError(SEEDS)
        seeds = [_seed(source, row) for row in rows if source.trial in (None, row["mlflow_run_id"])]
        if not seeds:
            cure = "only trials with the best trial's recipe are scored"
            raise ComparisonError(f"{source.name}: nothing was scored in it; {cure}")
        _check_starts(seeds)
        origin = _settings(source, source.trial or rows[0]["mlflow_run_id"])
        return Scored(source.name, task, recipe["digest"], recipe["code"], origin, source.commit, seeds)
    except (KeyError, ValueError) as error:
        lacking = f"no {error.args[0]}" if isinstance(error, KeyError) else error
        raise ComparisonError(
            f"{source.name}: was scored by another version of this project ({lacking}); dvc repro evaluate"
        ) from None


def _of_this_training_run(source: Source, scores: Mapping[str, Any]) -> bool:
    """Whether scores are of the training run beside them, and not of the one before (`dvc exp run train`)."""
    run_id = json.loads(source.read("train/summary.json") or "{}").get("mlflow", {}).get("run_id")
    if run_id is None or scores.get("mlflow", {}).get("run_id") == run_id:
        return True
    trained = {row.get("mlflow_run_id") for row in _rows(source, TRIALS)}
    return bool(trained & {row.get("mlflow_run_id") for row in _rows(source, SEEDS)})


def _rows(source: Source, file: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(source.read(file))))


def _settings(source: Source, run_id: str) -> dict[str, object]:
    """All settings of a trial: those of params.yaml, with what the trial changed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, PARAMS)
        file.write_text(source.read(PARAMS) or "{}")
        content: Any = settings.read_yaml(file)
    changed: Row = next((row for row in _rows(source, TRIALS) if row["mlflow_run_id"] == run_id), {})
    return flatten(content) | {key: csv_value(text) for key, text in changed.items() if "." in key}


def csv_value(text: str) -> object:
    """A value from a CSV file, as it would stand in params.yaml."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _seed(source: Source, row: Row) -> Seed:
    drives = {simulator: _drives(source, file, row["seed"]) for simulator, file in SIMULATORS.items()}
    return Seed(row["seed"], row["model_sha256"], drives)


def _drives(source: Source, file: str, seed: str) -> Drives:
    rows = [row for row in _rows(source, file) if row["policy"] == "trained" and row["seed"] == seed]
    if not rows:
        raise ValueError(f"{file} lacks seed {seed}")
    scores = {name: np.array([_number(row[name]) for row in rows]) for name in SCORED}
    laps = np.array([_number(row["laps"]) for row in rows])
    loops = np.divide(scores["distance_m"], laps, out=np.full(len(rows), np.nan), where=np.abs(laps) > 0.01)
    starts = np.array([[float(row[column]) for column in START] for row in rows])
    return Drives(starts, scores, loops)


def _number(text: str) -> float:
    return {"True": 1.0, "False": 0.0, "": np.nan}[text] if text in ("True", "False", "") else float(text)


def _check_starts(seeds: Sequence[Seed]) -> None:
    for seed in seeds[1:]:
        for simulator, drives in seed.drives.items():
            if not _same_starts(drives.starts, seeds[0].drives[simulator].starts):
                raise ValueError(f"seed {seed.seed} began elsewhere in {simulator}")
