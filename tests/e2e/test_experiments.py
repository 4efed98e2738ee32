"""What the session of docs/comparing.md left: experiments that can be compared, traced and repeated."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clones import Project, clone
from comparing import EXPERIMENTS, REPRO, Session, traced

# the whole session is typed before the first test
pytestmark = pytest.mark.timeout(3600)


def weights_of(project: Project) -> str:
    return project.json("models/checkpoint/policy.json")["provenance"]["weights_sha256"]


def repeated(project: Project) -> dict[str, Any]:
    """What the same code, settings and seed must reproduce: model, learning curve, scores."""
    scores = project.json("results/evaluate/scores.json")
    with (project.root / "results/train/learning_curve.csv").open() as file:
        curve = [
            {name: value for name, value in row.items() if not re.search(r"^time/|^machine/|per_s$", name)}
            for row in csv.DictReader(file)
        ]
    return {
        "model": weights_of(project),
        "curve": curve,
        "scores": {name: value for name, value in scores.items() if name != "mlflow"},
        "episodes": (project.root / "results/evaluate/episodes.csv").read_text(),
    }


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_one_complete_run_under_its_name(session: Session, name: str) -> None:
    run = session.run_of(name)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == name
    points = session.project.store.get_metric_history(run.info.run_id, "episode_reward_mean")
    assert [point.step for point in points] == [64, 128]
    tags = run.data.tags
    assert tags["git_commit"] == session.project.type("git rev-parse HEAD").strip()
    assert tags["git_dirty"] == ("true" if name == "bolder" else "false")
    assert re.fullmatch("[0-9a-f]{64}", tags["params_digest"])
    assert re.fullmatch("[0-9a-f]{64}", tags["model_sha256"])


def test_experiments_differ_in_what_was_changed(session: Session) -> None:
    params = {name: session.run_of(name).data.params for name in EXPERIMENTS}
    assert {name: float(params[name]["rllib.lr"]) for name in EXPERIMENTS} == {
        "slower": 0.0003,
        "bolder": 0.001,
        "lr-1": 0.0005,
        "lr-2": 0.002,
        "seed-1": 0.001,
    }
    assert [params[name]["simulator.seed"] for name in EXPERIMENTS] == ["1", "1", "1", "1", "2"]
    tags = [session.run_of(name).data.tags for name in EXPERIMENTS if name != "bolder"]
    assert len({tag["params_digest"] for tag in tags}) == len({tag["model_sha256"] for tag in tags}) == 4
    # a remark in the code changes nothing
    assert session.run_of("bolder").data.tags["model_sha256"] == weights_of(session.baseline)


def test_a_baseline_is_a_run_without_an_experiment(session: Session) -> None:
    runs = session.project.store.search_runs(["1"])
    (baseline,) = [run for run in runs if "dvc_experiment" not in run.data.tags]
    assert baseline.data.tags["git_commit"] == session.code
    assert baseline.data.tags["git_dirty"] == "false"
    assert len(runs) == 1 + len(EXPERIMENTS)


def test_the_working_tree_is_compared_with_the_commit(session: Session) -> None:
    assert re.search(r"rllib\.lr +0\.001 +0\.0003", session.printed["dvc params diff"])
    metrics = session.printed["dvc metrics diff"]
    assert re.search(r"readable\.distance_m +\d\S+ +\d\S+ +-?\d", metrics)
    assert weights_of(session.baseline) in metrics
    assert session.run_of("slower").data.tags["model_sha256"] in metrics


def test_both_learning_curves_are_in_one_plot(session: Session) -> None:
    page = (session.project.root / "dvc_plots" / "index.html").read_text()
    (spec,) = re.findall(r'id *= *"learning_curve".*?var spec = (\{.*?\});?\n', page, re.DOTALL)
    points = json.loads(spec)["data"]["values"]
    for name in ("slower", "lr-1"):
        drawn = {
            (float(point["timesteps_total"]), float(point["episode_reward_mean"]))
            for point in points
            if point["rev"] == name
        }
        run_id = session.run_of(name).info.run_id
        logged = session.project.store.get_metric_history(run_id, "episode_reward_mean")
        assert drawn == {(float(point.step), point.value) for point in logged}


def test_experiments_are_listed_side_by_side(session: Session) -> None:
    (shown,) = [printed for command, printed in session.printed.items() if "exp show" in command]
    for name in EXPERIMENTS:
        assert f"[{name}]" in shown
    everything = session.project.type("dvc exp show")
    for experiment in ("slower", "seed-1"):
        assert session.run_of(experiment).info.run_id in everything
    differing = session.printed["dvc exp diff slower lr-1"]
    assert re.search(r"rllib\.lr +0\.0003 +0\.0005 +0\.0002", differing)
    assert "episode_reward_mean" in differing


def test_the_queue_says_what_it_did(session: Session) -> None:
    status = session.printed["dvc queue status"]
    for name in ("lr-1", "lr-2", "seed-1"):
        assert re.search(rf"{name} .*Success", status)
    assert "seed-2" not in status
    assert "best checkpoint: episode_reward_mean" in session.printed["dvc queue logs lr-1"]


def test_removed_experiments_stay_in_mlflow(session: Session) -> None:
    listed = session.project.type("dvc exp list --name-only").split()
    assert sorted(listed) == ["best", "bolder", "seed-1", "slower"]
    run_id = session.run_of("lr-1").info.run_id
    assert "lr-1 no longer exists" in traced(session.project, run_id)


def links(printed: str) -> dict[str, str]:
    """The chain that lineage printed, without the model's place, and without the checks."""
    rows = [(line[:15].strip(), line[15:]) for line in printed.splitlines()]
    return {name: value for name, value in rows if name not in ("model", "ok", "note", "WRONG")}


