"""The scheduler, which decides which trials stop early."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from ducklane.settings import TuneSettings
from ducklane.training.metric_names import TIMESTEPS_TOTAL
from ducklane.training.ray_private import hand_over, recall
from ducklane.training.state.checkpoints import TRIAL, state_of
from ducklane.training.state.training_state import TrainingState


def scheduler(settings: TuneSettings, state: TrainingState) -> TrialScheduler:
    """The scheduler that the settings name.

    Args:
        settings: of Tune.
        state: of the training run; results of earlier processes count too.
    """
    return FIFOScheduler() if settings.scheduler == "fifo" else ResumedASHA(settings, state)


class ResumedASHA(ASHAScheduler):  # type: ignore[misc]
    """ASHA (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020), across restarts.

    A trial that it stopped stays stopped, and results from before a restart count at the rungs as they did
    then.

    Args:
        settings: of Tune.
        state: of the training run.
    """

    def __init__(self, settings: TuneSettings, state: TrainingState) -> None:
        super().__init__(
            time_attr=TIMESTEPS_TOTAL,
            metric=settings.checkpoint_score_attr,
            mode="max",
            max_t=settings.stop.timesteps_total,
            grace_period=settings.asha.grace_period,
            reduction_factor=settings.asha.reduction_factor,
        )
        self._state, self._steps = state, settings.stop.timesteps_total
        self._recall(settings.checkpoint_score_attr)

    def _recall(self, score: str) -> None:
        for number, trial in enumerate(self._state.trials):
            for row in trial.rows:
                if score in row:
                    recall(self, _earlier(number), row[TIMESTEPS_TOTAL], row[score])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Give the trial the results that it reached before the restart."""
        super().on_trial_add(tune_controller, trial)
        hand_over(self, trial.trial_id, _earlier(trial.config[TRIAL]))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record which trials it stops."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP and result[TIMESTEPS_TOTAL] < self._steps:
            state_of(self._state, trial).end()
        return decision


def _earlier(number: int) -> str:
    """The id under which a trial's results from before the restart are recorded."""
    return f"earlier {number}"
