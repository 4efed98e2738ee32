"""Where a result comes from: the code's commit, the DVC experiment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

UNKNOWN = "unknown"

CODE = ("constraints.txt", "dvc.yaml", "pipeline", "src")
"""What results depend on beside the settings."""


def repository_root() -> Path:
    """The repository in which `dvc` was started, also from the temporary copies that it runs experiments in.

    DVC sets DVC_ROOT for its stages; a script started by hand looks for the nearest folder with a dvc.yaml.
    """
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here)


def git_commit() -> str:
    """The commit that is checked out, or "unknown" outside a git repository."""
    return _git("rev-parse", "HEAD") or UNKNOWN


def git_dirty() -> bool:
    """Whether the code differs from the commit. Settings and results do not count: runs and DVC hold them."""
    return bool(_git("status", "--porcelain", "--", *CODE))


def dvc_experiment() -> str | None:
    """Name of the DVC experiment that is running, None outside `dvc exp run`."""
    return os.environ.get("DVC_EXP_NAME") or None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
