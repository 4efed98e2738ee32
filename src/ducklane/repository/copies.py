"""The copies of the project that DVC runs experiments in (`dvc exp run --temp` and `--queue`).

A copy holds the files that git tracks and DVC keeps. All others stay behind in the workspace.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ducklane.repository import git


def repository_root() -> Path:
    """The project in which `dvc` was started, also when called in the temporary copies for experiments.

    DVC sets DVC_ROOT for its stages; a script started by hand uses the nearest folder with a dvc.yaml.
    """
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    return git.project_folder()


def workspace() -> Path | None:
    """The project that this is DVC's copy of; None outside such copies."""
    # DVC tells its stages where it was started
    root = os.environ.get("DVC_ROOT")
    if root is None or Path(root).resolve() == git.project_folder().resolve():
        return None
    return Path(root).resolve()


def left_behind(path: Path) -> str | None:
    """Why this copy lacks a file or folder of the workspace, and the cure; None for any other reason."""
    root = workspace()
    return lacking(root, path) if root and (root / path).exists() else None


def lacking(root: Path, path: Path) -> str | None:
    """Why copies of a project lack a file or folder, and the cure; None if they hold it.

    Args:
        root: top folder of the project.
        path: relative to it, as the settings name it.
    """
    if path.is_absolute():
        return None
    if not (root / path).resolve().is_relative_to(root.resolve()):
        return f"{path} lies outside the project, and DVC's copies lie elsewhere; give the absolute path"
    name = shlex.quote(str(path))
    copied = f"dvc exp run with --copy-paths {name}"
    if git.ignores(root, path):
        return f"git ignores {path} in {root}, so DVC's copies of the project lack it; type {copied}"
    if git.tracks(root, path):
        return None
    track = f"dvc add {name} && git add {name}.dvc" if (root / path).is_dir() else f"git add {name}"
    lack = f"git does not track {path} in {root}, so DVC's copies of the project lack it"
    return f"{lack}; type {track}, or {copied}"


def modules_left_behind() -> list[str]:
    """As `left_behind`, for each Python module of the workspace that this copy lacks."""
    root = workspace()
    if root is None:
        return []
    modules = [Path(path) for path in git.untracked(root, "pipeline", "src") if path.endswith(".py")]
    return [problem for path in modules if not path.exists() and (problem := left_behind(path))]


def problem() -> str | None:
    """Why DVC would lose the results of this copy, and the cure; None if it would not."""
    root = workspace()
    if root is None or not git.is_shallow(root):
        return None
    return (
        f"{root} is a shallow clone, in which DVC loses experiments that run with --temp or --queue; "
        f"type {git.UNSHALLOW}, or run them without these options"
    )
