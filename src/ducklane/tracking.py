"""The MLflow store: the only module that talks to MLflow.

One experiment is one MLflow run: `train` starts it, `evaluate` and `export` add to it. The store is
MLFLOW_TRACKING_URI or else one sqlite database at the repository's root, which `mlflow ui` opens there.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from ducklane import provenance
from ducklane.errors import Interrupted, UserError
from ducklane.settings import Settings

PARAMS_PER_BATCH = 100
"""MLflow's limit for one call."""


# else the first use of a new database lists every migration of its schema
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


class TrackingError(UserError):
    """The store cannot be used."""


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, or the absolute address of mlflow.db at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{provenance.repository_root() / 'mlflow.db'}"


def client() -> MlflowClient:
    """A client of the store.

    Raises:
        TrackingError: the store cannot be opened.
    """
    uri = store_uri()
    try:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"MLflow store {uri}: cannot be opened ({reason})") from None


def prepare_store(experiment_name: str) -> str:
    """Create the database and the experiment where they are missing; return the experiment's id.

    The experiment gets an explicit artifact location, because MLflow would freeze one that depends on
    where it was created.
    """
    store = client()
    experiment = store.get_experiment_by_name(experiment_name)
    if experiment is None:
        try:
            return str(store.create_experiment(experiment_name, artifact_location=_artifact_location()))
        except MlflowException:
            # another process may have made it since we looked
            experiment = store.get_experiment_by_name(experiment_name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        store.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _artifact_location() -> str | None:
    # a server knows best where its artifacts go
    if not store_uri().startswith("sqlite:"):
        return None
    return (provenance.repository_root() / "mlartifacts").as_uri()


class Run:
    """One MLflow run, addressed by its id: no global state, any stage may add to it."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id

    @property
    def store(self) -> MlflowClient:
        """The store it is in; not kept, so that a run can be pickled (MLflow shares the connections)."""
        return client()

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters; those that stand already keep their value."""
        known = self.store.get_run(self.id).data.params
        new = [Param(key, str(value)[:6000]) for key, value in params.items() if key not in known]
        for start in range(0, len(new), PARAMS_PER_BATCH):
            self.store.log_batch(self.id, params=new[start : start + PARAMS_PER_BATCH])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log one point of each metric in one call; what is not finite is left out (MLflow would store 0)."""
        now = int(time.time() * 1000)
        points = [
            Metric(key, float(value), now, step) for key, value in metrics.items() if math.isfinite(value)
        ]
        self.store.log_batch(self.id, metrics=points)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags in one call."""
        self.store.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts."""
        self.store.log_artifact(self.id, str(path), folder)

    def log_policy(self, path: Path, *, registered_name: str, frames_shape: tuple[int, ...]) -> str:
        """Log an ONNX policy with its signature and an input example; register it.

        Args:
            path: the ONNX file.
            registered_name: name in the model registry.
            frames_shape: (frames, camera_height, camera_width, 3) of its input.

        Returns:
            the registered version as models:/<name>/<version>.
        """
        import mlflow
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        inputs = TensorSpec(np.dtype(np.uint8), (-1, *frames_shape), "frames")
        outputs = TensorSpec(np.dtype(np.float32), (-1, 2), "wheels")
        mlflow.set_tracking_uri(store_uri())
        mlflow.set_registry_uri(store_uri())
        with mlflow.start_run(run_id=self.id):
            logged = mlflow.onnx.log_model(
                onnx.load(path),
                name="policy",
                registered_model_name=registered_name,
                signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
                input_example={"frames": np.zeros((1, *frames_shape), dtype=np.uint8)},
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "onnx", "onnxruntime")],
                onnx_execution_providers=["CPUExecutionProvider"],
            )
        return f"models:/{registered_name}/{logged.registered_model_version}"

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        self.store.set_terminated(self.id, RunStatus.to_string(RunStatus.from_string(status)))


@contextmanager
def new_run(settings: Settings) -> Iterator[Run]:
    """Start the run of one experiment, with all settings as its params and its origin as its tags.

    It is RUNNING meanwhile and FINISHED, FAILED or KILLED afterwards.
    """
    experiment_id = prepare_store(settings.mlflow.experiment_name)
    store = client()
    created = store.create_run(experiment_id, run_name=provenance.dvc_experiment())
    run = Run(created.info.run_id)
    with _closing(run):
        run.log_params(flatten(settings.as_dict()))
        run.set_tags(_origin(settings))
        yield run


def _origin(settings: Settings) -> dict[str, object]:
    tags: dict[str, object] = {
        "git_commit": provenance.git_commit(),
        "git_dirty": str(provenance.git_dirty()).lower(),
        "params_digest": settings.digest(),
    }
    if experiment := provenance.dvc_experiment():
        tags["dvc_experiment"] = experiment
    return tags


@contextmanager
def continued_run(run_id: str, experiment_name: str) -> Iterator[Run]:
    """Add to the run of an experiment; it is RUNNING meanwhile and FINISHED, FAILED or KILLED afterwards.

    In a store that does not know the run (the model came from elsewhere) a new one takes its place, with
    the original id as the tag `origin_run_id`.
    """
    run = _find_run(run_id) or _stand_in(run_id, experiment_name)
    run.store.update_run(run.id, "RUNNING")
    with _closing(run):
        yield run


@contextmanager
def _closing(run: Run) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        run.end("KILLED")
        raise
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


def _find_run(run_id: str) -> Run | None:
    store = client()
    try:
        found = store.get_run(run_id)
    except MlflowException:
        return None
    return Run(run_id) if found.info.lifecycle_stage == "active" else None


def _stand_in(run_id: str, experiment_name: str) -> Run:
    experiment_id = prepare_store(experiment_name)
    store = client()
    earlier = store.search_runs([experiment_id], f"tags.origin_run_id = '{run_id}'", max_results=1)
    if earlier:
        return Run(earlier[0].info.run_id)
    created = store.create_run(experiment_id, run_name=provenance.dvc_experiment())
    run = Run(created.info.run_id)
    run.set_tags({"origin_run_id": run_id})
    return run


def count_runs() -> int:
    """Runs in the store.

    Raises:
        TrackingError: the store cannot be opened.
    """
    store = client()
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    return len(store.search_runs(experiments, max_results=50_000)) if experiments else 0


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """{"rllib": {"lr": 1}} as {"rllib.lr": 1}."""
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def main() -> None:
    """Prepare the store for params.yaml: once, before anything uses it in parallel.

    With the address of an MLflow server as its argument, print where that shows the experiment's runs.
    """
    from ducklane import settings

    experiment = settings.load().mlflow.experiment_name
    experiment_id = prepare_store(experiment)
    print(f"MLflow store {store_uri()}, experiment {experiment}")
    for server in sys.argv[1:]:
        # without the query MLflow 3 opens its page for chats and prompts
        print(f"open {server}/#/experiments/{experiment_id}?workflowType=machine_learning", flush=True)


if __name__ == "__main__":
    from ducklane.errors import exits_cleanly

    exits_cleanly(main)()
