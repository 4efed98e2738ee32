"""The experiments in README and docs are typed exactly as written there, with a smaller budget."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from clones import REPOSITORY, Project, clone
from dvc.utils.hydra import apply_overrides

from ducklane import settings
from ducklane.machine.hardware import this_machine
from ducklane.settings.trials import trials_of
from ducklane.simulator.town.maps import check_maps

PAGES = ("README.md", "docs/training.md", "docs/faults.md")
SMALLER = {
    r"tune\.stop\.timesteps_total=\d+": "tune.stop.timesteps_total=192",
    r"tune\.num_samples=\d+": "tune.num_samples=2",
    r"tune\.scheduler=asha": "tune.scheduler=asha -S tune.asha.grace_period=64",
}

BLOCK = re.compile(r"^ *```(?:bash)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The commands on a page, one per string."""
    text = "".join(BLOCK.findall((REPOSITORY / page).read_text()))
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"[a-z]+ |[A-Z_]+=", line) and "->" not in line]


def experiments() -> list[str]:
    return [command for page in PAGES for command in commands(page) if command.startswith("dvc exp run")]


@pytest.mark.parametrize("command", experiments(), ids=lambda command: command[:60])
def test_an_experiment_in_the_docs_has_valid_settings(tmp_path: Path, command: str) -> None:
    params = tmp_path / "params.yaml"
    shutil.copy(REPOSITORY / "params.yaml", params)
    overrides = [word for word in shlex.split(command) if "=" in word]
    assert overrides
    apply_overrides(params, overrides)
    chosen = settings.load(params)
    assert chosen != settings.load(REPOSITORY / "params.yaml")
    for trial in trials_of(chosen):
        check_maps(trial.settings)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with a policy to continue from."""
    project = clone(tmp_path_factory.mktemp("docs") / "ducklane")
    project.type("dvc repro train")
    (copy,) = [command for command in commands("docs/faults.md") if command.startswith("cp")]
    project.type(copy)
    return project


@pytest.mark.full
@pytest.mark.parametrize("command", experiments(), ids=lambda command: command[:60])
def test_an_experiment_in_the_docs_runs(project: Project, command: str) -> None:
    for pattern, smaller in SMALLER.items():
        command = re.sub(pattern, smaller, command)
    project.type("git restore .")
    if "rllib.num_gpus" in command and not this_machine().gpus:
        refusal = project.type(f"{command} train", code=255)
        assert "rllib.num_gpus: 1 asks for a GPU, and this machine has none" in refusal
        return
    project.type(f"{command} train")
    summary = project.json("results/train/summary.json")
    run = project.store.get_run(summary["mlflow"]["run_id"])
    assert run.info.status == "FINISHED"
    for key, value in re.findall(r"-S '?([a-z_.]+)=([^\s'\[]+)", command):
        assert run.data.params[key].lower().rstrip("0") == value.rstrip("0")
    assert project.json("models/checkpoint/policy.json")["provenance"]["mlflow_run_id"] == run.info.run_id
