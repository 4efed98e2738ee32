"""Makes Tune's checkpoints safe to resume from, even after the process was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback

from ducklane.training import ray_private
from ducklane.training.metrics import named_metrics
from ducklane.training.state.saved import SavedCheckpoint, write_record
from ducklane.training.state.training_state import TrainingState, TrialState

TRIAL = "trial"
"""Key in the configuration of a Tune trial: its number, from 0."""


class KeepProgress(Callback):  # type: ignore[misc]
    """Keeps the metrics of every iteration, and marks each checkpoint as complete once it is fully written.

    Tune's own snapshots of an experiment lag behind its checkpoints by seconds or minutes.
    """

    def __init__(self, state: TrainingState) -> None:
        self._state = state

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Keep the metrics of one iteration."""
        state_of(self._state, trial).add_row(named_metrics(result))

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **_: Any) -> None:
        """Mark a checkpoint as complete."""
        write_record(Path(checkpoint.path), named_metrics(trial.last_result))
        self._state.note_time()


def state_of(state: TrainingState, trial: Any) -> TrialState:
    """The state of a Tune trial."""
    return state.trials[trial.config[TRIAL]]


def restore(algorithm: Any, checkpoint: SavedCheckpoint) -> None:
    """Restore an algorithm from a checkpoint, counters included."""
    counters = {
        "training_iteration": int(checkpoint.metrics["training_iteration"]),
        "time_total_s": checkpoint.metrics["time/total_s"],
    }
    ray_private.restore(algorithm, checkpoint.path, counters)
