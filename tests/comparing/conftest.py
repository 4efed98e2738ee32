"""A project with recipes whose seeds were scored, in commits and in an MLflow store."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ducklane.tracking import runs as tracking

REPOSITORY = Path(__file__).resolve().parents[2]
TASK = {"evaluate.map_name": "loop_empty", "evaluate.episodes": 10, "map": "ab" * 32}
LOOPS_M = (10.558, 8.969)
DRIVES = {"episodes": 10, "laps": 24}
COLUMNS = (
    *("seed", "policy", "episode", "start_x_m", "start_z_m", "start_angle_rad", "survived", "distance_m"),
    *("survival_s", "speed_mps", "lateral_mean_m", "in_lane_share", "laps"),
)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, empty_store: Callable[[Path], Path]) -> Path:
    """A repository with a commit for each of several training runs, and a store without runs."""
    root = tmp_path_factory.mktemp("comparing")
    (root / ".gitignore").write_text("/mlflow.db\n/mlartifacts/\n")
    empty_store(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.prepare_store("ducklane")  # the first to open it is told that it was moved here
        git("init", "-q")
        git("config", "user.name", "tester")
        git("config", "user.email", "tester@localhost")
        shutil.copy(REPOSITORY / "dvc.yaml", root)
        commit("code")
        write_results({1: 8.0, 2: 8.1, 3: 7.9})
        commit("base")
        write_results({4: 8.05, 5: 7.85, 6: 8.1})
        commit("again")
        write_results({1: 7.1, 2: 7.0, 3: 7.2}, lr=0.0003)
        commit("slower")
        for seed in (1, 2, 3):
            write_results({seed: 7.0 + seed / 10}, lr=0.0003, model="one by one", run_id=str(seed) * 32)
            commit(f"seed-{seed}")
        write_results({1: 8.0}, task={**TASK, "evaluate.episodes": 4})
        commit("short")
        write_results({1: 8.0, 2: 8.1, 3: 7.9}, lr=0.004, off_centre_m=0.03)
        commit("wavering")
        write_results({1: 7.2, 2: 2.4, 3: 4.6}, lr=0.1, crashes=(2, 3), off_centre_m=0.2)
        commit("uneven")
    return root


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: the repository, which tests may not change, with its store."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("DVC_ROOT", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture
def record(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Record a training run in the store: record({1: 8.0}, code="other") returns the id of its run."""

    def record_run(distances: Mapping[int, float], parent: str | None = None, **changes: Any) -> str:
        store = tracking.client()
        tags = {"recipe_digest": digest(changes.get("lr", 0.001)), "git_commit": git("rev-parse", "HEAD")}
        if parent:
            tags |= {tracking.PARENT_RUN: parent, "stage": "evaluate"}
        run_id = store.create_run(tracking.prepare_store("ducklane"), tags=tags).info.run_id
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            write_results(distances, run_id=parent or run_id, **changes)
            if not parent:
                store.log_artifact(run_id, "params.yaml")
                store.log_artifacts(run_id, "results/train", "train")
            if distances:
                store.log_artifacts(run_id, "results/evaluate", "evaluate")
        return str(run_id)

    return record_run


@pytest.fixture
def recipe() -> Callable[[float], str]:
    """Digest of the recipe with a learning rate."""
    return digest


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(name: str) -> None:
    git("add", "-A")
    git("commit", "-qm", name)
    git("tag", name)


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def write_results(
    distances: Mapping[int, float],
    *,
    lr: float = 0.001,
    code: str = "code",
    run_id: str = "0" * 32,
    task: Mapping[str, object] = TASK,
    crashes: Sequence[int] = (),
    model: str = "",
    off_centre_m: float = 0.02,
) -> None:
    """Write the results of a training run into the working directory.

    Args:
        distances: seed -> metres that it drives in gym-duckietown.
        lr: the learning rate, of which the recipe's digest is made.
        code: of which the code's digest is made.
        run_id: its id in MLflow.
        task: what the scores are of.
        crashes: seeds of which every other drive ends early.
        model: makes other models of the same seeds.
        off_centre_m: on average, of all seeds.
    """
    params = (REPOSITORY / "params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("lr: 0.001 ", f"lr: {lr} "))
    runs = {seed: digest((run_id, seed))[:32] for seed in distances}
    _json("train/summary", {"mlflow": {"run_id": run_id}})
    trials = [[n, seed, 1, 600, runs[seed]] for n, seed in enumerate(distances, 1)]
    _csv("train/trials", ["trial", "simulator.seed", "timesteps_total", "score", "mlflow_run_id"], trials)
    recipe = {"digest": digest(lr), "code": digest(code)}
    _json("evaluate/scores", {"task": task, "recipe": recipe, "mlflow": {"run_id": run_id}})
    seeds = [[seed, n == 0, digest((lr, code, seed, model)), runs[seed]] for n, seed in enumerate(distances)]
    _csv("evaluate/seeds", ["seed", "best", "model_sha256", "mlflow_run_id"], seeds)
    for name, count in DRIVES.items():
        scale = 1 if name == "episodes" else 4
        rows = [
            row
            for seed, distance in distances.items()
            for row in _drives(seed, scale * distance, count, off_centre_m, crashing=seed in crashes)
        ]
        straight = [["", "proportional", *row[2:]] for row in rows[:count]] if name == "laps" else []
        _csv(f"evaluate/{name}", COLUMNS, [*rows, *straight])


def _drives(
    seed: int, distance: float, count: int, off_centre_m: float, *, crashing: bool
) -> list[list[Any]]:
    rng = np.random.default_rng(seed)
    of_seed = off_centre_m + rng.normal(0, 0.001)
    rows = []
    for start in range(count):
        outer = start < count / 2
        crashed = crashing and start % 2 == 0
        driven = (0.3 if crashed else 1.0) * (distance + (0.15 if outer else -0.15) + rng.normal(0, 0.05))
        off_centre = of_seed + rng.normal(0, 0.001)
        loop = LOOPS_M[0 if outer else 1]
        place = [0.1 * start, 0.5, 0.2]
        rows.append(
            [
                seed,
                "trained",
                start,
                *place,
                not crashed,
                driven,
                15,
                driven / 15,
                off_centre,
                1.0,
                driven / loop,
            ]
        )
    return rows


def _json(name: str, content: object) -> None:
    path = Path("results", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _csv(name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    path = Path("results", f"{name}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
