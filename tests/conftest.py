from __future__ import annotations

import os
import shutil
import subprocess
import sys

# before numpy is loaded: its idle threads would keep busy the core on which other tests run
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from programs import MissingPrograms
from xdist.scheduler import LoadScopeScheduling

from ducklane import settings as ducklane_settings
from ducklane.network import PolicyNetwork
from ducklane.policy import PolicySpec, Provenance, TrainedPolicy, weights_digest
from ducklane.settings import Settings

# the machine may be busy: how long an example takes says nothing
hypothesis.settings.register_profile("ducklane", deadline=None)
hypothesis.settings.load_profile("ducklane")

REPOSITORY = Path(__file__).resolve().parents[1]

LONGEST_FIRST = ("e2e", "evaluation", "simulator", "training", "benchmarks")
"""Folders in the order in which workers take their files, so that no worker ends alone with a long one."""

SHARING = {
    "tests/e2e: comparing": (
        "tests/e2e/test_experiments.py",
        "tests/e2e/test_pipeline.py",
        "tests/e2e/test_ui.py",
    )
}
"""Files that share a session fixture, by a name for them."""

Changed = Callable[..., Settings]


def pytest_configure(config: pytest.Config) -> None:
    """Where a browser or a database server is missing, run the rest."""
    config.pluginmanager.register(MissingPrograms())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> tuple[int, str]:
    folder = Path(nodeid).parts[1]
    turn = LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
    return turn, _group(nodeid)


def _group(nodeid: str) -> str:
    """Of the tests that run in one process: those of a file, or of files that share what they have made."""
    file = nodeid.partition("::")[0]
    return next((name for name, files in SHARING.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Keep a group in one process. (xdist's own loadgroup does nothing with pytest 9.2, and says nothing.)"""
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _group
    return scheduler


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings that the repository ships."""
    return ducklane_settings.load(REPOSITORY / "params.yaml")


@pytest.fixture(scope="session")
def changed(settings: Settings) -> Changed:
    """The shipped settings with some changed, and validated: changed(reward={"type": "stock"})."""

    def change(**sections: dict[str, Any]) -> Settings:
        content = settings.model_dump(by_alias=True)
        for section, values in sections.items():
            content[section] |= values
        return Settings.model_validate(content)

    return change


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Put an MLflow store without runs into a folder: MLflow takes seconds to make its tables."""
    from ducklane.tracking import runs as tracking

    template = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(template))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.prepare_store("ducklane")

    def put(folder: Path) -> Path:
        return Path(shutil.copy(template / "mlflow.db", folder))

    return put


@pytest.fixture(scope="session")
def smallest_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that MLflow accepts as a policy for one frame of 2 x 2 pixels."""
    import onnx
    from onnx import TensorProto, helper

    frames, wheels = (
        helper.make_tensor_value_info(name, TensorProto.UINT8, [None, 1, 2, 2, 3])
        for name in ("frames", "wheels")
    )
    graph = helper.make_graph([helper.make_node("Identity", ["frames"], ["wheels"])], "g", [frames], [wheels])
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.fixture(scope="session")
def make_policy() -> Callable[[Settings], TrainedPolicy]:
    """An untrained policy of the settings' shape, whose commands still depend on what it sees."""

    def make(settings: Settings) -> TrainedPolicy:
        torch.manual_seed(0)
        network = PolicyNetwork(settings.observation.shape, settings.action.size, settings.network)
        torch.nn.init.orthogonal_(network.action_head.weight, 0.5)
        origin = Provenance(
            mlflow_run_id="none",
            git_commit="none",
            params_digest=settings.digest(),
            episode_reward_mean=0.0,
            timesteps_total=1,
            map_name=", ".join(settings.simulator.map_names),
            seed=0,
            weights_sha256=weights_digest(network),
        )
        return TrainedPolicy(PolicySpec.of(settings, origin), network)

    return make


def _install(folder: Path, *packages: str) -> None:
    options = ["--no-deps", "--target", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *packages], check=True, capture_output=True
    )


@pytest.fixture(scope="session")
def install() -> Callable[..., None]:
    """Install packages into a folder, without what they need; for tests that may use the network (`full`)."""
    return _install
