"""The progress of a training run, on the terminal."""

from __future__ import annotations

import math
import time
from typing import Any, Self

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ducklane.training.metric_names import EPISODE_REWARD_MEAN, TIMESTEPS_TOTAL
from ducklane.training.state.checkpoints import TRIAL


class TrainingProgress(Callback):  # type: ignore[misc]
    """A progress bar for each trial on a terminal, a line per iteration elsewhere.

    Both show the steps so far and in total, steps per second, time left and mean reward.

    Args:
        total: environment steps of each trial.
        trials: number of trials.
    """

    def __init__(self, total: int, trials: int = 1) -> None:
        self._total = total
        self._trials = trials
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._first: dict[int, tuple[int, float]] = {}
        """Number of a trial -> the steps and the time of its first result here."""
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]} steps/s"),
                TimeRemainingColumn(),
                TextColumn(EPISODE_REWARD_MEAN + " {task.fields[reward]}"),
                console=self._console,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its callbacks; a terminal's lock cannot be pickled
        return TrainingProgress, (self._total, self._trials)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            if self._trials == 1:
                self._task(0)
        return self

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Show one iteration."""
        steps = result[TIMESTEPS_TOTAL]
        rate = self._rate(trial.config[TRIAL], steps, result)
        reward = result[EPISODE_REWARD_MEAN]
        reward_text = "-" if math.isnan(reward) else f"{reward:.1f}"
        number = trial.config[TRIAL]
        if self._bar is not None:
            done = min(steps, self._total)
            self._bar.update(self._task(number), completed=done, rate=f"{rate:.0f}", reward=reward_text)
            return
        seconds_left = max(self._total - steps, 0) / max(rate, 1e-9)
        print(
            f"{self._name(number)} {steps}/{self._total} steps, {rate:.0f} steps/s, "
            f"{_clock(seconds_left)} left, {EPISODE_REWARD_MEAN} {reward_text}",
            flush=True,
        )

    def _rate(self, number: int, steps: int, result: dict[str, Any]) -> float:
        """Steps per second, saving included, since the trial's first result: starting Ray does not count."""
        now = time.monotonic()
        first_steps, first_time = self._first.setdefault(number, (steps, now))
        if steps > first_steps:
            return (steps - first_steps) / max(now - first_time, 1e-9)
        return float(steps / max(result["time_total_s"], 1e-9))

    def _task(self, number: int) -> TaskID:
        assert self._bar is not None
        if number not in self._tasks:
            self._tasks[number] = self._bar.add_task(
                self._name(number), total=self._total, rate="-", reward="-"
            )
        return self._tasks[number]

    def _name(self, number: int) -> str:
        return "train" if self._trials == 1 else f"trial {number + 1}/{self._trials}"

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
