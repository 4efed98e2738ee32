"""An experiment with three seeds, made of the results in the repository and of invented scores."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest

from ducklane import settings as ducklane_settings
from ducklane.policy import TrainedPolicy
from ducklane.project.stages import read_stages
from ducklane.reporting.origin import Recorded
from ducklane.reporting.results import SEEDS, Results, read_csv, read_results, values_of
from ducklane.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = ("params.yaml", "dvc.yaml", "pyproject.toml", "docs/parameters.md")
DISTANCES = {"1": 7.99, "2": 8.04, "3": 8.01}
BEST = "2"
SEED = "simulator.seed"
WEIGHTS = "ab" * 32

TAGS = {"git_dirty": "false", "dvc_experiment": "three-seeds"}


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def change(path: Path, values: Mapping[str, object]) -> None:
    """Replace some keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="session")
def experiment(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Settings,
    make_policy: Callable[[Settings], TrainedPolicy],
) -> Path:
    """Its folder, as the stages before the report leave it. Copy it before you change it."""
    folder = tmp_path_factory.mktemp("experiment")
    for name in SHIPPED:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    for name in ("train", "evaluate", "baselines", "export"):
        shutil.copytree(REPOSITORY / "results" / name, folder / "results" / name)
    spec = make_policy(settings).spec
    origin = {
        "weights_sha256": WEIGHTS,
        "seed": int(BEST),
        "timesteps_total": 8192,
        "git_commit": "c0ffee" * 6,
    }
    known = spec.provenance.model_copy(update=origin)
    (folder / "models/checkpoint").mkdir(parents=True)
    (folder / "models/checkpoint/policy.json").write_text(
        spec.model_copy(update={"provenance": known}).model_dump_json(by_alias=True)
    )
    _film(folder / "results/evaluate/drive.mp4")
    _train(folder / "results/train")
    _score(folder / "results/evaluate")
    return folder


def _film(path: Path) -> None:
    with imageio.get_writer(path, format="FFMPEG", mode="I", fps=30, macro_block_size=2) as writer:
        for number in range(45):
            writer.append_data(np.full((96, 256, 3), 5 * number, np.uint8))


def _train(folder: Path) -> None:
    confirmed = {"drives": 128, "episode_reward_mean": 612.34, "survived_share": 0.8}
    change(folder / "summary.json", {"confirmed": confirmed})
    trials = [(str(number), seed) for number, seed in enumerate(DISTANCES, 1)]
    # a fourth one, of another recipe, whose model was not scored
    write_csv(
        folder / "trials.csv",
        [
            {"trial": trial, SEED: seed, "mlflow_run_id": f"run-{trial}"}
            for trial, seed in [*trials, ("4", "1")]
        ],
    )
    rows = [
        {
            "trial": trial,
            "seed": seed,
            "timesteps_total": steps + int(seed),
            # none has ended an episode in its first iteration
            "episode_reward_mean": "nan" if steps == 1024 else steps / 20 + 30 * int(trial),
        }
        for trial, seed in [*trials, ("4", "1")]
        for steps in range(1024, 11000, 1024)
    ]
    write_csv(folder / "curves.csv", rows)


def _score(folder: Path) -> None:
    shares = {"survived_share": 1.0, "in_lane_share": 0.995, "laps_survived_share": 0.9921875}
    rows = [
        {
            "seed": seed,
            "best": seed == BEST,
            "model_sha256": WEIGHTS if seed == BEST else "cd" * 32,
            "mlflow_run_id": f"run-{trial}",
            **shares,
            "distance_m": distance,
            "lateral_mean_m": 0.02 + int(seed) / 1000,
            "laps_distance_m": 4 * distance,
            "laps_lateral_mean_m": 0.015,
            "laps_in_lane_share": 1.0,
        }
        for trial, (seed, distance) in enumerate(DISTANCES.items(), 1)
    ]
    write_csv(folder / "seeds.csv", rows)
    names = [name for name in rows[0] if name not in ("seed", "best", "model_sha256", "mlflow_run_id")]
    over = {name: {"median": rows[0][name], "low": rows[0][name], "high": rows[0][name]} for name in names}
    over["distance_m"] = {"median": 8.01, "low": 7.99, "high": 8.04}
    change(
        folder / "scores.json",
        {
            "model_sha256": WEIGHTS,
            "seeds": {"count": len(rows), **over},
            "task": {"evaluate.map_name": "loop_empty"},
            "recipe": {"digest": "5e" * 32, "code": "0d" * 32},
        },
    )
    driven = {"survived": True, "lateral_mean_m": 0.05, "in_lane_share": 0.98}
    write_csv(folder / "laps.csv", [{"seed": "", "policy": "proportional", **driven}] * 3)


@pytest.fixture
def here(experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the experiment, in which the test runs."""
    folder = tmp_path / "experiment"
    shutil.copytree(experiment, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def results(here: Path) -> Results:
    return read_results()


@pytest.fixture
def own_settings(here: Path) -> Settings:
    return ducklane_settings.load()


@pytest.fixture
def run() -> Recorded:
    return Recorded("9" * 32, "experiment ducklane", "http://me:***@server:5000", TAGS)


@pytest.fixture(scope="session")
def listed() -> dict[str, tuple[str, ...]]:
    """The files that each stage depends on, by dvc.yaml."""
    content: Any = ducklane_settings.read_yaml(REPOSITORY / "dvc.yaml")
    return {name: stage.files for name, stage in read_stages(content).items()}


@pytest.fixture
def champion_scores(here: Path) -> dict[str, Any]:
    """Those of another model, from the same task."""
    scores = json.loads((here / "results/evaluate/scores.json").read_text())
    return {**scores, "model_sha256": "ef" * 32, "readable": {**scores["readable"], "distance_m": 8.88}}


@pytest.fixture
def one_seed(here: Path) -> Path:
    """The folder, with the results of a training run with the best seed alone."""
    for name in ("evaluate/seeds.csv", "evaluate/laps.csv", "train/curves.csv", "train/trials.csv"):
        path = here / "results" / name
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("seed", row.get(SEED)) in (BEST, "")]
        write_csv(path, rows)
    scores = json.loads((here / "results/evaluate/scores.json").read_text())
    (row,) = read_csv(SEEDS, "evaluate")
    write_csv(here / SEEDS, [{**row, **values_of(scores)}])
    return here
