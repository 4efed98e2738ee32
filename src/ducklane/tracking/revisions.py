"""Commits with results: DVC experiments and others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ducklane import settings
from ducklane.errors import UserError
from ducklane.project.outputs import RESULTS
from ducklane.repository import git
from ducklane.tracking.findings import SHORT

SUMMARY = str(RESULTS / "train/summary.json")


class LineageError(UserError):
    """There is nothing of that name."""


class Revision(NamedTuple):
    """A commit with results: a DVC experiment's, which has a name, or another."""

    commit: str
    experiment: str | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return self.experiment or self.commit[:SHORT]

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the training whose results it holds."""
        return self.read(SUMMARY).get("mlflow", {}).get("run_id")

    def text(self, path: str) -> str:
        """A file in it, empty if there is none."""
        return git.ask("show", f"{self.commit}:./{path}")

    def read(self, path: str) -> Any:
        """The content of a YAML file in it, or of JSON, which is YAML too; empty if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            file.write_text(self.text(path))
            return settings.read_yaml(file) or {}


def find_revision(name: str) -> Revision:
    """A DVC experiment or a commit in which something was trained."""
    commit = git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    found = _experiments(name) or ([Revision(commit)] if commit else [])
    if not found:
        problem = git.repository_problem(git.project_folder())
        hint = f"git: {problem.found}: {problem.cure}" if problem else "`dvc exp list` shows the experiments"
        what = "is not a file, an MLflow run's id, a DVC experiment or a commit here"
        raise LineageError(f"{name}: {what}; {hint}")
    if found[0].run_id is None:
        raise LineageError(f"{name}: holds no {SUMMARY}: nothing was trained in it")
    return found[0]


def holder(run_id: str, experiment: str | None) -> Revision | None:
    """The experiment with a run's results, or else the first commit with them."""
    for revision in _experiments(experiment) if experiment else ():
        if revision.run_id == run_id:
            return revision
    commits = git.ask("log", "--all", "--format=%H", "--reverse", f"-S{run_id}", "--", SUMMARY).split()
    return Revision(commits[0]) if commits else None


def _experiments(name: str) -> list[Revision]:
    """The DVC experiments of that name on all commits, newest first."""
    shown = "--format=%(objectname)", "--sort=-creatordate"
    commits = git.ask("for-each-ref", *shown, f"refs/exps/*/*/{name}").split()
    return [Revision(commit, name) for commit in commits]
