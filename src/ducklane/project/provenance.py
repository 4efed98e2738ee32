"""The origin of a result: the code's commit and the DVC experiment."""

from __future__ import annotations

import os

from ducklane.project.stages import sources, stages
from ducklane.repository import git

UNKNOWN = "unknown"


def git_commit() -> str:
    """The commit that is checked out, or "unknown" outside a git repository."""
    return git.ask("rev-parse", "HEAD") or UNKNOWN


def git_dirty() -> bool:
    """Whether what dvc.yaml lists, code above all, differs from the commit.

    Settings and results do not count: MLflow runs and DVC keep them.
    """
    listed = sources(stages()) if (git.project_folder() / git.PIPELINE).exists() else []
    return bool(git.ask("status", "--porcelain", "--", git.PIPELINE, *listed))


def dvc_experiment() -> str | None:
    """Name of the DVC experiment that is running, None outside `dvc exp run`."""
    return os.environ.get("DVC_EXP_NAME") or None
