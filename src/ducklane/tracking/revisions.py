"""Commits that hold results: DVC experiments and others."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ducklane import settings
from ducklane.errors import UserError
from ducklane.repository import git
from ducklane.tracking.findings import SHORT

SUMMARY = "results/train/summary.json"


class LineageError(UserError):
    """There is nothing by that name."""


@dataclass(frozen=True)
class Revision:
    """A commit that holds results: a DVC experiment's or another."""

    commit: str
    experiment: str | None = None
    """the experiment's name"""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.experiment or self.commit[:SHORT]

    def read(self, path: str) -> str:
        """A file in it, empty if there is none."""
        return git.ask("show", f"{self.commit}:./{path}")

    def json(self, path: str) -> dict[str, Any]:
        """A JSON file in it, empty if there is none."""
        return json.loads(self.read(path) or "{}")

    def yaml(self, path: str) -> Any:
        """A YAML file in it."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            file.write_text(self.read(path))
            return settings.read_yaml(file)

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the training whose results it holds."""
        return self.json(SUMMARY).get("mlflow", {}).get("run_id")


def find_revision(name: str) -> Revision:
    """A DVC experiment or a commit in which something was trained."""
    found = _experiments(name)
    if not found and (commit := git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")):
        found = [Revision(commit)]
    if not found:
        problem = git.repository_problem(git.project_folder())
        hint = f"git: {problem.found}: {problem.cure}" if problem else "`dvc exp list` shows the experiments"
        raise LineageError(
            f"{name}: is no file, no MLflow run's id, and no DVC experiment or commit here; {hint}"
        )
    if found[0].run_id is None:
        raise LineageError(f"{name}: holds no {SUMMARY}: nothing was trained in it")
    return found[0]


def holder(run_id: str, experiment: str | None) -> Revision | None:
    """The experiment that holds a run's results, or else the first commit that does."""
    for found in _experiments(experiment) if experiment else ():
        if found.run_id == run_id:
            return found
    commits = git.ask("log", "--all", "--format=%H", "--reverse", f"-S{run_id}", "--", SUMMARY).splitlines()
    return Revision(commits[0]) if commits else None


def _experiments(name: str) -> list[Revision]:
    """The DVC experiments of that name, of all commits, the newest first."""
    found = git.ask("for-each-ref", "--format=%(objectname)", "--sort=-creatordate", f"refs/exps/*/*/{name}")
    return [Revision(commit, name) for commit in found.splitlines()]
