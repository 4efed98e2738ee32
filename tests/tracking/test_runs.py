"""One experiment is one MLflow run in one store, from wherever it is accessed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ducklane.settings import Settings
from ducklane.tracking import registry
from ducklane.tracking import runs as tracking
from ducklane.tracking.store.opening import store_uri


@pytest.fixture(autouse=True)
def store(own_store: Path) -> Path:
    return own_store


def test_the_store_is_at_the_root_even_from_a_copy(
    store: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "mlflow.db").unlink()
    monkeypatch.chdir(tmp_path_factory.mktemp("temporary-copy"))
    tracking.prepare_store("ducklane")
    assert (store / "mlflow.db").is_file()
    assert list(Path.cwd().iterdir()) == []


def test_without_dvc_the_root_is_where_dvc_yaml_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT")
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "pipeline").mkdir()
    monkeypatch.chdir(tmp_path / "pipeline")
    assert store_uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_server_is_used_if_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store_uri() == "http://127.0.0.1:1"


def test_preparing_twice_has_no_further_effect() -> None:
    assert tracking.prepare_store("ducklane") == tracking.prepare_store("ducklane")


def test_a_deleted_experiment_is_restored() -> None:
    first = tracking.prepare_store("ducklane")
    tracking.client().delete_experiment(first)
    assert tracking.prepare_store("ducklane") == first
    assert tracking.client().get_experiment(first).lifecycle_stage == "active"


def test_a_run_holds_every_setting_and_its_origin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-duck")
    with tracking.training_run(settings, None) as run:
        assert _status(run) == "RUNNING"
    stored = tracking.client().get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "brave-duck"
    assert stored.data.params["rllib.lr"] == str(settings.rllib.lr)
    assert stored.data.params["rllib.lambda"] == str(settings.rllib.lambda_)
    assert stored.data.params["tune.stop.timesteps_total"] == str(settings.tune.stop.timesteps_total)
    assert stored.data.tags["params_digest"] == settings.digest()
    assert stored.data.tags["dvc_experiment"] == "brave-duck"
    assert stored.data.tags.keys() >= {"git_commit", "git_dirty"}


def test_mlflow_variables_in_the_environment_do_not_divert_runs(
    settings: Settings, smallest_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tracking.client().create_experiment("elsewhere")
    other = tracking.client().create_run(elsewhere).info.run_id
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", elsewhere)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nowhere")
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
    # what is set here for MLflow itself goes away again
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri())
    with tracking.training_run(settings, None) as run:
        run.log_policy(smallest_policy, registered_name="policy", frames_shape=(1, 2, 2, 3))
    experiment = tracking.prepare_store(settings.mlflow.experiment_name)
    assert tracking.client().get_run(run.id).info.experiment_id == experiment
    assert tracking.client().get_model_version("policy", "1").run_id == run.id
    (model,) = tracking.client().search_logged_models([experiment])
    assert model.source_run_id == run.id
    assert len(tracking.client().search_runs([elsewhere])) == 1
    assert tracking.client().get_experiment_by_name("nowhere") is None


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_did_not_end_well_says_so(
    settings: Settings, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), tracking.training_run(settings, None) as run:
        raise error
    assert _status(run) == status


def test_a_training_run_resumed_in_another_experiment_gets_a_new_mlflow_run_there(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.training_run(settings, None) as stopped:
        raise KeyboardInterrupt
    named = settings.mlflow.model_copy(update={"experiment_name": "another"})
    with tracking.training_run(settings.model_copy(update={"mlflow": named}), stopped.id) as run:
        pass
    assert run.id != stopped.id
    assert run.experiment_id == tracking.prepare_store("another") != stopped.experiment_id
    assert [_status(stopped), _status(run)] == ["KILLED", "FINISHED"]
    with tracking.training_run(settings, stopped.id) as again:
        assert again.id == stopped.id


def test_later_stages_add_to_the_same_run(settings: Settings) -> None:
    with tracking.training_run(settings, None) as run:
        run.log_metrics({"episode_reward_mean": 1.0}, step=10)
    with tracking.continued_run(run.id, settings, "evaluate") as again:
        assert again.id == run.id
        assert _status(run) == "RUNNING"
        again.log_metrics({"evaluate/distance_m": 2.0}, step=10)
    stored = tracking.client().get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics == {"episode_reward_mean": 1.0, "evaluate/distance_m": 2.0}


def test_a_model_from_another_store_gets_one_run_that_names_its_origin(settings: Settings) -> None:
    with tracking.continued_run("0" * 32, settings, "evaluate") as first:
        pass
    with tracking.continued_run("0" * 32, settings, "evaluate") as second:
        pass
    assert first.id == second.id != "0" * 32
    assert tracking.client().get_run(first.id).data.tags["origin_run_id"] == "0" * 32


def test_scores_under_other_settings_are_a_run_of_their_own(changed: Callable[..., Settings]) -> None:
    trained, other = changed(), changed(evaluate={"map_name": "small_loop", "episodes": 3})
    with tracking.training_run(trained, None) as run:
        run.set_tags({"model_sha256": "5" * 64})
    with tracking.continued_run(run.id, trained, "evaluate") as same:
        same.log_metrics({"evaluate/distance_m": 8.0}, step=10)
    with tracking.continued_run(run.id, other, "evaluate") as first:
        first.log_metrics({"evaluate/distance_m": 3.0}, step=10)
    with tracking.continued_run(run.id, other, "evaluate") as again:
        pass
    assert same.id == run.id != first.id == again.id
    training, scoring = (tracking.client().get_run(key) for key in (run.id, first.id))
    assert training.data.metrics["evaluate/distance_m"] == 8.0
    assert training.data.params["evaluate.map_name"] == "loop_empty"
    assert scoring.data.metrics == {"evaluate/distance_m": 3.0}
    assert scoring.data.params["evaluate.map_name"] == "small_loop"
    assert scoring.data.params["rllib.lr"] == training.data.params["rllib.lr"]
    assert scoring.info.run_name == "evaluate: map_name small_loop, episodes 3"
    assert scoring.data.tags[tracking.PARENT_RUN] == run.id
    for tag in ("model_sha256", "recipe_digest", "git_commit"):
        assert scoring.data.tags[tag] == training.data.tags[tag]


def test_another_export_is_a_run_of_its_own(changed: Callable[..., Settings]) -> None:
    with tracking.training_run(changed(), None) as run:
        pass
    other = changed(export={"opset": 18})
    with tracking.continued_run(run.id, other, "evaluate") as scoring:
        assert scoring.id == run.id  # scores do not depend on it
    with tracking.continued_run(run.id, other, "export") as export:
        assert export.nested_in == run.id
    assert tracking.client().get_run(export.id).data.params["export.opset"] == "18"


def test_seeds_of_a_recipe_share_its_digest(changed: Callable[..., Settings]) -> None:
    def tag(**sections: dict[str, Any]) -> str:
        with tracking.training_run(changed(**sections), None) as run:
            pass
        return str(tracking.client().get_run(run.id).data.tags["recipe_digest"])

    recipe = tag()
    assert tag(simulator={"seed": 7}) == tag(tune={"num_samples": 3}) == recipe
    assert (
        tag(ray={"num_cpus": 2}) == tag(simulator={"threads": 1}) == tag(evaluate={"episodes": 3}) == recipe
    )
    assert len({recipe, tag(rllib={"lr": 0.0003}), tag(reward={"crash_penalty": 1.0})}) == 3


def test_metrics_are_logged_at_their_step_and_nan_is_left_out(settings: Settings) -> None:
    with tracking.training_run(settings, None) as run:
        run.log_metrics({"episode_reward_mean": math.nan, "loss": 3.0}, step=128)
        run.log_metrics({"episode_reward_mean": 2.5, "loss": math.inf}, step=256)
    client = tracking.client()
    reward = client.get_metric_history(run.id, "episode_reward_mean")
    loss = client.get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in reward] == [(256, 2.5)]
    assert [(point.step, point.value) for point in loss] == [(128, 3.0)]


def test_params_stay_as_first_logged(settings: Settings) -> None:
    with tracking.training_run(settings, None) as run:
        run.log_params({"rllib.lr": 5, "new": 1})
    params = tracking.client().get_run(run.id).data.params
    assert params["rllib.lr"] == str(settings.rllib.lr)
    assert params["new"] == "1"


def test_artifacts_are_at_the_root(
    settings: Settings, store: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("temporary-copy"))
    Path("scores.json").write_text("{}")
    with tracking.training_run(settings, None) as run:
        run.log_artifact(Path("scores.json"), "evaluate")
    assert [path.name for path in (store / "mlartifacts").rglob("*.json")] == ["scores.json"]


def test_a_store_that_cannot_be_opened_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    with pytest.raises(tracking.TrackingError, match=r"MLflow store sqlite:////dev/null") as raised:
        tracking.prepare_store("ducklane")
    assert "\n" not in str(raised.value)


def test_a_damaged_store_is_named_in_one_line(store: Path) -> None:
    (store / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(tracking.TrackingError, match=r"MLflow store sqlite:.*cannot be opened") as raised:
        tracking.prepare_store("ducklane")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda _: tracking.prepare_store("ducklane"),
        lambda settings: tracking.continued_run("0" * 32, settings, "evaluate").__enter__(),
        lambda _: tracking.find_run("0" * 32),
        lambda _: registry.crown("ducklane-policy", "1", 7.0, 6.9, 7.1),
    ],
    ids=["prepare", "continue", "find", "crown"],
)
def test_a_server_that_is_down_is_named_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, use: Callable[[Settings], object]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(tracking.TrackingError, match=r"MLflow store http://127.0.0.1:1: does not") as raised:
        use(settings)
    assert "\n" not in str(raised.value)


def _status(run: tracking.Run) -> str:
    return str(tracking.client().get_run(run.id).info.status)
