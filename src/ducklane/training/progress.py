"""How a training shows that it is alive."""

from __future__ import annotations

import math
from typing import Any, Self

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ducklane.training.metrics import EPISODE_REWARD_MEAN, TIMESTEPS_TOTAL


class TrainingProgress(Callback):  # type: ignore[misc]
    """A bar in a terminal, a line per iteration elsewhere: steps of total, steps/s, time left, reward."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("train"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]} steps/s"),
                TimeRemainingColumn(),
                TextColumn(EPISODE_REWARD_MEAN + " {task.fields[reward]}"),
                console=self._console,
            )
            self._task = self._bar.add_task("train", total=total, rate="-", reward="-")

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its callbacks; a terminal's lock cannot be pickled
        return TrainingProgress, (self._total,)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Show one iteration."""
        steps = result[TIMESTEPS_TOTAL]
        # of the iterations alone: what starting Ray took says nothing of the time left
        rate = steps / max(result["time_total_s"], 1e-9)
        reward = result[EPISODE_REWARD_MEAN]
        shown = "-" if math.isnan(reward) else f"{reward:.1f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=min(steps, self._total), rate=f"{rate:.0f}", reward=shown)
            return
        left = max(self._total - steps, 0) / max(rate, 1e-9)
        print(
            f"train {steps}/{self._total} steps, {rate:.0f} steps/s, {_clock(left)} left, "
            f"{EPISODE_REWARD_MEAN} {shown}",
            flush=True,
        )

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
