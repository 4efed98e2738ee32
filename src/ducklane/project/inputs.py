"""The files that settings name: maps with their meshes and signs, and an older policy to train on from.

dvc.yaml cannot list them, as their names are in params.yaml. So the stage `inputs` runs whenever a name, or
anything in `maps` or `models/pretrained`, has changed, and records the digests of the files that are in use;
the other stages depend on that record. Files of packages are left out: the packages' versions stand for them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.outputs import CHECKPOINT, RESULTS
from ducklane.repository.copies import left_behind
from ducklane.settings import Settings
from ducklane.settings.trials import Trial
from ducklane.simulator.town.maps import map_inputs
from ducklane.simulator.town.resources import MAPS_FOLDER, packaged_folder

RESTORE_FROM = "rllib.restore_from"
"""The setting that names an older policy."""

PRETRAINED = Path("models/pretrained")
"""Where older policies are kept: DVC sees when one of them changes."""

LISTED = RESULTS / "inputs"
"""Where the digests are kept."""


class OlderPolicyError(UserError):
    """The older policy cannot be used. Exit code 2, as for any wrong setting."""

    exit_code = 2


def check_older_policy(settings: Settings) -> None:
    """Refuse a `rllib.restore_from` that is not a folder, or that training would overwrite.

    Raises:
        OlderPolicyError: it is not, or training would.
    """
    if settings.rllib.restore_from is None:
        return
    folder = Path(settings.rllib.restore_from)
    if folder.resolve().is_relative_to(CHECKPOINT.resolve()):
        raise OlderPolicyError(
            f"{RESTORE_FROM}: {folder}: would be replaced by this training run; copy it first "
            f"(cp -r {CHECKPOINT} {PRETRAINED}/older) and give {PRETRAINED}/older"
        )
    if not folder.is_dir():
        missing = f"{folder}: there is no such folder; give a copy of an older {CHECKPOINT}"
        raise OlderPolicyError(f"{RESTORE_FROM}: {left_behind(folder) or missing}")


def training_files(trials: Iterable[Trial]) -> list[Path]:
    """The files that training depends on, sorted: those of all trials' maps and of `rllib.restore_from`.

    Args:
        trials: with maps that `check_map` accepts.
    """
    variants = [trial.settings for trial in trials]
    maps = {name for settings in variants for name in settings.simulator.map_names}
    policies = {settings.rllib.restore_from for settings in variants} - {None}
    return sorted(_of_maps(maps).union(*(files_below(Path(str(folder))) for folder in policies)))


def scoring_files(settings: Settings) -> list[Path]:
    """The files that scores depend on, sorted: those of `evaluate.map_name`, which `check_map` accepts."""
    return sorted(_of_maps([settings.evaluate.map_name]))


def _of_maps(names: Iterable[str]) -> set[Path]:
    files = {path for name in names for path in map_inputs(name)}
    return {path for path in files if not path.resolve().is_relative_to(packaged_folder())}


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, sorted, without Python's caches."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")


def unseen(files: Iterable[Path]) -> list[Path]:
    """Those outside the folders in which DVC notices changes."""
    seen = [os.path.abspath(folder) for folder in (MAPS_FOLDER, PRETRAINED)]
    return [path for path in files if not any(Path(os.path.abspath(path)).is_relative_to(s) for s in seen)]


def map_digest(name: str) -> str:
    """Hexadecimal SHA-256 of all files that a map depends on, those of packages too; the same on any machine.

    Args:
        name: name of a map that `check_map` accepts, or path of its file.
    """
    files = {shown(path): digest(path) for path in map_inputs(name)}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def digests(files: Iterable[Path]) -> dict[str, str]:
    """Hexadecimal SHA-256 of each file, by its path as `shown`."""
    return {shown(path): digest(path) for path in files}


def shown(path: Path) -> str:
    """A path: relative inside the working directory and among the packaged files, else absolute."""
    real = path.resolve()
    if real.is_relative_to(packaged_folder()):
        return str(real.relative_to(packaged_folder().parent.parent))
    below = os.path.relpath(path)
    return str(path) if below.startswith(os.pardir) else below


def digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
