"""Where the trials of a training that was stopped go on from."""

from __future__ import annotations

from collections.abc import Sequence

from ducklane.settings import TuneSettings
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, TrialState


def pick_up(chosen: TuneSettings, trial: TrialState) -> SavedCheckpoint | None:
    """The checkpoint to go on from; what is of no use is deleted."""
    newest = trial.newest()
    best = trial.best(chosen.keep_checkpoints_num, chosen.checkpoint_score_attr)
    trial.keep([*best, newest] if newest else [])
    if not trial.ended:
        trial.go_on_after(newest)
    return newest


def unfinished(
    chosen: TuneSettings, state: TrainingState, newest: Sequence[SavedCheckpoint | None]
) -> dict[int, SavedCheckpoint | None]:
    """Numbers of the trials that have not had all their steps -> the checkpoints that they go on from."""
    steps = chosen.stop.timesteps_total
    left = {}
    for number, (trial, saved) in enumerate(zip(state.trials, newest, strict=True)):
        if trial.ended or (saved and saved.timesteps >= steps):
            continue
        left[number] = saved
        if saved:
            of = f"trial {number + 1}: " if len(newest) > 1 else ""
            print(f"{of}going on from {saved.timesteps} of {steps} steps", flush=True)
    return left
