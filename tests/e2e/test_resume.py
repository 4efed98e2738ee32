"""A training that is stopped, however, goes on when the same command is given again."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from pathlib import Path

import pytest
from clones import Project, clone, set_param

STEPS = 512


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS)
    return project


def stop_at(project: Project, command: str, steps: int, sent: signal.Signals) -> str:
    """Give a command, and send its training a signal once it has had some steps; all that it printed."""
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
    assert process.wait() != 0, "".join(printed)
    return "".join(printed)


def steps_of(project: Project, run_id: str) -> list[int]:
    return [point.step for point in project.store.get_metric_history(run_id, "loss/total")]


def only_run(project: Project) -> str:
    (run,) = project.store.search_runs(["1"])
    return run.info.run_id


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_training_goes_on_in_the_same_run(project: Project, sent: signal.Signals) -> None:
    stop_at(project, "dvc repro train", 256, sent)
    assert not (project.root / "models" / "checkpoint").exists()
    before = only_run(project)
    printed = project.type("dvc repro train")
    (begun,) = re.findall(r"going on from (\d+) of 512 steps", printed)
    assert int(begun) >= 256 - 64
    assert "train 64/" not in printed
    run_id = only_run(project)
    assert run_id == before == project.json("results/train/summary.json")["mlflow"]["run_id"]
    assert project.store.get_run(run_id).info.status == "FINISHED"
    # no gap, nothing doubled
    whole = list(range(64, STEPS + 1, 64))
    assert steps_of(project, run_id) == whole
    with (project.root / "results/train/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["timesteps_total"]) for row in rows] == whole
    assert [float(row["training_iteration"]) for row in rows] == list(range(1, len(whole) + 1))
    seconds = [float(row["time/total_s"]) for row in rows]
    assert seconds == sorted(seconds)
    rates = [float(row["optimizer/lr"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert "up to date" in project.type("dvc status train")
    assert not any((project.root / "runs" / "train").iterdir())


def test_other_settings_do_not_touch_it_and_restart_begins_again(project: Project) -> None:
    stop_at(project, "python pipeline/train.py", 256, signal.SIGKILL)
    (first,) = (project.root / "runs" / "train").iterdir()
    run_id = only_run(project)
    kept = {path for path in first.rglob("*") if path.is_file()}
    set_param(project.root / "params.yaml", "rllib.lr", 0.002)
    assert "going on" not in project.type("python pipeline/train.py")
    # Ray's own processes outlive the killed one by a moment, and may have added to what is there
    assert {path for path in kept if path.is_file()} == kept
    set_param(project.root / "params.yaml", "rllib.lr", 0.001)
    set_param(project.root / "params.yaml", "tune.restart_behavior", "restart")
    assert "going on" not in project.type("python pipeline/train.py")
    assert project.store.get_run(run_id).info.status == "KILLED"
    assert {run.info.status for run in project.store.search_runs(["1"])} == {"FINISHED", "KILLED"}


def test_a_truncated_checkpoint_is_left_for_the_one_before(project: Project) -> None:
    stop_at(project, "python pipeline/train.py", 256, signal.SIGKILL)
    newest = max(
        (project.root / "runs" / "train").rglob("record.json"), key=lambda path: path.stat().st_mtime
    )
    state = newest.parent / "algorithm_state.pkl"
    state.write_bytes(state.read_bytes()[:-100])
    printed = project.type("python pipeline/train.py")
    assert re.search(r"going on from (64|128|192|256) of 512 steps", printed)
    run_id = only_run(project)
    assert steps_of(project, run_id) == list(range(64, STEPS + 1, 64))


def test_training_goes_on_from_an_older_policy(project: Project) -> None:
    project.type("python pipeline/train.py")
    (project.root / "models" / "checkpoint").rename(project.root / "models" / "older")
    set_param(project.root / "params.yaml", "rllib.restore_from", "models/older")
    had = project.json("models/older/policy.json")["provenance"]["timesteps_total"]
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", had)
    assert f"has had {had} steps" in project.type("python pipeline/train.py", code=2)
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS + 128)
    printed = project.type("python pipeline/train.py")
    assert f"going on from {had} of {STEPS + 128} steps" in printed
    assert steps_of(project, project.json("results/train/summary.json")["mlflow"]["run_id"])[0] == had + 64
    assert project.json("results/train/summary.json")["timesteps_total"] == STEPS + 128
    set_param(project.root / "params.yaml", "network.hidden_size", 32)
    set_param(project.root / "params.yaml", "observation.color", "rgb")
    refused = project.type("python pipeline/train.py", code=2).splitlines()
    assert refused == [
        "rllib.restore_from: models/older: was trained with observation.color gray, not rgb; give "
        "observation.color gray",
        "rllib.restore_from: models/older: was trained with network.hidden_size 256, not 32; "
        "give network.hidden_size 256",
    ]
