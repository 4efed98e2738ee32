"""The learning curve of one training as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ray.tune import Callback

from ducklane.training.metrics import TIMESTEPS_TOTAL, named_metrics


class LearningCurve(Callback):  # type: ignore[misc]
    """Collects the named metrics of every iteration."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Add one iteration."""
        self.rows.append(named_metrics(result))

    def write(self, path: Path) -> None:
        """Write the table as CSV, one row an iteration, the steps first."""
        others = sorted({key for row in self.rows for key in row} - {TIMESTEPS_TOTAL})
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [TIMESTEPS_TOTAL, *others], restval="")
            writer.writeheader()
            writer.writerows(self.rows)
