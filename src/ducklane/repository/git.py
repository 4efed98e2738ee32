"""Asks git about the project's folder, which may lie anywhere in a larger repository.

`make repro` runs this file before anything is installed, so it uses only the standard library.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PIPELINE = "dvc.yaml"
"""The file at the top of the project."""

START = "git add --all && git commit --message 'the project'"


UNSHALLOW = "git fetch --unshallow"


class Problem(NamedTuple):
    """A problem, and the cure."""

    found: str
    cure: str


def project_folder() -> Path:
    """The top of the project or, in the copy that DVC runs an experiment in, of that copy."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / PIPELINE).exists()), here)


def ask(*arguments: str) -> str:
    """The output of a git command at the top of the project; empty if it fails or git is not installed.

    Paths in the arguments are relative to the project. In `commit:./path` the dot makes it so.
    """
    return _answer(project_folder(), *arguments)


def place() -> str:
    """The project's folder below the top of the repository, as "robots/duckie/"; "" where it is the top."""
    return ask("rev-parse", "--show-prefix")


def is_shallow(folder: Path) -> bool:
    """Whether a repository lacks its older commits."""
    return _answer(folder, "rev-parse", "--is-shallow-repository") == "true"


def untracked(folder: Path, *paths: str) -> list[str]:
    """Files that git neither tracks nor ignores, as paths relative to the folder."""
    listed = _answer(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", *paths)
    return [path for path in listed.split("\0") if path]


def tracks(folder: Path, path: Path) -> bool:
    """Whether git tracks a file, something in a folder, or DVC's record of either (`dvc add`)."""
    return bool(_answer(folder, "ls-files", "--", str(path), f"{path}.dvc"))


def ignores(folder: Path, path: Path) -> bool:
    """Whether git ignores a file or folder, and DVC does not keep it either."""
    return bool(_answer(folder, "check-ignore", "--", str(path))) and not tracks(folder, path)


def problems(folder: Path) -> list[Problem]:
    """Problems that keep DVC from running this project and its experiments."""
    if first := repository_problem(folder):
        return [first]
    return list(filter(None, (_identity_problem(folder), _shallow_problem(folder))))


def repository_problem(folder: Path) -> Problem | None:
    """Why git, and so DVC, cannot work with a project in this folder; None if they can."""
    try:
        done = _run(folder, "rev-parse", "--verify", "HEAD")
        if done.returncode == 0:
            return _in_no_commit(folder)
    except FileNotFoundError:
        return Problem("not found", "apt-get install git")
    except OSError as error:
        return Problem(f"cannot be started ({error.strerror})", "apt-get install --reinstall git")
    return _refusal(folder, done.stderr)


def _in_no_commit(folder: Path) -> Problem | None:
    # a project that was unpacked inside another repository
    if not (folder / PIPELINE).exists() or _answer(folder, "ls-files", "--", PIPELINE):
        return None
    return Problem("this project is in no commit, and DVC needs one", START)


def _refusal(folder: Path, message: str) -> Problem:
    if "not a git repository" in message:
        return Problem(
            "this folder is not a git repository, which DVC needs",
            f"clone the project, or type git init && {START}",
        )
    if owner := re.search("detected dubious ownership in repository at '(.+)'", message):
        return Problem(
            f"{owner[1]} belongs to another user, and git does not trust it",
            f"git config --global --add safe.directory {shlex.quote(owner[1])}",
        )
    if "Needed a single revision" in message:
        return Problem("this repository has no commit yet, and DVC needs one", START)
    lines = message.strip().splitlines() or ["git gives no reason"]
    return Problem(f"{folder}: {lines[-1].removeprefix('fatal: ')}", "fix what `git status` complains about")


def _identity_problem(folder: Path) -> Problem | None:
    """Why DVC cannot write the commits of experiments; None if it can."""
    missing = [
        key
        for key, variable in (("user.name", "GIT_COMMITTER_NAME"), ("user.email", "GIT_COMMITTER_EMAIL"))
        if not (os.environ.get(variable) or _answer(folder, "config", key))
    ]
    if not missing:
        return None
    return Problem(
        f"has no {' and no '.join(missing)}, which dvc exp run needs",
        "git config --global user.name 'Your Name' && git config --global user.email you@example.org",
    )


def _shallow_problem(folder: Path) -> Problem | None:
    """DVC cannot fetch commits from its copies of a shallow clone: silently, with exit code 0."""
    if not is_shallow(folder):
        return None
    return Problem("this clone is shallow: dvc exp run --temp and --queue lose their results", UNSHALLOW)


def _answer(folder: Path, *arguments: str) -> str:
    try:
        done = _run(folder, *arguments)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # in English, so that its messages can be recognised
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


if __name__ == "__main__":
    if problem := repository_problem(Path.cwd()):
        sys.exit(f"git: {problem.found}: {problem.cure}")
