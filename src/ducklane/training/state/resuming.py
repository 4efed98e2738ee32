"""The checkpoints from which the trials of a stopped training run resume."""

from __future__ import annotations

from collections.abc import Sequence

from ducklane.settings import TuneSettings
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, TrialState


def pick_up(settings: TuneSettings, trial: TrialState) -> SavedCheckpoint | None:
    """The checkpoint to resume from; deletes those that are no longer needed."""
    newest = trial.newest()
    best = trial.best(settings.keep_checkpoints_num, settings.checkpoint_score_attr)
    trial.keep([*best, newest] if newest else [])
    if not trial.ended:
        trial.forget_after(newest)
    return newest


def unfinished(
    settings: TuneSettings, state: TrainingState, newest: Sequence[SavedCheckpoint | None]
) -> dict[int, SavedCheckpoint | None]:
    """Number of each trial that is not at its last step -> the checkpoint that it resumes from."""
    steps = settings.stop.timesteps_total
    unfinished_trials = {}
    for number, (trial, saved) in enumerate(zip(state.trials, newest, strict=True)):
        if trial.ended or (saved and saved.timesteps >= steps):
            continue
        unfinished_trials[number] = saved
        if saved:
            prefix = f"trial {number + 1}: " if len(newest) > 1 else ""
            print(f"{prefix}resuming from {saved.timesteps} of {steps} steps", flush=True)
    return unfinished_trials
