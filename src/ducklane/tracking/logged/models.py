"""An exported policy as MLflow's logged model: the file, the recipe that made it, its scores."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow.entities import Metric

from ducklane.tracking.logged.datasets import EVALUATION, used_for
from ducklane.tracking.store.opening import client, one_line, store_uri

NO_STEP = -1
"""A step at which no run logs anything."""

SCORED = "evaluate/"
"""What the names of a policy's scores begin with."""


@one_line()
def log_policy(
    run_id: str,
    path: Path,
    registered_name: str,
    frames_shape: tuple[int, ...],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> str:
    """Log an ONNX policy to a run, with its signature, and register it.

    It gets no input example: MLflow would store the camera frames as 80 MB of text.

    Args:
        run_id: of the run.
        path: the ONNX file.
        registered_name: name in the model registry.
        frames_shape: (frames, camera_height, camera_width, 3) of its input.
        params: the settings that made the policy.
        tags: its origin.

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
    store = client()
    # MLflow itself would give it all params of the run, and these instead of its trial's
    model = store.create_logged_model(
        store.get_run(run_id).info.experiment_id, "policy", run_id, tags=dict(tags), params=dict(params)
    )
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.onnx.log_model(
            onnx.load(path),
            model_id=model.model_id,
            # MLflow would give it all that the run logged at this step, without saying on which dataset
            step=NO_STEP,
            registered_model_name=registered_name,
            signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "onnx", "onnxruntime")],
            onnx_execution_providers=["CPUExecutionProvider"],
            # keep it a single file, which can be driven and traced after a download
            save_as_external_data=False,
        )
    return f"models:/{registered_name}/{logged.registered_model_version}"


@one_line()
def add_scores(model: str, run_id: str) -> None:
    """Give a registered policy the scores that a run holds, with the task in which they were reached.

    The run's own points are sent again just as they are, so that MLflow keeps none of them twice.

    Args:
        model: models:/<name>/<version>.
        run_id: of the run in which it was scored; without scores, nothing is added.
    """
    store = client()
    _, name, number = model.split("/")
    # its field model_id is empty in local stores
    model_id = store.get_model_version(name, number).source.rpartition("/")[2]
    run = store.get_run(run_id)
    task = used_for(run.inputs.dataset_inputs, EVALUATION)
    on = {"dataset_name": task.name, "dataset_digest": task.digest} if task else {}
    histories = (store.get_metric_history(run_id, key) for key in run.data.metrics if key.startswith(SCORED))
    latest = [max(points, key=lambda point: (point.step, point.timestamp)) for points in histories]
    scores = [
        Metric(point.key, point.value, point.timestamp, point.step, model_id=model_id, **on)
        for point in latest
    ]
    store.log_batch(run_id, metrics=scores)
