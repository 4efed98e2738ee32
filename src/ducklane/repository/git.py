"""What git says of the project's folder, which may lie anywhere in a larger repository.

`make repro` runs this file before anything is installed, so it uses nothing but the standard library.
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
"""Stands at the top of the project."""

START = "git add --all && git commit --message 'the project'"


UNSHALLOW = "git fetch --unshallow"


class Problem(NamedTuple):
    """What is wrong, and the cure."""

    found: str
    cure: str


def project_folder() -> Path:
    """The top of the project or, in the copy that DVC runs an experiment in, of that copy."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / PIPELINE).exists()), here)


def ask(*arguments: str) -> str:
    """What git prints, asked at the top of the project; nothing where it fails or is not installed.

    Paths in the arguments are the project's. In `commit:./path` the dot says so.
    """
    return _answer(project_folder(), *arguments)


def place() -> str:
    """The project's folder below the top of the repository, as "robots/duckie/"; "" where it is the top."""
    return ask("rev-parse", "--show-prefix")


def is_shallow(folder: Path) -> bool:
    """Whether a repository lacks its older commits."""
    return _answer(folder, "rev-parse", "--is-shallow-repository") == "true"


def untracked(folder: Path, *paths: str) -> list[str]:
    """Files that git does not track and was not told to ignore, as paths below the folder."""
    listed = _answer(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", *paths)
    return [path for path in listed.split("\0") if path]


def tracks(folder: Path, path: Path) -> bool:
    """Whether commits of a project hold a file or something in a folder, or DVC's note of it (`dvc add`)."""
    return bool(_answer(folder, "ls-files", "--", str(path), f"{path}.dvc"))


def ignores(folder: Path, path: Path) -> bool:
    """Whether git was told to leave a file or folder out, and DVC does not keep it either."""
    return bool(_answer(folder, "check-ignore", "--", str(path))) and not tracks(folder, path)


def problems(folder: Path) -> list[Problem]:
    """What keeps DVC from running this project and its experiments."""
    if first := repository_problem(folder):
        return [first]
    return list(filter(None, (_identity_problem(folder), _shallow_problem(folder))))


def repository_problem(folder: Path) -> Problem | None:
    """Why git, and so DVC, cannot work with a project in this folder; None where they can."""
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


def _refusal(folder: Path, said: str) -> Problem:
    if "not a git repository" in said:
        return Problem(
            "this folder is no git repository, which DVC needs",
            f"clone the project, or type git init && {START}",
        )
    if owner := re.search("detected dubious ownership in repository at '(.+)'", said):
        return Problem(
            f"{owner[1]} belongs to another user, and git does not trust it",
            f"git config --global --add safe.directory {shlex.quote(owner[1])}",
        )
    if "Needed a single revision" in said:
        return Problem("this repository has no commit yet, and DVC needs one", START)
    lines = said.strip().splitlines() or ["it does not say why"]
    return Problem(f"{folder}: {lines[-1].removeprefix('fatal: ')}", "fix what `git status` complains of")


def _identity_problem(folder: Path) -> Problem | None:
    """Why DVC cannot write the commits of experiments; None where it can."""
    missing = [
        key
        for key, variable in (("user.name", "GIT_COMMITTER_NAME"), ("user.email", "GIT_COMMITTER_EMAIL"))
        if not (os.environ.get(variable) or _answer(folder, "config", key))
    ]
    if not missing:
        return None
    return Problem(
        f"knows no {' and no '.join(missing)}, which dvc exp run needs",
        "git config --global user.name 'Your Name' && git config --global user.email you@example.org",
    )


def _shallow_problem(folder: Path) -> Problem | None:
    """Of a shallow clone DVC makes copies whose commits it cannot fetch: it says nothing, and ends with 0."""
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
    # in English, so that its errors can be told apart
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
