"""DVC experiments as the measurements of a study: run once, kept in git, read from there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ducklane.repository import git


def named(*parts: object) -> str:
    """A name of letters, digits and dashes, as DVC wants them."""
    return "-".join(re.findall(r"[^\W_]+", " ".join(map(str, parts))))


def run(name: str, changes: Mapping[str, object], stage: str = "evaluate") -> None:
    """Run an experiment of the present commit with some settings changed, if it has not been run yet.

    Args:
        name: of the experiment.
        changes: setting -> value, as for `dvc exp run -S`.
        stage: up to which it runs.
    """
    if revision(name) is not None:
        return
    settings = [part for key, value in changes.items() for part in ("-S", f"{key}={value}")]
    subprocess.run(["dvc", "exp", "run", "--temp", "--name", name, *settings, stage], check=True)


def revision(name: str) -> str | None:
    """The commit that holds the results of an experiment of the present commit, None if there is none."""
    head = git.ask("rev-parse", "HEAD")
    place = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    return git.ask("for-each-ref", "--format=%(objectname)", place) or None


def read(name: str, path: str) -> str:
    """A file among an experiment's results."""
    return git.ask("show", f"{revision(name)}:./{path}")


def reached(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """results/evaluate/scores.json and results/train/summary.json of an experiment."""
    scores, summary = (
        json.loads(read(name, path))
        for path in ("results/evaluate/scores.json", "results/train/summary.json")
    )
    return scores, summary


def trials_in(file: Path, settings: Mapping[str, object]) -> list[dict[str, Any]]:
    """The trials of an earlier study, if it began with these settings; none otherwise, which is said.

    Args:
        file: with the `settings` that the study began with, and its `trials`.
        settings: `section.key` -> value. Settings that the file does not have yet change nothing.
    """
    if not file.exists():
        return []
    study = json.loads(file.read_text())
    other = [key for key, value in study["settings"].items() if settings.get(key) != value]
    if other:
        print(f"{file.stem}: starts over, because these changed: {', '.join(other)}", flush=True)
        return []
    trials: list[dict[str, Any]] = study["trials"]
    return trials


def fetch(name: str, path: Path, to: Path) -> None:
    """Copy what an experiment left and DVC keeps."""
    # DVC takes a path below the top of the repository
    below = f"{git.place()}{path}"
    subprocess.run(["dvc", "get", "-q", ".", below, "--rev", str(revision(name)), "-o", str(to)], check=True)
