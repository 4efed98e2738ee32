"""A run shows what it used, how busy the machine was, and how well its exported model drives."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import Image

from ducklane.settings import Settings
from ducklane.tracking.logged.datasets import scoring_data
from ducklane.tracking.logged.models import add_scores
from ducklane.tracking.logged.system_metrics import system_metrics
from ducklane.tracking.runs import Run, continued_run, training_run, trial_run
from ducklane.tracking.store.opening import client, prepare_store, store_uri
from ducklane.tracking.view import COLUMNS, TAG, save_view

ROAD = "tile_size: 0.585\ntiles: [[straight/W, floor]]\n"
BUSY = "system/cpu_utilization_percentage"
SCORES = {"evaluate/distance_m": 8.0, "evaluate/survived": 2.0}

pytestmark = pytest.mark.usefixtures("own_store")

Changed = Callable[..., Settings]


def used(run: Run) -> dict[str, tuple[str, str]]:
    """Name of each dataset of a run -> its digest, and what it was used for."""
    inputs = client().get_run(run.id).inputs.dataset_inputs
    return {data.dataset.name: (data.dataset.digest, data.tags[0].value) for data in inputs}


def test_a_run_names_the_maps_and_the_recipe_that_it_used(changed: Changed) -> None:
    with training_run(changed(simulator={"map_name": ["loop_empty", "small_loop"]}), None) as run:
        pass
    found = used(run)
    assert found.keys() == {"loop_empty", "small_loop", "recipe"}
    assert {purpose for _, purpose in found.values()} == {"training"}
    assert found["loop_empty"][0] != found["small_loop"][0]
    recipe = client().get_run(run.id).data.tags["recipe_digest"]
    assert recipe.startswith(found["recipe"][0])


def test_seeds_of_a_recipe_are_found_by_one_dataset(changed: Changed) -> None:
    found = []
    for chosen in (changed(), changed(simulator={"seed": 7}), changed(rllib={"lr": 0.0003})):
        with training_run(chosen, None) as run:
            found.append(used(run)["recipe"])
    assert found[0] == found[1] != found[2]


def test_an_edited_map_is_another_dataset(
    changed: Changed, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own_store)
    mine = own_store / "maps" / "mine.yaml"
    mine.parent.mkdir()
    settings = changed(simulator={"map_name": "mine"}, evaluate={"map_name": "mine"})
    trained, scored = [], []
    for text in (ROAD, f"{ROAD}# the same road\n", ROAD):
        mine.write_text(text)
        with training_run(settings, None) as run:
            run.log_datasets(scoring_data(settings, {}))
        trained.append(used(run)["mine"])
        scored.append(used(run)[f"mine: {settings.evaluate.episodes} starts"])
    assert trained[0] == trained[2] != trained[1]
    assert scored[0] == scored[2] != scored[1]


def test_the_map_of_an_evaluation_is_told_from_the_same_one_in_training(settings: Settings) -> None:
    with training_run(settings, None) as run:
        pass
    for _ in range(2):  # scored again
        with continued_run(run.id, settings, "evaluate") as again:
            again.log_datasets(scoring_data(settings, {"evaluate.episodes": 20}))
    purposes = {name: purpose for name, (_, purpose) in used(run).items()}
    assert purposes == {"loop_empty": "training", "recipe": "training", "loop_empty: 20 starts": "evaluation"}
    (other,) = scoring_data(settings, {"evaluate.episodes": 3})
    assert other.dataset.digest != used(run)["loop_empty: 20 starts"][0]


def steps(run: Run) -> list[int]:
    return sorted(point.step for point in client().get_metric_history(run.id, BUSY))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def often(own_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    prepare_store("ducklane")  # the first to open it is told that it was moved here
    capfd.readouterr()


@pytest.mark.usefixtures("often")
def test_the_use_of_the_machine_is_logged_also_by_a_resumed_training(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with suppress(KeyboardInterrupt), training_run(settings, None) as run, system_metrics(run.id):
        wait_for(lambda: len(steps(run)) >= 2)
        raise KeyboardInterrupt
    before = steps(run)
    with training_run(settings, run.id) as run, system_metrics(run.id):
        wait_for(lambda: len(steps(run)) > len(before))
    found = steps(run)
    assert found == list(range(len(found)))
    assert client().get_run(run.id).data.metrics["system/system_memory_usage_percentage"] > 0
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.usefixtures("often")
def test_the_use_of_the_machine_is_logged_again_after_the_store_was_away(
    settings: Settings, own_store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def rename(table: str, name: str) -> None:
        with sqlite3.connect(own_store / "mlflow.db", timeout=60) as database:
            database.execute("pragma legacy_alter_table = on")
            database.execute(f"alter table {table} rename to {name}")

    with training_run(settings, None) as run, system_metrics(run.id):
        wait_for(lambda: bool(steps(run)))
        rename("runs", "away")
        time.sleep(0.5)  # some tries
        rename("away", "runs")
        before = len(steps(run))
        wait_for(lambda: len(steps(run)) > before + 1)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:1"),
        ("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "often"),
    ],
)
def test_training_goes_on_where_the_machine_cannot_be_watched(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(variable, value)
    trained = False
    with system_metrics("0" * 32):
        trained = True
    assert trained


def score(run_id: str, settings: Settings) -> Run:
    with continued_run(run_id, settings, "evaluate") as run:
        run.log_datasets(scoring_data(settings, {}))
        run.log_metrics(SCORES, step=64)
    return run


def export(run: Run, policy: Path, trained_in: str | None = None) -> str:
    return run.log_policy(policy, registered_name="policy", frames_shape=(1, 2, 2, 3), trained_in=trained_in)


def of_model(model: str) -> Any:
    store = client()
    version = store.get_model_version("policy", model.rpartition("/")[2])
    return store.get_logged_model(version.source.removeprefix("models:/"))


def test_an_exported_model_has_its_scores_its_settings_and_its_origin(
    settings: Settings, smallest_policy: Path
) -> None:
    with training_run(settings, None) as run:
        run.log_metrics({"best/episode_reward_mean": 1.0}, step=0)
        run.set_tags({"model_sha256": "5" * 64})
    scored = score(run.id, settings)
    models = []
    for _ in range(2):  # exported again
        with continued_run(run.id, settings, "export") as exporting:
            models.append(export(exporting, smallest_policy, run.id))
        add_scores(models[-1], scored.id)
    assert models == ["models:/policy/1", "models:/policy/2"]
    task = client().get_run(run.id).inputs.dataset_inputs[-1].dataset
    for model in map(of_model, models):
        assert {point.key: point.value for point in model.metrics} == SCORES
        assert {(point.dataset_name, point.dataset_digest) for point in model.metrics} == {
            (task.name, task.digest)
        }
        assert {(point.run_id, point.step) for point in model.metrics} == {(run.id, 64)}
        assert model.params["rllib.lr"] == str(settings.rllib.lr)
        assert model.params["simulator.seed"] == str(settings.simulator.seed)
        assert not [key for key in model.params if key.startswith(("evaluate.", "export.", "mlflow."))]
        assert model.tags["model_sha256"] == "5" * 64
        assert model.source_run_id == run.id
    for name in SCORES:
        assert len(client().get_metric_history(run.id, name)) == 1


def test_a_models_scores_in_a_nested_run_are_told_by_their_dataset(
    changed: Changed, smallest_policy: Path
) -> None:
    settings, elsewhere = changed(), changed(evaluate={"map_name": "small_loop"})
    with training_run(settings, None) as run:
        pass
    scored = score(run.id, elsewhere)
    assert scored.nested_in == run.id
    with continued_run(run.id, settings, "export") as exporting:
        model = export(exporting, smallest_policy, run.id)
    add_scores(model, run.id)  # which has none
    assert not of_model(model).metrics
    add_scores(model, scored.id)
    points = of_model(model).metrics
    assert {point.dataset_name for point in points} == {"small_loop: 20 starts"}
    assert {point.run_id for point in points} == {scored.id}


def test_the_model_of_a_trial_has_the_settings_of_that_trial(changed: Changed, smallest_policy: Path) -> None:
    with (
        training_run(changed(), None) as run,
        trial_run(run, changed(rllib={"lr": 0.002}), "trial 2", None) as trial,
    ):
        pass
    assert of_model(export(run, smallest_policy, trial.id)).params["rllib.lr"] == "0.002"
    # of a training run that this store does not know, what the run itself has
    assert of_model(export(run, smallest_policy, "0" * 32)).params["rllib.lr"] == "0.001"


def test_a_table_that_is_logged_again_is_replaced(settings: Settings) -> None:
    with training_run(settings, None) as run:
        for distance_m in (7.0, 8.0):
            run.log_table("evaluate/drives.json", {"drive": ["seed 1, start 0"], "distance_m": [distance_m]})
    mlflow.set_tracking_uri(store_uri())
    table = client().load_table(run.experiment_id, "evaluate/drives.json", [run.id])
    assert table.to_dict("list") == {"drive": ["seed 1, start 0"], "distance_m": [8.0]}
    listed = json.loads(client().get_run(run.id).data.tags["mlflow.loggedArtifacts"])
    assert listed == [{"path": "evaluate/drives.json", "type": "table"}]


def test_a_picture_is_logged_by_its_name_and_step(settings: Settings, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "trajectories.png")
    with training_run(settings, None) as run:
        run.log_image(tmp_path / "trajectories.png", step=64)
    files = [Path(item.path).name for item in client().list_artifacts(run.id, "images")]
    assert files
    assert all(name.startswith("trajectories+step+64+") for name in files)


@pytest.fixture
def saved() -> Callable[[], dict[str, Any]]:
    """Save the view; give what MLflow then keeps of it."""

    def save() -> dict[str, Any]:
        experiment_id = prepare_store("ducklane")
        assert save_view(experiment_id) == "viewStateShareKey=ducklane"
        view: dict[str, Any] = json.loads(client().get_experiment(experiment_id).tags[TAG])
        return view

    return save


def keep(tag: str) -> None:
    client().set_experiment_tag(prepare_store("ducklane"), TAG, tag)


def test_the_view_of_the_runs_is_saved_once(saved: Callable[[], dict[str, Any]]) -> None:
    first = saved()
    assert json.loads(first["state"])["selectedColumns"] == list(COLUMNS)
    assert saved() == first


@pytest.mark.parametrize(
    "tag", ["", "{", "[]", '{"name": "ducklane", "createdAt": 1, "updatedAt": 1, "state": "{}"}']
)
def test_a_damaged_or_outdated_view_is_replaced(saved: Callable[[], dict[str, Any]], tag: str) -> None:
    keep(tag)
    assert json.loads(saved()["state"])["selectedColumns"] == list(COLUMNS)


def test_a_view_that_somebody_changed_in_the_browser_stays(saved: Callable[[], dict[str, Any]]) -> None:
    changed = {**saved(), "updatedAt": saved()["createdAt"] + 1, "state": '{"selectedColumns": []}'}
    keep(json.dumps(changed))
    assert saved() == changed
