"""Where a result comes from: the code's commit, the DVC experiment."""

from __future__ import annotations

import os
from pathlib import Path

from ducklane import git
from ducklane.stages import sources, stages

UNKNOWN = "unknown"


def repository_root() -> Path:
    """The repository in which `dvc` was started, also from the temporary copies that it runs experiments in.

    DVC sets DVC_ROOT for its stages; a script started by hand looks for the nearest folder with a dvc.yaml.
    """
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    return git.project_folder()


def git_commit() -> str:
    """The commit that is checked out, or "unknown" outside a git repository."""
    return git.ask("rev-parse", "HEAD") or UNKNOWN


def git_dirty() -> bool:
    """Whether what dvc.yaml lists, code above all, differs from the commit.

    Settings and results do not count: runs and DVC hold them.
    """
    listed = sources(stages()) if (git.project_folder() / git.PIPELINE).exists() else []
    return bool(git.ask("status", "--porcelain", "--", git.PIPELINE, *listed))


def dvc_experiment() -> str | None:
    """Name of the DVC experiment that is running, None outside `dvc exp run`."""
    return os.environ.get("DVC_EXP_NAME") or None
