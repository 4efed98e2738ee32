"""Several trials in one training: one experiment, a nested run each, the best of all is the artifact."""

from __future__ import annotations

import csv
import re
import signal
from pathlib import Path

import pytest
from clones import Project, clone, set_param
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
        traced = project.type(f"ducklane lineage {thing}")
        assert f"MLflow run     {parent.info.run_id}, " in traced
        assert re.search(rf"^trial +{nested[best].info.run_id}", traced, re.MULTILINE)
    traced = project.type(f"ducklane lineage {nested[1 - best].info.run_id}")
    assert f"trial: another was the best, {nested[best].info.run_id}" in traced
    # the same settings by themselves are the same training
    project.type("git checkout params.yaml")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", STEPS)
    set_param(project.root / "params.yaml", "rllib.lr", [0.001, 0.01][best])
    project.type("python pipeline/train.py")
    alone = project.json("models/checkpoint/policy.json")["provenance"]
    assert alone["weights_sha256"] == provenance["weights_sha256"]


def test_a_search_that_was_killed_goes_on_and_asha_stops_whom_it_stopped(project: Project) -> None:
    for key, value in {"num_samples": 4, "scheduler": "asha", "asha.grace_period": 2 * INTERVAL}.items():
        set_param(project.root / "params.yaml", f"tune.{key}", value)
    process = project.start("python pipeline/train.py", start_new_session=True)
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if re.match(rf"trial 3/4 {INTERVAL}/", line):
            process.send_signal(signal.SIGKILL)
    process.wait()
    reached = {
        n: max(int(steps) for steps in re.findall(rf"trial {n}/4 (\d+)/", "".join(before))) for n in (1, 2, 3)
    }
    printed = project.type("python pipeline/train.py")
    for n in (1, 2):
        # each to its end or to where it was stopped; not again
        repeated = [int(steps) for steps in re.findall(rf"trial {n}/4 (\d+)/", printed)]
        assert min(repeated, default=STEPS + 1) > reached[n] - INTERVAL
    parent, nested = parent_and_nested(project)
    assert {run.info.status for run in (parent, *nested)} == {"FINISHED"}
    assert len(nested) == len(trials(project)) == 4
    ends = [max(curve(project, run)) for run in nested]
    assert max(ends) >= STEPS
    assert min(ends) < STEPS, "none was stopped early"
    for run, row in zip(nested, trials(project), strict=True):
        assert int(row["timesteps_total"]) == max(curve(project, run))
    assert not any((project.root / "runs" / "train").iterdir())
