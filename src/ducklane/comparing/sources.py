"""Where scores lie: in the commit of a DVC experiment or another, or with a run in MLflow."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.outputs import RESULTS
from ducklane.tracking.revisions import LineageError, Revision, find_revision
from ducklane.tracking.runs import RUN_ID, TrackingError
from ducklane.tracking.scored import ScoredRun, training_runs

PARAMS = "params.yaml"
SCORES = "evaluate/scores.json"

DIGEST = re.compile(r"[0-9a-f]{8,64}")


class ComparisonError(UserError):
    """These cannot be compared."""

    exit_code = 2


@dataclass(frozen=True)
class Source:
    """One place with scores."""

    name: str
    read: Callable[[str], str]
    """a file below `results/`, or params.yaml, as text; empty if there is none"""
    commit: str | None
    """the commit with its code, as far as the code was committed"""
    trial: str | None = None
    """run of the only trial that is meant; None for all"""


@dataclass(frozen=True)
class Found:
    """The places that a name stands for."""

    sources: list[Source]
    left_out: int = 0
    """runs of the recipe without scores"""


def find(name: str) -> Found:
    """What a name stands for.

    Args:
        name: of a DVC experiment or a commit; a run's id; or a recipe's digest, of which 8 digits are enough.

    Raises:
        ComparisonError: there is nothing of that name, or the store cannot be used.
    """
    try:
        return _find(name)
    except (LineageError, TrackingError) as error:
        raise ComparisonError(*error.problems) from None


def _find(name: str) -> Found:
    if RUN_ID.fullmatch(name) and (source := _run(name, name)):
        return Found([source])
    try:
        return Found([_commit(name, find_revision(name))])
    except LineageError:
        if DIGEST.fullmatch(name) and (runs := training_runs(name)):
            return _recipe(name, runs)
        if Path(name).exists():
            raise ComparisonError(
                f"{name}: a model does not hold its scores, its run does: `ducklane lineage {name}` names it"
            ) from None
        raise


def _commit(name: str, revision: Revision) -> Source:
    def read(file: str) -> str:
        return revision.text(file if file == PARAMS else str(RESULTS / file))

    return Source(name, read, revision.commit)


def _run(name: str, run_id: str) -> Source | None:
    try:
        run = ScoredRun(run_id)
    except KeyError:
        return None
    return Source(name, run.read, run.git_commit, run.trial)


def _recipe(name: str, runs: dict[str, str]) -> Found:
    """All scored training runs of a recipe, from their runs."""
    if len(set(runs.values())) > 1:
        raise ComparisonError(f"{name}: {len(set(runs.values()))} recipes begin so; give more digits")
    every = [source for run_id in runs if (source := _run(f"{name} (run {run_id[:8]})", run_id))]
    sources = [source for source in every if source.read(SCORES)]
    if not sources:
        raise ComparisonError(f"{name}: nothing was scored in it; dvc repro evaluate")
    return Found(sources, len(every) - len(sources))
