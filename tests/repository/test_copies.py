"""Files that DVC's copies of the project lack are named, with the command that includes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import experiments
import pytest

from ducklane.errors import exits_cleanly
from ducklane.project.inputs import OlderPolicyError
from ducklane.repository import copies, git
from ducklane.simulator.town.maps import MapError, check_maps
from ducklane.training.state.older_policy import origin

MAP = "my_map.yaml"
HOW = "so DVC's copies of the project lack it; type"


def type_in(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with files that git does not track, seen from a copy such as DVC makes."""
    workspace, copy = tmp_path / "duckie", tmp_path / "copy"
    workspace.mkdir()
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    (workspace / ".gitignore").write_text("/private/\n")
    type_in(workspace, "init", "-q")
    type_in(workspace, "add", "--all")
    type_in(workspace, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "all")
    shutil.copytree(workspace, copy)
    for path in (MAP, "models/older/policy.json", "src/ducklane/mine.py", "private/map.yaml"):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text("")
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.chdir(copy)
    return workspace


def test_an_untracked_map_is_reported(workspace: Path, changed: Any) -> None:
    with pytest.raises(MapError) as raised:
        check_maps(changed(simulator={"map_name": MAP}))
    assert raised.value.problems == (
        f"params.yaml: simulator.map_name: git does not track {MAP} in {workspace}, {HOW} git add {MAP}, or "
        f"dvc exp run with --copy-paths {MAP}",
    )


def test_an_ignored_map_is_reported(workspace: Path, changed: Any) -> None:
    with pytest.raises(MapError) as raised:
        check_maps(changed(evaluate={"map_name": "private/map.yaml"}))
    assert raised.value.problems == (
        f"params.yaml: evaluate.map_name: git ignores private/map.yaml in {workspace}, {HOW} dvc exp run "
        "with --copy-paths private/map.yaml",
    )


def test_a_map_outside_the_project_is_reported(workspace: Path) -> None:
    (workspace.parent / MAP).write_text("")
    assert copies.left_behind(Path("..", MAP)) == (
        f"../{MAP} lies outside the project, and DVC's copies lie elsewhere; give the absolute path"
    )


def test_an_untracked_mesh_of_a_map_is_reported(workspace: Path, changed: Any) -> None:
    (workspace / "mine.obj").write_text("")
    Path(MAP).write_text(
        "tile_size: 0.585\ntiles: [[straight/N]]\nobjects: [{kind: mine, pos: [0.5, 0.5], height: 0.1}]\n"
    )
    with pytest.raises(
        MapError, match=rf"git does not track mine\.obj in {workspace}, {HOW} git add mine\.obj"
    ):
        check_maps(changed(simulator={"map_name": MAP}))


def test_a_map_that_exists_nowhere_is_reported_as_missing(workspace: Path, changed: Any) -> None:
    with pytest.raises(MapError, match=r"there is no map file nowhere\.yaml; give the path of one"):
        check_maps(changed(simulator={"map_name": "nowhere.yaml"}))


def test_an_untracked_older_policy_is_reported(workspace: Path, changed: Any) -> None:
    with pytest.raises(OlderPolicyError) as raised:
        origin(changed(rllib={"restore_from": "models/older"}))
    assert raised.value.problems == (
        f"rllib.restore_from: git does not track models/older in {workspace}, {HOW} dvc add models/older && "
        "git add models/older.dvc, or dvc exp run with --copy-paths models/older",
    )


def test_an_untracked_module_is_reported(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @exits_cleanly
    def main() -> None:
        import ducklane.mine  # noqa: F401

    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    assert capsys.readouterr().err == (
        f"No module named 'ducklane.mine': git does not track src/ducklane/mine.py in {workspace}, {HOW} "
        "git add src/ducklane/mine.py, or dvc exp run with --copy-paths src/ducklane/mine.py\n"
    )


def test_other_imports_fail_as_usual(workspace: Path) -> None:
    @exits_cleanly
    def main() -> None:
        import nowhere  # noqa: F401

    (workspace / "src/ducklane/mine.py").unlink()
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        main()


def test_in_the_workspace_itself_nothing_is_left_behind(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    assert copies.workspace() is None
    assert copies.left_behind(Path(MAP)) is None
    assert copies.modules_left_behind() == []
    # and what git knows, or lies elsewhere, copies find
    type_in(workspace, "add", MAP)
    assert copies.lacking(workspace, Path(MAP)) is None
    assert copies.lacking(workspace, workspace / "private/map.yaml") is None


TRAIN = """
import json, sys
from pathlib import Path
from ducklane.errors import exits_cleanly
from ducklane.project import provenance
from ducklane.repository import copies

@exits_cleanly
def main():
    said = {"root": str(copies.repository_root()), "commit": provenance.git_commit(),
            "dirty": provenance.git_dirty(), "experiment": provenance.dvc_experiment()}
    Path("summary.json").write_text(json.dumps(said))

main()
"""
STAGE = f"""
stages:
  train:
    cmd: {sys.executable} pipeline/train.py
    deps: [pipeline/train.py]
    params: [lr]
    metrics: [summary.json: {{cache: false}}]
"""


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """A repository that holds, somewhere, a project of one stage, in two commits."""
    project = tmp_path / "larger" / "robots" / "duckie"
    for name, content in {
        ".dvc/config": "[core]\n    analytics = false\n",
        "dvc.yaml": STAGE,
        "params.yaml": "lr: 0.1\n",
        "pipeline/train.py": TRAIN,
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    larger = project.parents[1]
    type_in(larger, "init", "-q")
    for commit in ("all", "no more"):
        type_in(larger, "add", "--all")
        type_in(
            larger,
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "commit",
            "--allow-empty",
            "-qm",
            commit,
        )
    return larger


def run_experiment(project: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "dvc",
            "exp",
            "run",
            "--name",
            name,
            "--set-param",
            f"lr={len(name)}",
            *options,
        ],
        cwd=project,
        env={**os.environ, "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_copy_of_a_project_inside_a_larger_repository_is_recognised(
    larger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = larger / "robots" / "duckie"
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(project)
    head = git.ask("rev-parse", "HEAD")
    done = run_experiment(project, "far", "--temp")
    assert done.returncode == 0, done.stdout
    said = json.loads(experiments.read("far", "summary.json"))
    assert said == {"root": str(project), "commit": head, "dirty": False, "experiment": "far"}
    # an interrupted study goes on: what has been run is not run again
    experiments.run("far", {"lr": 0.5}, "train")
    assert json.loads(experiments.read("far", "summary.json")) == said


def test_dvc_loses_nothing_of_a_shallow_clone(
    larger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(tmp_path, "clone", "-q", "--depth", "1", larger.as_uri(), "shallow")
    project = tmp_path / "shallow" / "robots" / "duckie"
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(project)
    done = run_experiment(project, "lost", "--temp")
    assert done.returncode != 0
    assert (
        f"{project} is a shallow clone, in which DVC loses experiments that run with --temp or --queue; type "
        "git fetch --unshallow, or run them without"
    ) in done.stdout
    # in the workspace nothing is lost, of a detached head either
    type_in(project, "checkout", "-q", "--detach")
    assert run_experiment(project, "kept").returncode == 0
    assert git.ask("for-each-ref", "refs/exps/*/*/kept")
