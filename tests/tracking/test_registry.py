"""The registry holds the very file that was exported, and its champion is the policy that drove farthest."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pytest

from ducklane.errors import UserError
from ducklane.export.onnx_file import export_onnx
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.policy import Observations, TrainedPolicy
from ducklane.settings import Settings
from ducklane.tracking import registry
from ducklane.tracking import runs as tracking
from ducklane.tracking.store.opening import store_uri

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = "5ca1ab1e"

MakePolicy = Callable[[Settings], TrainedPolicy]


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own, at a repository's root as DVC would name it."""
    root = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "MLFLOW_EXPERIMENT_ID"):
            patch.delenv(name, raising=False)
        yield root


@pytest.fixture(scope="module")
def policy_file(settings: Settings, make_policy: MakePolicy, store: Path) -> Path:
    path = store / "policy.onnx"
    export_onnx(make_policy(settings), path, opset=20)
    return path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a registered policy of this test alone."""
    return str(request.node.name).replace("[", "-").rstrip("]")


@pytest.fixture
def register(policy_file: Path, settings: Settings, name: str) -> Callable[[], str]:
    """Register the policy once more; gives its version's number."""
    shape = (settings.observation.frame_stack, 480, 640, 3)

    def register() -> str:
        with tracking.continued_run("0" * 32, settings, "export") as run:
            model = run.log_policy(policy_file, registered_name=name, frames_shape=shape)
        return model.removeprefix(f"models:/{name}/")

    return register


def crown(name: str, version: str, distance_m: float, spread_m: float = 0.1) -> str:
    return registry.crown(name, version, distance_m, distance_m - spread_m, distance_m + spread_m)


def champion(name: str) -> str | None:
    version = tracking.client().get_registered_model(name).aliases.get("champion")
    return None if version is None else str(version)


def test_the_first_policy_that_passes_is_the_champion(name: str, register: Callable[[], str]) -> None:
    assert crown(name, register(), 6.5) == "champion is version 1 (6.50 m)"
    assert champion(name) == "1"


def test_a_champion_stays_if_it_drives_at_least_as_far(name: str, register: Callable[[], str]) -> None:
    crown(name, register(), 7.0)
    shorter = crown(name, register(), 6.5)
    assert shorter == "champion stays version 1 (7.00 m): version 2 drives 6.50 m"
    as_far = crown(name, register(), 7.0)
    assert as_far == "champion stays version 1 (7.00 m): version 3 drives 7.00 m"
    assert champion(name) == "1"


def test_a_policy_that_drives_farther_becomes_champion(name: str, register: Callable[[], str]) -> None:
    crown(name, register(), 7.0)
    crowned = crown(name, register(), 7.5)
    assert crowned == "champion is version 2 (7.50 m), before version 1 (7.00 m)"
    assert champion(name) == "2"
    # the former one keeps its distance
    assert tracking.client().get_model_version(name, "1").tags == {
        "gate_distance_m": "7.0",
        "gate_distance_m_high": "7.1",
    }


def test_one_that_may_have_been_lucky_does_not_become_champion(
    name: str, register: Callable[[], str]
) -> None:
    crown(name, register(), 7.0)
    lucky = crown(name, register(), 7.15)
    assert lucky == "champion stays version 1 (7.00 m): version 2 drives 7.15 m, which may be luck"
    assert champion(name) == "1"


def test_a_champion_from_before_intervals_were_kept_is_its_median(
    name: str, register: Callable[[], str]
) -> None:
    crown(name, register(), 7.0)
    tracking.client().delete_model_version_tag(name, "1", "gate_distance_m_high")
    assert crown(name, register(), 7.15) == "champion is version 2 (7.15 m), before version 1 (7.00 m)"


def test_a_champion_chosen_by_hand_stays(name: str, register: Callable[[], str]) -> None:
    tracking.client().set_registered_model_alias(name, "champion", register())
    kept = crown(name, register(), 7.5)
    assert kept == "champion stays version 1 (distance unknown): version 2 drives 7.50 m"
    assert champion(name) == "1"


@pytest.fixture
def decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, register: Callable[[], str]
) -> Callable[..., str]:
    """What the export stage says about a policy that it has just registered, given these scores."""
    crown = runpy.run_path(str(REPOSITORY / "pipeline" / "export.py"))["_judge"]
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    (tmp_path / "results" / "evaluate").mkdir(parents=True)

    def decide(scores: str) -> str:
        (tmp_path / "results" / "evaluate" / "scores.json").write_text(scores)
        return str(crown(f"models:/{name}/{register()}", name, WEIGHTS))

    return decide


