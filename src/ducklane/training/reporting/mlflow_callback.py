"""Tune's results to MLflow runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback

from ducklane.tracking.runs import Run
from ducklane.tracking.store.address import TrackingError
from ducklane.training.metrics import TIMESTEPS_TOTAL
from ducklane.training.state.checkpoints import TRIAL
from ducklane.training.state.training_state import TrainingState, TrialState

RETRY_S = 20.0
"""Between two tries while the store does not answer."""

PATIENCE_S = 120.0
"""For how long the last points are offered."""


class ExperimentLogger(MLflowLoggerCallback):  # type: ignore[misc]
    """Logs each trial to the run that is its own.

    The stock callback opens runs of its own, and sends each of some 300 values in a call of its own, which
    takes seconds per iteration; here about 25 named metrics go in one batch, at the environment step.
    A run's params and its end belong to the stage that started it.

    A point is sent once a checkpoint holds what came of it: a training that is killed and goes on sends none
    twice. While the store does not answer they wait in the training's state.

    Args:
        runs: one for each trial.
        state: of the training, which keeps the points.
    """

    def __init__(self, runs: Sequence[Run], state: TrainingState) -> None:
        super().__init__()
        self._points = [_Points(run, trial) for run, trial in zip(runs, state.trials, strict=True)]
        self._away_since: float | None = None
        self._names: dict[int, str] = {}

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to open: the runs are there."""

    def log_trial_start(self, trial: Any) -> None:
        """Remember its name."""
        self._names[trial.config[TRIAL]] = str(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Nothing yet: the state keeps the point until there is a checkpoint."""

    def log_trial_save(self, trial: Any) -> None:
        """Send what is new; training goes on if that fails."""
        if self._away_since is not None and time.monotonic() - self._away_since < RETRY_S:
            return
        try:
            self._send(trial.config[TRIAL])
        except TrackingError as error:
            if self._away_since is None:
                _tell(f"{error.what}; training goes on, and its points are sent later")
            self._away_since = time.monotonic()
        else:
            if self._away_since is not None:
                _tell("the MLflow store answers again and has all points")
            self._away_since = None

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Leave the run open: what training came to is for the stage to judge."""

    def finish(self) -> None:
        """Send all points that are left, with patience.

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
    """The points of one trial on their way to one run."""

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
    """Send a trial's whole learning curve to a run, as far as that does not have it.

    Raises:
        TrackingError: the store does not answer.
    """
    patiently(lambda: _Points(run, trial).send())


def patiently(send: Callable[[], None]) -> None:
    """Send something to the store; try for a while if it does not answer.

    Raises:
        TrackingError: it does not.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return send()
        except TrackingError as error:
            if time.monotonic() > until:
                raise TrackingError(
                    f"{error.what}; the training is complete and kept: the same command sends its points"
                ) from None
            time.sleep(1)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
