"""A throw-away clone holds the project as it is here, including uncommitted changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import clones
import pytest


def test_a_project_inside_a_larger_repository_is_cloned_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "larger" / "robots" / "duckie"
    project.mkdir(parents=True)
    shutil.copy(clones.REPOSITORY / "params.yaml", project)
    (project / "kept.txt").write_text("committed")
    for command in ("init -q", "add --all", "-c user.name=t -c user.email=t@localhost commit -qm all"):
        subprocess.run(["git", *command.split()], cwd=project.parents[1], check=True)
    (project / "kept.txt").write_text("changed")
    (project / "new.txt").write_text("new")
    monkeypatch.setattr(clones, "REPOSITORY", project)
    clone = clones.clone(tmp_path / "clone")
    assert clone.root == tmp_path / "clone" / "robots" / "duckie"
    assert (clone.root / "kept.txt").read_text() == "changed"
    assert (clone.root / "new.txt").read_text() == "new"
    assert clone.type("git status --porcelain") == ""
