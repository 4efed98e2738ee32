"""What the README promises, typed as it says, in a throw-away clone with a tiny budget."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from clones import REPOSITORY, Project, clone, set_param

from ducklane.export.onnx_policy import OnnxPolicy

# before the first test everything is installed
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after its first `make repro`, which installs everything."""
    cloned = clone(tmp_path_factory.mktemp("e2e") / "ducklane")
    cloned.printed = cloned.type("make repro")  # type: ignore[attr-defined]
    return cloned


def test_repro_leaves_every_output_and_a_clean_status(project: Project) -> None:
    for output in (
        "models/checkpoint/policy.json",
        "models/checkpoint/network.pt",
        "models/checkpoint/algorithm/rllib_checkpoint.json",
        "models/policy.onnx",
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
    assert summary.keys() == {"episode_reward_mean", "timesteps_total", "env_steps_per_s", "wall_s", "mlflow"}
    assert summary["timesteps_total"] == 128
    with (project.root / "results/train/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["timesteps_total"]) for row in rows] == [64, 128]
    best = max(float(row["episode_reward_mean"]) for row in rows)
    assert summary["episode_reward_mean"] == best
    assert project.json("models/checkpoint/policy.json")["provenance"]["episode_reward_mean"] == best


def test_progress_is_plain_lines_where_there_is_no_terminal(project: Project) -> None:
    printed = project.printed  # type: ignore[attr-defined]
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
    assert logged.keys() >= {
        "reward/progress",
        "reward/lateral",
        "reward/crash",
        "loss/policy",
        "policy/kl",
        "policy/std",
        "env_steps_per_s",
        "evaluate/distance_m",
        "evaluate/driven_lanedir_consec",
        "evaluate/gate_must",
        "evaluate/full_lap_share",
        "loss/state",
        "export/max_abs_difference",
    }
    assert 20 <= len([name for name in logged if not name.startswith(("evaluate/", "export/"))]) <= 30
    documented = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert not [
        name for name in logged if not name.startswith("reward/") and f"| `{name}` |" not in documented
    ]
    tags = run.data.tags
    assert tags["git_commit"] == project.type("git rev-parse HEAD").strip()
    provenance = project.json("models/checkpoint/policy.json")["provenance"]
    assert tags["model_sha256"] == provenance["weights_sha256"]
    assert tags["params_digest"] == provenance["params_digest"]
    artifacts = {item.path for item in project.store.list_artifacts(run_id, "evaluate")}
    assert artifacts >= {"evaluate/scores.json", "evaluate/drive.mp4", "evaluate/trajectories.png"}
    assert "evaluate/tiles.csv" in artifacts
    for stage in ("evaluate/scores", "export/check"):
        assert project.json(f"results/{stage}.json")["mlflow"]["run_id"] == run_id


def test_scores_are_official_and_readable_and_beside_the_baselines(project: Project) -> None:
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


def test_drive_films_the_exported_policy(project: Project) -> None:
    printed = project.type("ducklane drive --model models/policy.onnx --seconds 1 --video out/drive.mp4")
    assert "onnx" in printed
    with imageio.get_reader(project.root / "out/drive.mp4") as video:
        assert video.count_frames() >= 2


def test_drive_holds_the_exported_policy_against_the_gate(project: Project) -> None:
    printed = project.type("ducklane drive --all --seconds 1 --video out/all.mp4")
    assert re.search(r"^gate not passed: \d of 2 survived, ", printed, re.M), printed


@contextmanager
def two_nodes(project: Project) -> Iterator[str]:
    """A Ray cluster of two nodes with a CPU each, started as its manual says; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    project.environment |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    nodes = []
    try:
        for role in (f"--head --port={address.split(':')[1]}", f"--address={address}"):
            nodes.append(project.start(f"ray start {role} --num-cpus=1 --block"))
            _wait_for(nodes[-1], "Ray runtime started")
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait()


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if text in line:
            return
    raise AssertionError("".join(printed))


def test_two_workers_or_two_trials_train_on_two_nodes_of_a_cluster(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "rllib.num_workers", 2)
    with two_nodes(project) as address:
        project.environment["RAY_ADDRESS"] = address
        assert "best checkpoint" in project.type("python pipeline/train.py")
        assert project.json("results/train/summary.json")["timesteps_total"] >= 128
        set_param(project.root / "params.yaml", "rllib.num_workers", 0)
        set_param(project.root / "params.yaml", "tune.num_samples", 2)
        assert re.search(r"best checkpoint: .* of trial [12] ", project.type("python pipeline/train.py"))
        assert {run.info.status for run in project.store.search_runs(["1"])} == {"FINISHED"}
        # a cluster that has too little refuses, as a machine does
        set_param(project.root / "params.yaml", "rllib.num_workers", 3)
        set_param(project.root / "params.yaml", "rllib.train_batch_size", 96)
        refused = project.type("python pipeline/train.py", code=2)
        assert "3 workers need 3 CPUs, and there are 2" in refused
    gone = project.type("python pipeline/train.py", code=1)
    assert f"RAY_ADDRESS: no Ray cluster answers at {address}" in gone


def test_seeds_are_scored_and_told_in_the_readme(project: Project) -> None:
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


def test_a_changed_setting_is_a_second_experiment_with_a_run_of_its_own(project: Project) -> None:
    first = project.json("results/train/summary.json")["mlflow"]["run_id"]
    project.type("git add -A")
    project.type("git commit -qm results")
    project.type("dvc exp run -S rllib.lr=0.0003 --name slower")
    second = project.json("results/train/summary.json")["mlflow"]["run_id"]
    assert second != first
    run = project.store.get_run(second)
    assert run.info.run_name == "slower"
    assert run.data.params["rllib.lr"] == "0.0003"
    assert run.data.tags["dvc_experiment"] == "slower"
    assert len(project.store.get_metric_history(second, "episode_reward_mean")) == 2
    shown = project.type("dvc exp show")
    assert first in shown
    assert second in shown


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_exits_non_zero_and_leaves_nothing(
    tmp_path: Path, sent: signal.Signals
) -> None:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "tune.stop.timesteps_total", 100_000)
    process = project.start("python pipeline/train.py")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("train 64/"):
            break
    process.send_signal(sent)
    printed = process.stdout.read()
    assert process.wait() == 130, printed
    assert re.search(r"training interrupted at \d+ of 100000 steps; the same command goes on", printed)
    assert not (project.root / "models" / "checkpoint").exists()
    assert not (project.root / "results" / "train" / "summary.json").exists()
    (run,) = project.store.search_runs(["1"])
    assert run.info.status == "KILLED"


@pytest.mark.parametrize("stage", ["train", "evaluate", "baselines", "export"])
def test_wrong_settings_are_one_line_and_nothing_is_written(tmp_path: Path, stage: str) -> None:
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
def test_an_unknown_map_is_refused_before_training_with_the_nearest_names(tmp_path: Path, key: str) -> None:
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
