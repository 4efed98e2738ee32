"""Makes Tune's checkpoints safe to resume from, even after the process was killed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback

from ducklane.project.outputs import write_json
from ducklane.training import ray_private
from ducklane.training.metrics import EPISODES, Record, named_metrics
from ducklane.training.state.saved import SavedCheckpoint, write_record
from ducklane.training.state.training_state import TrainingState, TrialState

TRIAL = "trial"
"""Key in the configuration of a Tune trial: its number, from 0."""


LATEST_EPISODES = "episodes.json"
"""In a checkpoint's folder: the episodes that its mean reward is averaged over."""


class KeepProgress(Callback):  # type: ignore[misc]
    """Keeps the metrics of every iteration, and marks each checkpoint as complete once it is fully written.

    Tune's own snapshots of an experiment lag behind its checkpoints by seconds or minutes.
    """

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._seen: dict[int, float] = {}
        """Number of a trial -> when its latest result came, on the monotonic clock."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Keep the metrics of one iteration."""
        now, row = time.monotonic(), named_metrics(result)
        seconds = now - self._seen.get(trial.config[TRIAL], now - result["time_this_iter_s"])
        self._seen[trial.config[TRIAL]] = now
        sampled = result.get("env_runners", {}).get("num_env_steps_sampled", 0)
        if seconds > 0:
            row["env_steps_per_s"] = float(sampled) / seconds
        state_of(self._state, trial).add_row(row)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **_: Any) -> None:
        """Mark a checkpoint as complete."""
        folder = Path(checkpoint.path)
        write_json(folder / LATEST_EPISODES, trial.last_result.get(EPISODES, {}).get("records", []))
        write_record(folder, named_metrics(trial.last_result))
        self._state.note_time()


def state_of(state: TrainingState, trial: Any) -> TrialState:
    """The state of a Tune trial."""
    return state.trials[trial.config[TRIAL]]


def read_episodes(checkpoint: SavedCheckpoint) -> list[Record]:
    """The latest finished episodes up to a checkpoint; none if it is from before they were kept."""
    file = checkpoint.path / LATEST_EPISODES
    records: list[Record] = json.loads(file.read_text()) if file.exists() else []
    return records


def restore(algorithm: Any, checkpoint: SavedCheckpoint) -> None:
    """Restore an algorithm from a checkpoint, counters included."""
    counters = {
        "training_iteration": int(checkpoint.metrics["training_iteration"]),
        "time_total_s": checkpoint.metrics["time/total_s"],
    }
    ray_private.restore(algorithm, checkpoint.path, counters)
