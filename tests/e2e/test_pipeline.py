"""What the README promises, with its own commands, in a throw-away clone with a tiny budget."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from clones import REPOSITORY, Project, clone, set_param
from comparing import REPRO, Session

from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.training.metrics import SUMMARIZED

# the whole session is typed before the first test
pytestmark = pytest.mark.timeout(3600)


@pytest.fixture
def project(session: Session) -> Project:
    """A clone after its first `make repro`."""
    return session.baseline


def test_repro_leaves_every_output_and_a_clean_status(project: Project) -> None:
    for output in (
        "models/checkpoint/policy.json",
        "models/checkpoint/network.pt",
        "models/checkpoint/algorithm/rllib_checkpoint.json",
        "models/policy.onnx",
        "models/policy_static.onnx",
        "models/policy_streaming.onnx",
        "models/model_card.md",
        "results/report.html",
        "results/train/learning_curve.csv",
        "results/evaluate/comparison.md",
        "results/evaluate/tiles.csv",
        "results/evaluate/trajectories.png",
        "results/baselines/scores.json",
    ):
        assert (project.root / output).stat().st_size > 0, output
    assert not any((project.root / "runs" / "train").iterdir())
    assert "up to date" in project.type("dvc status")
    assert "up to date" in project.type("dvc repro")


def test_training_is_summarised(project: Project) -> None:
    summary = project.json("results/train/summary.json")
    assert summary.keys() == {
        "episode_reward_mean",
        "confirmed",
        "timesteps_total",
        "env_steps_per_s",
        "wall_s",
        "mlflow",
    }
    assert summary["timesteps_total"] == 128
    with (project.root / "results/train/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["timesteps_total"]) for row in rows] == [64, 128]
    best = max(float(row["episode_reward_mean"]) for row in rows)
    assert summary["episode_reward_mean"] == best
    assert project.json("models/checkpoint/policy.json")["provenance"]["episode_reward_mean"] == best


def test_the_model_is_confirmed_without_noise(session: Session, project: Project) -> None:
    summary = project.json("results/train/summary.json")
    confirmed, steps = (
        summary["confirmed"],
        project.json("models/checkpoint/policy.json")["provenance"]["timesteps_total"],
    )
    assert confirmed["drives"] == 128
    for name in ("episode_reward_mean", "survived_share"):
        (point,) = project.store.get_metric_history(summary["mlflow"]["run_id"], f"confirmed/{name}")
        assert (point.step, point.value) == (steps, confirmed[name])
    survived = round(128 * confirmed["survived_share"])
    said = (
        "confirmed by 128 drives from training's starts, without noise: reward "
        f"{confirmed['episode_reward_mean']:.1f} "
        f"({summary['episode_reward_mean']:.1f} with noise), {survived} of 128 reach the end"
    )
    assert said in session.printed[REPRO].splitlines()


def test_progress_is_plain_lines_where_there_is_no_terminal(session: Session) -> None:
    printed = session.printed[REPRO]
    assert re.search(
        r"^train 64/128 steps, \d+ steps/s, \d+:\d\d left, episode_reward_mean -?\d", printed, re.M
    )
    assert "\x1b" not in printed
    assert "Traceback" not in printed


def test_one_mlflow_run_holds_all_three_stages(project: Project) -> None:
    run_id = project.json("results/train/summary.json")["mlflow"]["run_id"]
    run = project.store.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["rllib.lr"] == "0.001"
    assert {point.step for point in project.store.get_metric_history(run_id, "episode_reward_mean")} == {
        64,
        128,
    }
    logged = run.data.metrics
    provenance = project.json("models/checkpoint/policy.json")["provenance"]
    assert logged.keys() >= {
        "reward/progress",
        "reward/lateral",
        "reward/crash",
        "loss/policy",
        "policy/kl",
        "policy/std",
        "optimizer/clipped_share",
        "env_steps_per_s",
        "evaluate/distance_m",
        "evaluate/driven_lanedir_consec",
        "evaluate/gate_must",
        "evaluate/full_lap_share",
        "loss/state",
        "export/max_abs_difference",
    }
    summaries = {f"{kind}/{name}" for kind in ("best", "last", "mean") for name in SUMMARIZED}
    assert logged.keys() > summaries
    assert logged["best/episode_reward_mean"] == provenance["episode_reward_mean"]
    named = {
        name for name in logged if not name.startswith(("confirmed/", "evaluate/", "export/", "system/"))
    }
    assert 20 <= len(named - summaries) <= 30
    documented = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert not [
        name
        for name in logged
        if not name.startswith(("reward/", "system/")) and f"| `{name}` |" not in documented
    ]
    tags = run.data.tags
    assert tags["git_commit"] == project.type("git rev-parse HEAD").strip()
    assert tags["model_sha256"] == provenance["weights_sha256"]
    assert tags["params_digest"] == provenance["params_digest"]
    artifacts = {item.path for item in project.store.list_artifacts(run_id, "evaluate")}
    files = {
        "comparison.md",
        "drive.mp4",
        "drives.json",
        "episodes.csv",
        "laps.csv",
        "scores.json",
        "seeds.csv",
    }
    assert artifacts == {f"evaluate/{name}" for name in (*files, "tiles.csv")}
    assert any("trajectories" in item.path for item in project.store.list_artifacts(run_id, "images"))
    assert "report.html" in {item.path for item in project.store.list_artifacts(run_id)}
    assert "export/model_card.md" in {item.path for item in project.store.list_artifacts(run_id, "export")}
    for stage in ("evaluate/scores", "export/check"):
        assert project.json(f"results/{stage}.json")["mlflow"]["run_id"] == run_id


def test_the_exported_model_has_its_scores(project: Project) -> None:
    run = project.store.get_run(project.json("results/train/summary.json")["mlflow"]["run_id"])
    datasets = [data.dataset.name for data in run.inputs.dataset_inputs]
    assert sorted(datasets) == ["loop_empty", "loop_empty: 2 starts", "recipe"]
    (model,) = project.store.search_logged_models(["1"])
    scored = {
        point.key: point.value for point in model.metrics if point.dataset_name == "loop_empty: 2 starts"
    }
    logged = {key: value for key, value in run.data.metrics.items() if key.startswith("evaluate/")}
    assert scored == logged
    assert model.params["rllib.lr"] == "0.001"


def test_scores_are_official_readable_and_listed_beside_the_baselines(project: Project) -> None:
    scores = project.json("results/evaluate/scores.json")
    assert scores["episodes"] == 2
    assert scores["official"].keys() >= {
        "driven_lanedir_consec",
        "survival_time",
        "deviation-center-line",
        "in-drivable-lane",
    }
    assert scores["readable"].keys() >= {"distance_m", "speed_mps", "lateral_mean_m", "in_lane_share", "laps"}
    # an easier task than the gate's, whatever the policy does
    assert scores["gate"].items() >= {"must": False, "goal": False, "episodes": 2}.items()
    for driver in ("trained", "proportional"):
        laps = scores["laps"][driver]
        assert laps["episodes"] == 4
        assert 0 <= laps["full_lap_share"] <= 1
        assert all(score["low"] <= score["median"] <= score["high"] for score in laps["official"].values())
    comparison = (project.root / "results/evaluate/comparison.md").read_text()
    for policy in ("trained", "proportional", "straight", "stand_still", "spin", "random"):
        assert f"| {policy} |" in comparison
    with (project.root / "results/evaluate/episodes.csv").open() as file:
        assert [row["episode"] for row in csv.DictReader(file)] == ["0", "1"]


def test_the_drive_can_be_watched(project: Project) -> None:
    with imageio.get_reader(project.root / "results/evaluate/drive.mp4") as video:
        frames = list(video.iter_data())
    # camera, what the network sees, and the map from above
    assert frames[0].shape[0] == 24 + 480
    assert frames[0].shape[1] > 640 + 320 + 300
    assert 2 <= len(frames) <= 15
    assert np.ptp(frames[0]) > 100


def test_the_export_was_checked(project: Project) -> None:
    check = project.json("results/export/check.json")
    assert check["frames"] >= 500
    assert check["max_abs_difference"] <= 1e-4
    assert check["onnx_bytes"] == (project.root / "models/policy.onnx").stat().st_size
    assert (
        OnnxPolicy(project.root / "models/policy.onnx").provenance["mlflow_run_id"]
        == check["mlflow"]["run_id"]
    )


def test_drive_films_the_exported_policy_and_checks_it_against_the_gate(project: Project) -> None:
    printed = project.type(
        "ducklane drive --model models/policy.onnx --all --seconds 1 --video out/drive.mp4"
    )
    assert "onnx" in printed
    assert re.search(r"^gate not passed: \d of 2 survived, ", printed, re.M), printed
    with imageio.get_reader(project.root / "out/drive.mp4") as video:
        assert video.count_frames() >= 2


@pytest.mark.parametrize("stage", ["inputs", "train", "evaluate", "baselines", "export", "report"])
def test_wrong_settings_are_refused_in_one_line_and_nothing_is_written(tmp_path: Path, stage: str) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    set_param(tmp_path / "params.yaml", "rllib.lr", "fast")
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", REPOSITORY / "pipeline" / f"{stage}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    loaded = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert said == ["params.yaml: rllib.lr: got the text 'fast'; give a number > 0 and <= 1"]
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert not loaded & {"ray", "torch", "mlflow", "gym_duckietown", "pyglet"}


@pytest.mark.parametrize("key", ["simulator.map_name", "evaluate.map_name"])
def test_an_unknown_map_is_refused_before_training_with_similar_names(tmp_path: Path, key: str) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    set_param(tmp_path / "params.yaml", key, "loop_emtpy")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "pipeline" / "train.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        f"params.yaml: {key}: there is no map 'loop_emtpy'; did you mean loop_empty"
    )


@pytest.mark.full
def test_make_repro_installs_everything_by_itself(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    # nothing of the environment that runs the tests
    path = project.environment["PATH"].split(":")
    project.environment["PATH"] = ":".join(path[1:])
    printed = project.type("make repro")
    assert "setup: done" in printed
    assert (project.root / "models/policy.onnx").exists()
    assert "setup:" not in project.type("make repro")


@pytest.mark.full
def test_seeds_are_scored_and_listed_in_the_readme(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    project.type("dvc repro")
    command = "python benchmarks/seeds.py --seed 1 --seed 2"
    assert "Running stage 'train'" in project.type(command)
    found = project.json("benchmarks/results/seeds.json")["seeds"]
    assert found["1"]["gate"] == project.json("results/evaluate/scores.json")["gate"]
    assert found["1"]["train"] != found["2"]["train"]
    readme = (project.root / "README.md").read_text()
    for seed in found:
        assert f"| trained, seed {seed} | {found[seed]['gate']['survived']} of 2 |" in readme
    assert (project.root / "benchmarks/results/seeds.png").stat().st_size > 0
    assert "Running stage" not in project.type(command)
    assert (project.root / "README.md").read_text() == readme
