"""Commits with results: DVC experiments and others."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ducklane import settings
from ducklane.errors import UserError
from ducklane.project.outputs import RESULTS
from ducklane.repository import git
from ducklane.tracking.findings import SHORT

SUMMARY = str(RESULTS / "train/summary.json")


class LineageError(UserError):
    """There is nothing of that name."""


@dataclass(frozen=True)
class Revision:
    """A commit with results: a DVC experiment's or another."""

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
    revisions = _experiments(name)
    if not revisions and (commit := git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")):
        revisions = [Revision(commit)]
    if not revisions:
        problem = git.repository_problem(git.project_folder())
        hint = f"git: {problem.found}: {problem.cure}" if problem else "`dvc exp list` shows the experiments"
        raise LineageError(
            f"{name}: is not a file, an MLflow run's id, a DVC experiment or a commit here; {hint}"
        )
    if revisions[0].run_id is None:
        raise LineageError(f"{name}: holds no {SUMMARY}: nothing was trained in it")
    return revisions[0]


def holder(run_id: str, experiment: str | None) -> Revision | None:
    """The experiment with a run's results, or else the first commit with them."""
    for revision in _experiments(experiment) if experiment else ():
        if revision.run_id == run_id:
            return revision
    commits = git.ask("log", "--all", "--format=%H", "--reverse", f"-S{run_id}", "--", SUMMARY).splitlines()
    return Revision(commits[0]) if commits else None


def _experiments(name: str) -> list[Revision]:
    """The DVC experiments of that name on all commits, newest first."""
    commits = git.ask(
        "for-each-ref", "--format=%(objectname)", "--sort=-creatordate", f"refs/exps/*/*/{name}"
    )
    return [Revision(commit, name) for commit in commits.splitlines()]
