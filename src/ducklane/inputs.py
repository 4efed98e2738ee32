"""The files that settings name: maps with their meshes and signs, and an older policy to train on from.

Those that come with packages are not among them: the packages' versions stand for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ducklane.search import Trial
from ducklane.settings import Settings
from ducklane.simulator.maps import map_inputs
from ducklane.simulator.resources import packaged_folder


def training_files(trials: Iterable[Trial]) -> list[Path]:
    """Those that training depends on, sorted: of the maps of all trials and of `rllib.restore_from`.

    Args:
        trials: of settings whose maps `check_map` accepts.
    """
    chosen = [trial.settings for trial in trials]
    maps = {name for settings in chosen for name in settings.simulator.map_names}
    policies = {settings.rllib.restore_from for settings in chosen} - {None}
    return sorted(_of_maps(maps).union(*(files_below(Path(str(folder))) for folder in policies)))


def scoring_files(settings: Settings) -> list[Path]:
    """Those that scores depend on, sorted: of `evaluate.map_name`, which `check_map` accepts."""
    return sorted(_of_maps([settings.evaluate.map_name]))


def _of_maps(names: Iterable[str]) -> set[Path]:
    files = {path for name in names for path in map_inputs(name)}
    return {path for path in files if not path.resolve().is_relative_to(packaged_folder())}


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and in those below, sorted, without what Python leaves beside its sources."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")


def digests(files: Iterable[Path]) -> dict[str, str]:
    """Hexadecimal SHA-256 of each file, by its path."""
    return {path.as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
