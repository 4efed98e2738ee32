"""Logs Tune's results to MLflow runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback

from ducklane.tracking.runs import Run
from ducklane.tracking.store.address import TrackingError
from ducklane.training.metric_names import TIMESTEPS_TOTAL
from ducklane.training.metrics import summaries
from ducklane.training.state.checkpoints import TRIAL
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, TrialState

RETRY_S = 20.0
"""Seconds between two tries while the store does not answer."""

SUMMARY_STEP = 0
"""At this one MLflow draws a metric as bars, one for each run, not as curves."""

PATIENCE_S = 120.0
"""Seconds for which sending the last points is retried."""


class ExperimentLogger(MLflowLoggerCallback):  # type: ignore[misc]
    """Logs each trial to its own run.

    The stock callback opens new runs and sends each of some 300 values in a separate call, which takes
    seconds per iteration; here about 25 named metrics go in one batch, with the environment steps as the
    step. Setting a run's params and ending it is left to the stage that started it.

    A point is sent only once there is a checkpoint from after it, so that a training run that is killed
    and resumed sends no point twice. While the store does not answer, points wait in the run's state.

    Args:
        runs: one for each trial.
        state: of the training run, which keeps the points.
    """

    def __init__(self, runs: Sequence[Run], state: TrainingState) -> None:
        super().__init__()
        self._points = [_Points(run, trial) for run, trial in zip(runs, state.trials, strict=True)]
        self._away_since: float | None = None
        self._names: dict[int, str] = {}

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to open: the runs exist already."""

    def log_trial_start(self, trial: Any) -> None:
        """Remember the trial's name."""
        self._names[trial.config[TRIAL]] = str(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Send nothing yet: the state keeps the point until there is a checkpoint."""

    def log_trial_save(self, trial: Any) -> None:
        """Send the new points; training continues if that fails."""
        if self._away_since is not None and time.monotonic() - self._away_since < RETRY_S:
            return
        try:
            self._send(trial.config[TRIAL])
        except TrackingError as error:
            if self._away_since is None:
                _tell(f"{error.what}; training continues, and its points will be sent later")
            self._away_since = time.monotonic()
        else:
            if self._away_since is not None:
                _tell("the MLflow store answers again and has all the points")
            self._away_since = None

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Leave the run open: the stage decides how it ended."""

    def finish(self) -> None:
        """Send all remaining points; retry for a while if the store does not answer.

        Raises:
            TrackingError: the store does not answer.
        """
        for number in range(len(self._points)):
            patiently(lambda number=number: self._send(number))  # type: ignore[misc]

    def _send(self, number: int) -> None:
        points = self._points[number]
        if number in self._names:
            points.run.set_tags({"trial_name": self._names[number]})
            del self._names[number]
        points.send()


class _Points:
    """Sends the points of one trial to one run, each once."""

    def __init__(self, run: Run, trial: TrialState) -> None:
        self.run = run
        self._trial = trial
        self._sent = run.last_step(TIMESTEPS_TOTAL)

    def send(self) -> None:
        for row in self._trial.rows:
            step = int(row[TIMESTEPS_TOTAL])
            if step > self._sent:
                self.run.log_metrics(row, step=step)
                self._sent = step


def send_curve(run: Run, trial: TrialState) -> None:
    """Send a trial's learning curve to a run, without the points that the run has already.

    Raises:
        TrackingError: the store does not answer.
    """
    patiently(lambda: _Points(run, trial).send())


def send_point(run: Run, metrics: Mapping[str, float], step: int) -> None:
    """Send one point of some metrics to a run, unless it has it already.

    Raises:
        TrackingError: the store does not answer.
    """

    def send() -> None:
        if metrics and run.last_step(next(iter(metrics))) != step:
            run.log_metrics(metrics, step)

    patiently(send)


def send_summary(run: Run, trial: TrialState, best: SavedCheckpoint | None) -> None:
    """Send the summary of a trial's learning curve to a run, unless it has it already.

    Args:
        run: of the trial, or of the experiment whose model it is.
        trial: with all its points.
        best: its best checkpoint, None without one.

    Raises:
        TrackingError: the store does not answer.
    """
    send_point(run, summaries(trial.rows, best.timesteps if best else None), SUMMARY_STEP)


def patiently(send: Callable[[], None]) -> None:
    """Send something to the store; retry for a while if it does not answer.

    Raises:
        TrackingError: it still does not answer.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return send()
        except TrackingError as error:
            if time.monotonic() > deadline:
                raise TrackingError(
                    f"{error.what}; the training run is complete and saved; "
                    "run the same command again to send its points"
                ) from None
            time.sleep(1)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
