"""Several trials in one training run: one experiment, a nested run each, the best of all is the artifact."""

from __future__ import annotations

import csv
import re
import signal
from pathlib import Path

import pytest
from clones import Project, clone, set_param
from comparing import traced
from mlflow.entities import Run

STEPS = 256
INTERVAL = 64


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS)
    return project


def parent_and_nested(project: Project) -> tuple[Run, list[Run]]:
    """The one experiment's run and its trials' in their order."""
    runs = project.store.search_runs(["1"])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == len(runs) - 1
    return parent, sorted(nested, key=lambda run: run.info.run_name)


def curve(project: Project, run: Run) -> dict[int, float]:
    points = project.store.get_metric_history(run.info.run_id, "episode_reward_mean")
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


def trials(project: Project) -> list[dict[str, str]]:
    with (project.root / "results" / "train" / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_killed_search_resumes_and_keeps_the_best_of_all_trials(project: Project) -> None:
    """One after the other, and each pays less than the one before, so that ASHA has no choice."""
    space = "{reward: {lateral_weight: {grid: [0.0, 50.0, 100.0]}}}"
    for key, value in {
        "tune.search_space": space,
        "tune.scheduler": "asha",
        "tune.asha.grace_period": 2 * INTERVAL,
        "ray.num_cpus": 1,
        # more than half a second an iteration: time to kill it in
        "rllib.num_epochs": 100,
        "rllib.env_per_worker": 1,
    }.items():
        set_param(project.root / "params.yaml", key, value)
    process = project.start("python pipeline/train.py", start_new_session=True)
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if line.startswith(f"trial 2/3 {INTERVAL}/"):
            process.send_signal(signal.SIGKILL)
    process.wait()
    print("".join(before))
    printed = project.type("python pipeline/train.py")
    assert "trial 1/3" not in printed
    assert f"trial 2/3 {STEPS}/" not in printed
    parent, nested = parent_and_nested(project)
    assert {run.info.status for run in (parent, *nested)} == {"FINISHED"}
    assert [run.info.run_name for run in nested] == [
        f"trial {number}: lateral_weight {weight}" for number, weight in ((1, 0.0), (2, 50.0), (3, 100.0))
    ]
    assert [run.data.params["reward.lateral_weight"] for run in nested] == ["0.0", "50.0", "100.0"]
    curves = [curve(project, run) for run in nested]
    whole = list(range(INTERVAL, STEPS + 1, INTERVAL))
    assert [list(one) for one in curves] == [whole, whole[:2], whole[:2]]
    assert curve(project, parent) == curves[0]
    rows = trials(project)
    assert [row["mlflow_run_id"] for row in rows] == [run.info.run_id for run in nested]
    assert [int(row["timesteps_total"]) for row in rows] == [STEPS, 2 * INTERVAL, 2 * INTERVAL]
    provenance = project.json("models/checkpoint/policy.json")["provenance"]
    assert provenance["episode_reward_mean"] == max(curves[0].values())
    assert provenance["trial_run_id"] == nested[0].info.run_id == parent.data.tags["best_trial_run_id"]
    assert provenance["mlflow_run_id"] == parent.info.run_id
    assert printed.count("confirmed by 128 drives") == 1  # of the model that is kept
    confirmed = [run.data.metrics.get("confirmed/episode_reward_mean") for run in (parent, *nested)]
    summary = project.json("results/train/summary.json")
    assert confirmed == [*[summary["confirmed"]["episode_reward_mean"]] * 2, None, None]
    assert not any((project.root / "runs" / "train").iterdir())
    for thing in ("models/checkpoint", parent.info.run_id, nested[0].info.run_id):
        chain = traced(project, thing)
        assert f"MLflow run     {parent.info.run_id}, " in chain
        assert re.search(rf"^trial +{nested[0].info.run_id}", chain, re.MULTILINE)
    assert f"trial: another was the best, {nested[0].info.run_id}" in traced(project, nested[1].info.run_id)


@pytest.mark.full
def test_a_grid_is_one_experiment_whose_best_trial_is_the_artifact(project: Project) -> None:
    project.type(
        "dvc exp run --name searched -S +tune.search_space.rllib.lr.grid=[0.001,0.01] "
        "-S +tune.search_space.reward.lateral_weight.grid=[2.0] train"
    )
    parent, nested = parent_and_nested(project)
    assert parent.info.run_name == "searched"
    assert [run.info.run_name for run in nested] == [
        "trial 1: lateral_weight 2.0, lr 0.001",
        "trial 2: lateral_weight 2.0, lr 0.01",
    ]
    assert {run.info.status for run in (parent, *nested)} == {"FINISHED"}
    assert [run.data.params["rllib.lr"] for run in nested] == ["0.001", "0.01"]
    assert parent.data.params["tune.search_space.rllib.lr.grid"] == "[0.001, 0.01]"
    curves = [curve(project, run) for run in nested]
    assert [list(one) for one in curves] == [list(range(INTERVAL, STEPS + 1, INTERVAL))] * 2
    assert curves[0] != curves[1]
    best = max(range(2), key=lambda n: max(curves[n].values()))
    assert curve(project, parent) == curves[best]
    provenance = project.json("models/checkpoint/policy.json")["provenance"]
    assert provenance["episode_reward_mean"] == max(curves[best].values())
    assert provenance["trial_run_id"] == nested[best].info.run_id == parent.data.tags["best_trial_run_id"]
    assert provenance["changes"]["rllib.lr"] == [0.001, 0.01][best]
    assert provenance["mlflow_run_id"] == parent.info.run_id
    assert [row["rllib.lr"] for row in trials(project)] == ["0.001", "0.01"]
    assert [row["mlflow_run_id"] for row in trials(project)] == [run.info.run_id for run in nested]
    assert project.json("results/train/summary.json")["best_trial"] == best + 1
    for thing in ("models/checkpoint", parent.info.run_id, nested[best].info.run_id, "searched"):
        chain = traced(project, str(thing))
        assert f"MLflow run     {parent.info.run_id}, " in chain
        assert re.search(rf"^trial +{nested[best].info.run_id}", chain, re.MULTILINE)
    chain = traced(project, nested[1 - best].info.run_id)
    assert f"trial: another was the best, {nested[best].info.run_id}" in chain
    # the same settings by themselves are the same training run
    project.type("git checkout params.yaml")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS)
    set_param(project.root / "params.yaml", "rllib.lr", [0.001, 0.01][best])
    project.type("python pipeline/train.py")
    alone = project.json("models/checkpoint/policy.json")["provenance"]
    assert alone["weights_sha256"] == provenance["weights_sha256"]
