"""Tune's results to the experiment's MLflow run."""

from __future__ import annotations

from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback

from ducklane.tracking import Run
from ducklane.training.metrics import TIMESTEPS_TOTAL, named_metrics


class ExperimentLogger(MLflowLoggerCallback):  # type: ignore[misc]
    """Logs to the one run that the stages share.

    The stock callback opens a run of its own, and sends each of some 300 values in a call of its own, which
    takes seconds per iteration; here about 25 named metrics go in one batch, at the environment step.
    The run's params and its end belong to the stage that started it.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to open: the run is there."""

    def log_trial_start(self, trial: Any) -> None:
        """Name the trial."""
        self._run.set_tags({"trial_name": str(trial)})

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Log one iteration."""
        self._run.log_metrics(named_metrics(result), step=result[TIMESTEPS_TOTAL])

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Leave the run open: what training came to is for the stage to judge."""
