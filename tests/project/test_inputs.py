"""DVC reruns the stages that depend on a file that settings name, and none if the file is not in use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clones import set_param

from ducklane.project import inputs
from ducklane.project.inputs import (
    OlderPolicyError,
    check_older_policy,
    digests,
    scoring_files,
    training_files,
)
from ducklane.settings import Settings
from ducklane.settings.trials import trials_of

REPOSITORY = Path(__file__).resolve().parents[2]
ROAD = "tile_size: 0.585\ntiles: [[straight/W, floor]]\n"
OBJECTS = "objects: [{kind: ball, pos: [1.5, 0.5]}, {kind: sign_mine, pos: [1.2, 0.2]}]\n"
BALL = "v 0 0 0\nv 1 0 0\nv 0 1 1\nvn 0 0 1\nusemtl skin\nf 1//1 2//1 3//1\n"
FILES = {
    "maps/mine.yaml": ROAD + OBJECTS,
    "maps/ball.obj": BALL,
    "maps/ball.mtl": "newmtl skin\nmap_Kd ball_skin.png\n",
    "maps/ball_skin.png": "a picture",
    "maps/sign_mine.png": "a picture",
    "maps/other.yaml": ROAD,
    "models/pretrained/older/policy.json": "{}",
    "models/pretrained/older/algorithm/algorithm_state.pkl": "everything",
}

Changed = Callable[..., Settings]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its own maps and older policy, as the working directory."""
    project = tmp_path / "duckie"
    for name, content in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    shutil.copy(REPOSITORY / "params.yaml", project)
    monkeypatch.chdir(project)
    return project


def of_training(settings: Settings) -> dict[str, str]:
    return digests(training_files(trials_of(settings)))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["mine", "maps/mine.yaml"])
def test_a_custom_map_counts_with_its_meshes_and_signs(changed: Changed, name: str) -> None:
    settings = changed(simulator={"map_name": ["loop_empty", name]}, evaluate={"map_name": name})
    files = {path for path in FILES if path.startswith("maps/")} - {"maps/other.yaml"}
    before = of_training(settings)
    assert before.keys() == files
    assert digests(scoring_files(settings)) == before
    for path in files:
        with Path(path).open("a") as file:
            file.write("# \n")
    after = of_training(settings)
    assert after.keys() == files
    assert not set(before.values()) & set(after.values())


@pytest.mark.usefixtures("project")
def test_the_maps_of_all_trials_count(changed: Changed) -> None:
    grid = {"simulator": {"map_name": {"grid": ["loop_empty", "other", "mine"]}}}
    assert of_training(changed(tune={"search_space": grid})).keys() >= {"maps/mine.yaml", "maps/other.yaml"}


@pytest.mark.usefixtures("project")
def test_every_file_of_an_older_policy_counts(changed: Changed) -> None:
    settings = changed(rllib={"restore_from": "models/pretrained/older"})
    assert of_training(settings).keys() == {path for path in FILES if path.startswith("models/")}


@pytest.mark.usefixtures("project")
def test_packaged_maps_count_by_the_version_of_their_package(settings: Settings) -> None:
    assert of_training(settings) == digests(scoring_files(settings)) == {}


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("models/nowhere", "there is no such folder; give a copy of an older models/checkpoint"),
        ("maps/mine.yaml", "there is no such folder"),
        (
            "models/checkpoint",
            "would be replaced by this training run; copy it first (cp -r models/",
        ),
        ("./models/checkpoint/algorithm", "would be replaced by this training run"),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_older_policy_that_is_missing_or_would_be_replaced_is_refused(
    changed: Changed, folder: str, said: str
) -> None:
    with pytest.raises(OlderPolicyError) as refusal:
        check_older_policy(changed(rllib={"restore_from": folder}))
    (line,) = refusal.value.problems
    assert line.startswith(f"rllib.restore_from: {Path(folder)}: {said}")
    assert refusal.value.exit_code == 2


def write_inputs(project: Path, **params: Any) -> str:
    """Run the stage; its stderr."""
    for key, value in params.items():
        set_param(project / "params.yaml", key.replace("__", "."), value)
    program = REPOSITORY / "pipeline" / "inputs.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_files_whose_changes_dvc_cannot_see_are_reported(project: Path) -> None:
    assert write_inputs(project, simulator__map_name="other") == ""
    written = json.loads((inputs.LISTED / "train.json").read_text())
    assert list(written) == ["maps/other.yaml"]
    # a whole path of a file in the project is the same file
    assert write_inputs(project, simulator__map_name=project / "maps" / "other.yaml") == ""
    assert json.loads((inputs.LISTED / "train.json").read_text()) == written
    elsewhere = project.parent / "elsewhere.yaml"
    elsewhere.write_text(ROAD)
    said = write_inputs(project, simulator__map_name=elsewhere)
    assert said == (
        f"inputs: DVC does not see changes to {elsewhere}; keep such files in maps or "
        "models/pretrained, or type dvc repro -f inputs after each change\n"
    )
    assert list(json.loads((inputs.LISTED / "train.json").read_text())) == [str(elsewhere)]


STAGES = """
stages:
  inputs:
    cmd: {python} {program}
    deps: [maps]
    params: [simulator.map_name, evaluate.map_name]
    outs: [results/inputs/train.json: {{cache: false}}, results/inputs/evaluate.json: {{cache: false}}]
  train:
    cmd: echo trained >> trainings
    deps: [results/inputs/train.json]
"""
"""The stages of dvc.yaml, as far as they concern files that settings name."""


def test_a_changed_map_trains_again_and_one_that_is_not_used_does_not(project: Path) -> None:
    program = REPOSITORY / "pipeline" / "inputs.py"
    (project / "dvc.yaml").write_text(STAGES.format(python=sys.executable, program=program))
    set_param(project / "params.yaml", "simulator.map_name", "mine")
    run_dvc("init", "--no-scm", "-q")
    run_dvc("repro", "-q")
    for changed, trainings in (("maps/other.yaml", 1), ("maps/ball_skin.png", 2), ("maps/mine.yaml", 3)):
        with (project / changed).open("a") as file:
            file.write("# \n")
        run_dvc("repro", "-q")
        assert len((project / "trainings").read_text().splitlines()) == trainings
    assert "up to date" in run_dvc("status")


def run_dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
