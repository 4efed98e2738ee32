"""Checkpoints on disk, and the record that marks one as complete and intact."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ducklane.project.inputs import digest
from ducklane.project.outputs import write_json
from ducklane.training.metric_names import TIMESTEPS_TOTAL

ALGORITHM = "algorithm"
"""In models/checkpoint: RLlib's checkpoint of the whole algorithm."""

RECORD = "record.json"
"""In a checkpoint's folder, written last: its metrics, and the digests of its files."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A complete checkpoint of the whole algorithm."""

    path: Path
    metrics: dict[str, float]
    """of the iteration in which it was saved"""
    is_older_policy: bool = False
    """whether it is another training run's (`rllib.restore_from`)"""

    @property
    def timesteps(self) -> int:
        """Environment steps up to this checkpoint."""
        return int(self.metrics[TIMESTEPS_TOTAL])


def write_record(checkpoint: Path, metrics: Mapping[str, float]) -> None:
    """Mark a checkpoint as complete."""
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    write_json(checkpoint / RECORD, {"metrics": finite, "files": _digests(checkpoint)})


def read_checkpoint(folder: Path) -> SavedCheckpoint | None:
    """The checkpoint in a folder, None if its record is missing or does not match its files."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    if record.get("files") != _digests(folder):
        return None
    return SavedCheckpoint(folder, record["metrics"])


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {str(path.relative_to(folder)): digest(path) for path in files}