def test_an_experiment_its_run_and_its_models_lead_to_each_other(session: Session) -> None:
    run = session.run_of("slower")
    printed = [text for command, text in session.printed.items() if "lineage" in command]
    first, *others = map(links, printed)
    assert len(others) == 3
    assert all(other == first for other in others)
    assert first["MLflow run"].startswith(run.info.run_id)
    assert first["DVC experiment"] == "slower"
    assert first["code"] == session.project.type("git rev-parse HEAD").strip()
    assert first["weights"] == run.data.tags["model_sha256"]
    assert first["settings"] == run.data.tags["params_digest"]
    for text in printed:
        assert "weights: model, run and scores agree" in text
        assert "settings: slower holds the run's params.yaml" in text


def test_the_lineage_reports_what_the_scores_do_not_show(session: Session) -> None:
    best = traced(session.project, "best")
    assert "run: was started in the experiment slower; best took over its model" in best
    bolder = traced(session.project, "bolder")
    assert "scores: those in bolder are of another model" in bolder
    assert "code: had changes that are not in its commit; bolder holds those" in bolder


@contextmanager
def changed(file: Path, old: bytes, new: bytes) -> Iterator[None]:
    """A file with other content for a while."""
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    try:
        yield
    finally:
        file.write_bytes(content)


def other(digest: str) -> str:
    """A digest that differs in its first digit."""
    return ("0" if digest[0] != "0" else "1") + digest[1:]


@pytest.mark.parametrize(
    ("what", "tag", "model"),
    [
        ("weights", "model_sha256", "models/policy.onnx"),
        ("settings", "params_digest", "models/checkpoint"),
        ("code", "git_commit", "models/policy.onnx"),
    ],
)
def test_a_run_that_was_tampered_with_is_detected(session: Session, what: str, tag: str, model: str) -> None:
    run = session.run_of("slower")
    value = run.data.tags[tag]
    session.project.store.set_tag(run.info.run_id, tag, other(value))
    try:
        printed = traced(session.project, model, agrees=False)
    finally:
        session.project.store.set_tag(run.info.run_id, tag, value)
    assert re.search(rf"^WRONG +{what}: {value[:12]} in model, {other(value)[:12]} in run", printed, re.M)


def test_a_model_that_was_tampered_with_is_detected(session: Session) -> None:
    project, tags = session.project, session.run_of("slower").data.tags
    policy = project.root / "models/checkpoint/policy.json"
    digest = tags["params_digest"]
    with changed(policy, digest.encode(), other(digest).encode()):
        printed = traced(project, "models/checkpoint", agrees=False)
        assert re.search(
            rf"^WRONG +settings: {other(digest)[:12]} in model, {digest[:12]} in run", printed, re.M
        )
    weights = tags["model_sha256"]
    with changed(policy, weights.encode(), other(weights).encode()):
        printed = project.type("ducklane lineage models/checkpoint", code=1)
        assert "network.pt: is not the network that policy.json describes" in printed
    exported = project.root / "models/policy.onnx"
    with changed(exported, weights.encode(), other(weights).encode()):
        printed = project.type("ducklane lineage models/policy.onnx", code=1)
        assert printed.startswith("models/policy.onnx: is damaged")


def test_settings_that_were_tampered_with_are_detected(session: Session) -> None:
    run_id = session.run_of("slower").info.run_id
    (stored,) = (session.project.root / "mlartifacts").glob(f"{run_id}/artifacts/params.yaml")
    with changed(stored, b"lr: 0.0003", b"lr: 0.0004"):
        printed = traced(session.project, run_id, agrees=False)
    assert re.search(r"^WRONG +settings: \w+ in model, \w+ in run, \w+ in run's params.yaml", printed, re.M)
    assert re.search(r"^WRONG +settings: rllib.lr is 0.0004 in the run, 0.0003 in slower", printed, re.M)


@pytest.mark.full
def test_the_same_commit_gives_the_same_model_curve_and_scores(session: Session, tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    project.type(REPRO)
    assert repeated(project) == repeated(session.baseline)
    first = project.json("results/train/summary.json")["mlflow"]["run_id"]
    project.type("dvc repro --force --single-item train evaluate")
    assert project.json("results/train/summary.json")["mlflow"]["run_id"] != first
    assert repeated(project) == repeated(session.baseline)