def scores(distance_m: float, must: bool = True, weights: str = WEIGHTS) -> str:
    distances = {f"distance_m_{bound}": distance_m for bound in ("median", "low", "high")}
    return json.dumps({"gate": {"must": must, **distances}, "model_sha256": weights})


def test_export_makes_champion_what_passed_the_gate_and_drives_farther(
    name: str, decide: Callable[..., str]
) -> None:
    assert decide(scores(9.0, must=False)) == "champion stays: the gate was not passed"
    assert champion(name) is None
    assert decide(scores(6.5)) == "champion is version 2 (6.50 m)"
    assert decide(scores(9.0, must=False)) == "champion stays: the gate was not passed"
    others = decide(scores(9.0, weights="f00d"))
    assert others == "champion stays: results/evaluate/scores.json is of another model; run `dvc repro`"
    assert champion(name) == "2"
    assert decide(scores(7.0)).startswith("champion is version 5 (7.00 m), before version 2")
    assert champion(name) == "5"


def test_export_needs_complete_scores(decide: Callable[..., str]) -> None:
    with pytest.raises(UserError, match=r"scores\.json: is missing or damaged; run `dvc repro evaluate`"):
        decide("{")


def test_the_champion_is_the_exported_file_and_drives(
    name: str, register: Callable[[], str], policy_file: Path, tmp_path: Path
) -> None:
    crown(name, register(), 7.0)
    model = f"models:/{name}@champion"
    mlflow.set_tracking_uri(store_uri())
    mlflow.set_registry_uri(store_uri())
    downloaded = Path(mlflow.artifacts.download_artifacts(model, dst_path=str(tmp_path)))
    assert (downloaded / "model.onnx").read_bytes() == policy_file.read_bytes()
    frames, expected = drive(OnnxPolicy(downloaded / "model.onnx"))
    session = onnxruntime.InferenceSession(mlflow.onnx.load_model(model).SerializeToString())
    assert np.array_equal(session.run(["wheels"], {"frames": frames})[0], expected)
    served = mlflow.pyfunc.load_model(model).predict({"frames": frames})
    assert np.allclose(served["wheels"], expected, atol=1e-6)


def drive(policy: OnnxPolicy) -> tuple[np.ndarray, np.ndarray]:
    """A stack of frames, and the commands after the last of them."""
    pictures = np.random.default_rng(0).integers(0, 256, (1, policy.frame_stack, 480, 640, 3), dtype=np.uint8)
    for shown in range(policy.frame_stack):
        commands = policy.act(Observations(pictures[:, shown], np.full((1, 2), np.nan)))
    return pictures, commands


def test_a_registered_policy_contains_no_code_and_is_small(
    name: str, register: Callable[[], str], policy_file: Path, tmp_path: Path
) -> None:
    register()
    mlflow.set_tracking_uri(store_uri())
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path)))
    files = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    text = {"MLmodel", "conda.yaml", "python_env.yaml", "registered_model_meta", "requirements.txt"}
    assert files.keys() == {"model.onnx", *text}
    assert sum(files.values()) < policy_file.stat().st_size + 10_000
    described: Any = mlflow.models.Model.load(str(folder))
    assert described.flavors["python_function"]["loader_module"] == "mlflow.onnx"
    assert described.flavors.keys() == {"python_function", "onnx"}
    assert described.signature.inputs.input_names() == ["frames"]


def test_the_champion_comes_with_the_scores_of_its_run(
    name: str, register: Callable[[], str], settings: Settings, tmp_path: Path
) -> None:
    assert registry.champion(name) is None
    crown(name, register(), 7.0)
    (tmp_path / "scores.json").write_text(scores(7.0))
    with tracking.continued_run("0" * 32, settings, "export") as run:
        run.log_artifact(tmp_path / "scores.json", "evaluate")
    assert registry.champion(name) == registry.Champion("1", run.id, json.loads(scores(7.0)))
    tracking.client().delete_registered_model_alias(name, "champion")
    assert registry.champion(name) is None


def test_a_version_shows_what_is_said_of_it_as_far_as_it_fits(name: str, register: Callable[[], str]) -> None:
    version = register()
    registry.describe(name, version, "drives far")
    assert tracking.client().get_model_version(name, version).description == "drives far"
    registry.describe(name, version, "far " * 2000)
    assert len(tracking.client().get_model_version(name, version).description) == 5000
