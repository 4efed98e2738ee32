"""The checkpoint that becomes the model."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ducklane.errors import UserError
from ducklane.settings import TuneSettings
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState


class NoModel(UserError):
    """There is no checkpoint with a score."""


def best_checkpoint(tune: TuneSettings, state: TrainingState) -> tuple[int, SavedCheckpoint]:
    """The checkpoint with the best score of all trials, after the number of its trial.

    Raises:
        NoModel: nothing was saved, or no checkpoint has a score.
    """
    best = state.best(tune.checkpoint_score_attr)
    if best is None:
        raise NoModel(*_reasons(tune, state))
    return best


def _reasons(tune: TuneSettings, state: TrainingState) -> Iterator[str]:
    score = tune.checkpoint_score_attr
    scores = [row.get(score, math.nan) for trial in state.trials for row in trial.rows]
    any_scored = any(map(math.isfinite, scores))
    iterations = max(len(trial.rows) for trial in state.trials)
    if not any_scored:
        yield (
            f"tune.stop.timesteps_total: {tune.stop.timesteps_total} steps ended before any episode did, "
            "so no checkpoint has a score; train longer or lower simulator.max_steps"
        )
    if not any(trial.checkpoints() for trial in state.trials):
        yield (
            f"tune.checkpoint_freq: {tune.checkpoint_freq} saved nothing in {iterations} iterations; give at "
            f"most {iterations}, or set tune.checkpoint_at_end: true"
        )
    elif any_scored:
        yield (
            f"tune.checkpoint_freq: {tune.checkpoint_freq} saved nothing after the first episode had ended, "
            "so no checkpoint has a score; lower it, or set tune.checkpoint_at_end: true"
        )
