"""Git problems are reported in one line with the fix, and a project may be inside a larger repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.project import provenance
from ducklane.repository import copies, git

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def type_in(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "all") -> None:
    type_in(folder, "add", "--all")
    type_in(folder, "-c", "user.name=tester", "-c", "user.email=tester@localhost", "commit", "-qm", message)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a subfolder of a larger repository."""
    project = tmp_path / "larger" / "robots" / "duckie"
    (project / "src").mkdir(parents=True)
    (project / "src" / "code.py").write_text("# as it was\n")
    (project / "dvc.yaml").write_text(
        "stages: {drive: {cmd: python src/code.py, deps: [src/code.py], outs: [src/drive.csv]}}\n"
    )
    (project.parents[1] / "README.md").write_text("robots\n")
    type_in(project.parents[1], "init", "-q")
    commit(project.parents[1])
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(project)
    return project


def test_a_project_inside_a_larger_repository_works(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git.repository_problem(project) is None
    assert git.place() == "robots/duckie/"
    assert git.ask("show", "HEAD:./src/code.py") == "# as it was"
    # also from a folder of its own
    monkeypatch.chdir(project / "src")
    assert git.ask("show", "HEAD:./dvc.yaml").startswith("stages: ")
    assert copies.repository_root() == project


def test_only_its_own_code_makes_it_dirty(project: Path) -> None:
    (project.parents[1] / "README.md").write_text("other robots\n")
    (project.parents[1] / "src").mkdir()
    (project.parents[1] / "src" / "code.py").write_text("somebody else's\n")
    # nor does what no stage depends on, or what one makes
    for name in ("tools.py", "drive.csv"):
        (project / "src" / name).write_text("new\n")
    assert not provenance.git_dirty()
    (project / "src" / "code.py").write_text("# changed\n")
    assert provenance.git_dirty()


def test_a_detached_head_works_like_a_branch(project: Path) -> None:
    type_in(project, "checkout", "-q", "--detach")
    assert git.repository_problem(project) is None
    assert provenance.git_commit() == type_in(project, "rev-parse", "HEAD")


def downloaded(project: Path) -> None:
    """As a zip holds it."""
    shutil.rmtree(project.parents[1] / ".git")


def without_a_commit(project: Path) -> None:
    downloaded(project)
    type_in(project, "init", "-q")


def unpacked_in_another(project: Path) -> None:
    downloaded(project)
    type_in(project.parents[1], "init", "-q")
    (project.parents[1] / ".gitignore").write_text("robots/\n")
    commit(project.parents[1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            downloaded,
            "this folder is not a git repository, which DVC needs: clone the project, or type git init && ",
        ),
        (
            without_a_commit,
            "this repository has no commit yet, and DVC needs one: git add --all && git commit",
        ),
        (unpacked_in_another, "this project is in no commit, and DVC needs one: git add --all && git commit"),
    ],
)
def test_make_says_what_is_missing_before_anything_is_installed(project: Path, spoil, said: str) -> None:
    spoil(project)
    shutil.copy(MAKEFILE, project)
    (project / "src" / "ducklane" / "repository").mkdir(parents=True)
    shutil.copy(git.__file__, project / "src" / "ducklane" / "repository")
    # typed by itself, also where `make test` runs this
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(["make", "repro"], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"git: {said}")
    assert all(line.startswith("make: ***") for line in rest)


def test_a_repository_of_another_user_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # git's own switch to try this
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    problem = git.repository_problem(project)
    assert problem is not None
    assert problem.found.startswith(f"{project.parents[1]} belongs to another user")
    assert problem.cure == f"git config --global --add safe.directory {project.parents[1]}"


def test_missing_git_is_reported_and_nothing_breaks(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.problems(project) == [("not found", "apt-get install git")]
    assert provenance.git_commit() == "unknown"
    assert not provenance.git_dirty()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who has no git configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("NAME", "EMAIL"):
        for whose in ("AUTHOR", "COMMITTER"):
            monkeypatch.delenv(f"GIT_{whose}_{name}", raising=False)


@pytest.mark.usefixtures("nobody")
def test_a_missing_user_name_is_reported_since_experiments_need_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (problem,) = git.problems(project)
    assert problem.found == "has no user.name and no user.email, which dvc exp run needs"
    assert problem.cure.startswith(
        "git config --global user.name 'Your Name' && git config --global user.email"
    )
    type_in(project, "config", "user.name", "tester")
    (problem,) = git.problems(project)
    assert problem.found == "has no user.email, which dvc exp run needs"
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "tester@localhost")
    assert git.problems(project) == []


def test_a_shallow_clone_is_reported(project: Path, tmp_path: Path) -> None:
    (project / "more.py").write_text("")
    commit(project)
    type_in(tmp_path, "clone", "-q", "--depth", "1", (project.parents[1]).as_uri(), "shallow")
    shallow = tmp_path / "shallow" / "robots" / "duckie"
    assert git.repository_problem(shallow) is None
    assert not git.is_shallow(project)
    assert git.is_shallow(shallow)
    problem = git.problems(shallow)[-1]
    assert problem.found == "this clone is shallow: dvc exp run --temp and --queue lose their results"
    assert problem.cure == "git fetch --unshallow"
    type_in(shallow, *problem.cure.split()[1:])
    assert not git.is_shallow(shallow)


def test_the_git_check_runs_before_anything_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", git.__file__], cwd=MAKEFILE.parent, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
