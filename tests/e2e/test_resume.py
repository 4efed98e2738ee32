"""A training run that is stopped in any way resumes when the same command is given again."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from clones import Project, clone, set_param

STEPS = 512
INTERVAL = 64
"""Steps of an iteration, or one more where a robot starts a new episode at its end."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS)
    # more than half a second an iteration: time to stop it in
    set_param(project.root / "params.yaml", "rllib.num_epochs", 100)
    return project


STOPPED_ONCE_CHOSEN = """
import builtins, os, signal

say = print

def print(*values, **options):
    say(*values, **options)
    if "".join(map(str, values)).startswith("best checkpoint: "):
        os.kill(os.getpid(), signal.SIGTERM)

builtins.print = print
"""
"""A sitecustomize.py: after the last step less than a second is left, too little for a test to aim at."""


def stop_once_chosen(project: Project, command: str, folder: Path) -> tuple[int, str]:
    """Run a command whose training run gets SIGTERM once the best checkpoint is chosen."""
    (folder / "sitecustomize.py").write_text(STOPPED_ONCE_CHOSEN)
    paths = f"{folder}:{project.environment.get('PYTHONPATH', '')}"
    process = project.start(command, env={**project.environment, "PYTHONPATH": paths})
    printed, _ = process.communicate()
    return process.returncode, printed


def stop_at(project: Project, command: str, steps: int, sent: signal.Signals) -> tuple[int, str]:
    """Run a command, and send its training run a signal after some steps; its exit code and its output."""
    process = project.start(command, start_new_session=True)
    printed = []
    assert process.stdout is not None
    for line in process.stdout:
        printed.append(line)
        found = re.match(r"train (\d+)/", line)
        if found and int(found[1]) >= steps:
            subprocess.run(["pkill", f"-{sent.value}", "-s", str(process.pid), "-f", "pipeline/train.py"])
            break
    printed.append(process.stdout.read())
    code = process.wait()
    assert code != 0, "".join(printed)
    return code, "".join(printed)


def steps_of(project: Project, run_id: str) -> list[int]:
    return [point.step for point in project.store.get_metric_history(run_id, "loss/total")]


def status_of(project: Project, run_id: str) -> str:
    return str(project.store.get_run(run_id).info.status)


def run_id_of(project: Project) -> str:
    return str(project.json("results/train/summary.json")["mlflow"]["run_id"])


def only_run(project: Project) -> str:
    (run,) = project.store.search_runs(["1"])
    return str(run.info.run_id)


def truncate_the_newest_checkpoint(project: Project) -> None:
    newest = max(
        (project.root / "runs" / "train").rglob("record.json"), key=lambda path: path.stat().st_mtime
    )
    state = newest.parent / "algorithm_state.pkl"
    state.write_bytes(state.read_bytes()[:-100])


def is_complete(project: Project, run_id: str) -> None:
    """The training run had all its steps, no gap and no duplicates, and left nothing to resume from."""
    assert status_of(project, run_id) == "FINISHED"
    with (project.root / "results/train/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [float(row["timesteps_total"]) for row in rows]
    assert {after - earlier for earlier, after in pairwise([0, *steps])} <= {INTERVAL, INTERVAL + 1}
    assert steps_of(project, run_id) == steps
    assert [float(row["training_iteration"]) for row in rows] == list(range(1, STEPS // INTERVAL + 1))
    seconds = [float(row["time/total_s"]) for row in rows]
    assert seconds == sorted(seconds)
    rates = [float(row["optimizer/lr"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert not any((project.root / "runs" / "train").iterdir())


def go_on_from_an_older_policy(project: Project) -> None:
    """What docs/faults.md says: a copy of the checkpoint, and more steps."""
    project.type("cp -r models/checkpoint models/pretrained/older")
    set_param(project.root / "params.yaml", "rllib.restore_from", "models/pretrained/older")
    before = project.json("models/pretrained/older/policy.json")["provenance"]["timesteps_total"]
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", before + 128)
    printed = project.type("python pipeline/train.py")
    assert f"resuming from {before} of {before + 128} steps" in printed
    steps = steps_of(project, run_id_of(project))
    assert {after - earlier for earlier, after in pairwise([before, *steps])} <= {INTERVAL, INTERVAL + 1}
    assert project.json("results/train/summary.json")["timesteps_total"] == steps[-1] >= before + 128


def test_a_training_run_that_is_stopped_repeatedly_ends_complete(project: Project, tmp_path: Path) -> None:
    older = project.root / "models" / "checkpoint" / "policy.json"
    older.parent.mkdir()
    older.write_text("an older model")
    code, printed = stop_at(project, "python pipeline/train.py", 128, signal.SIGTERM)
    assert code == 130, printed
    assert re.search(r"training interrupted at \d+ of 512 steps; the same command resumes", printed)
    assert older.read_text() == "an older model"
    assert project.type("git status --porcelain results") == ""
    first = only_run(project)
    assert status_of(project, first) == "KILLED"
    # the same command, and the training run dies
    _, printed = stop_at(project, "dvc repro train", 256, signal.SIGKILL)
    assert "resuming from" in printed
    assert "train 64/" not in printed
    # what it wrote last is damaged: the checkpoint before is there
    truncate_the_newest_checkpoint(project)
    code, printed = stop_once_chosen(project, "python pipeline/train.py", tmp_path)
    assert code == 130, printed
    assert re.search(r"resuming from \d+ of 512 steps", printed)
    assert printed.endswith("interrupted after the last step; the same command goes on from there\n")
    assert status_of(project, first) == "KILLED"
    assert not older.exists()  # dvc deleted it, and nothing half-written replaced it
    printed = project.type("dvc repro train")
    assert "train 512/512" not in printed
    assert only_run(project) == first == run_id_of(project)
    is_complete(project, first)
    assert project.json("models/checkpoint/policy.json")["provenance"]["mlflow_run_id"] == first
    assert "up to date" in project.type("dvc status train")
    go_on_from_an_older_policy(project)


@pytest.mark.full
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_training_run_resumes_in_the_same_mlflow_run(
    project: Project, sent: signal.Signals
) -> None:
    stop_at(project, "dvc repro train", 256, sent)
    assert not (project.root / "models" / "checkpoint").exists()
    before = only_run(project)
    printed = project.type("dvc repro train")
    (begun,) = re.findall(r"resuming from (\d+) of 512 steps", printed)
    assert int(begun) >= 256 - 64
    assert "train 64/" not in printed
    assert only_run(project) == before == run_id_of(project)
    is_complete(project, before)


@pytest.mark.full
def test_other_settings_leave_a_stopped_run_alone_and_restart_starts_over(project: Project) -> None:
    stop_at(project, "python pipeline/train.py", 256, signal.SIGKILL)
    (first,) = (project.root / "runs" / "train").iterdir()
    run_id = only_run(project)
    kept = {path for path in first.rglob("*") if path.is_file()}
    set_param(project.root / "params.yaml", "rllib.lr", 0.002)
    assert "resuming" not in project.type("python pipeline/train.py")
    # Ray's own processes outlive the killed one by a moment, and may have added to what is there
    assert {path for path in kept if path.is_file()} == kept
    set_param(project.root / "params.yaml", "rllib.lr", 0.001)
    set_param(project.root / "params.yaml", "tune.restart_behavior", "restart")
    assert "resuming" not in project.type("python pipeline/train.py")
    assert status_of(project, run_id) == "KILLED"
    assert {run.info.status for run in project.store.search_runs(["1"])} == {"FINISHED", "KILLED"}
