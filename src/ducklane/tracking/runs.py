"""Runs in the MLflow store: everything that the project writes to MLflow and reads from it.

One experiment is one MLflow run: `train` starts it, `evaluate` and `export` add to it. Trials, and scores
under settings other than the experiment's, are runs nested in it. The store's address, and whether the store
can be used, are handled by ducklane.tracking.store.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_PARENT_RUN_ID
from PIL import Image

from ducklane.errors import Interrupted
from ducklane.project import provenance
from ducklane.project.code import code_digest
from ducklane.project.recipe import flatten, recipe_digest
from ducklane.project.stages import TRAIN, stages
from ducklane.settings import Settings
from ducklane.tracking.logged.datasets import training_data
from ducklane.tracking.logged.models import log_policy
from ducklane.tracking.store.address import TrackingError as TrackingError
from ducklane.tracking.store.opening import client, one_line, prepare_store, reach

PARAMS_PER_BATCH = 100
"""MLflow's limit for one call."""

RUN_ID = re.compile(r"[0-9a-f]{32}")
"""What the id of a run looks like."""

PARENT_RUN = MLFLOW_PARENT_RUN_ID
"""Tag of the run of one of several trials: the run of their experiment."""

DESCRIBING = ("git_commit", "git_dirty", "params_digest", "recipe_digest", "code_digest", "model_sha256")
"""Tags that tell a model's origin; runs nested in its training's run have them too."""

STAGE = "stage"
"""Tag of a run nested because a stage ran with other settings than the training run's: the stage."""

BEST_TRIAL = "best_trial_run_id"
"""Tag of such an experiment's run: the run of the trial that its model comes from."""


def logged_value(value: object) -> str:
    """A param as MLflow stores it."""
    return str(value)[:6000]


class Run:
    """One MLflow run, addressed by its id: no global state, any stage may add to it.

    Args:
        run_id: its id.
        nested_in: id of the training's run, for a run that `continued_run` nests in it.
    """

    def __init__(self, run_id: str, nested_in: str | None = None) -> None:
        self.id = run_id
        self.nested_in = nested_in

    @property
    def store(self) -> MlflowClient:
        """Its store; not an attribute, so that a run can be pickled (MLflow shares the connections)."""
        return client()

    @property
    @one_line()
    def experiment_id(self) -> str:
        """Id of its MLflow experiment."""
        return str(self.store.get_run(self.id).info.experiment_id)

    @one_line()
    def last_step(self, metric: str) -> int:
        """The largest step at which a metric was logged, -1 if never."""
        points = self.store.get_metric_history(self.id, metric)
        return max((point.step for point in points), default=-1)

    @one_line()
    def described(self) -> tuple[str, dict[str, str]]:
        """Its experiment and status as text, and its tags."""
        run = self.store.get_run(self.id)
        experiment = self.store.get_experiment(run.info.experiment_id)
        return f"experiment {experiment.name}, {run.info.status}", dict(run.data.tags)

    @one_line()
    def fetch(self, artifact: str, folder: Path) -> Path | None:
        """Copy an artifact to a folder; None if the run has none of that name."""
        within = artifact.rpartition("/")[0] or None
        if artifact not in {item.path for item in self.store.list_artifacts(self.id, within)}:
            return None
        return Path(self.store.download_artifacts(self.id, artifact, str(folder)))

    @one_line()
    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters; those that exist already keep their value."""
        existing = self.store.get_run(self.id).data.params
        new = [Param(key, logged_value(value)) for key, value in params.items() if key not in existing]
        for start in range(0, len(new), PARAMS_PER_BATCH):
            self.store.log_batch(self.id, params=new[start : start + PARAMS_PER_BATCH])

    @one_line()
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log one point of each metric in one call; leaves out non-finite values (MLflow would store 0)."""
        now = int(time.time() * 1000)
        points = [
            Metric(key, float(value), now, step) for key, value in metrics.items() if math.isfinite(value)
        ]
        self.store.log_batch(self.id, metrics=points)

    @one_line()
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags in one call."""
        self.store.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    @one_line()
    def log_image(self, path: Path, step: int) -> None:
        """Log a picture, by the file's name; MLflow shows it among the charts, beside those of other runs.

        Args:
            path: of a PNG or another file that Pillow reads.
            step: at which it stands.
        """
        with Image.open(path) as image:
            self.store.log_image(self.id, image, key=path.stem, step=step)

    @one_line()
    def log_table(self, artifact: str, columns: Mapping[str, Sequence[object]]) -> None:
        """Log the run's table, which MLflow compares between runs row by row; it replaces an earlier one.

        Args:
            artifact: name of the file among the run's artifacts, *.json.
            columns: name -> values; the first column names the rows.
        """
        rows = list(zip(*columns.values(), strict=True))
        # not by log_table, which would add these rows to the earlier ones
        self.store.log_dict(self.id, {"columns": list(columns), "data": rows}, artifact)
        self.set_tags({MLFLOW_LOGGED_ARTIFACTS: json.dumps([{"path": artifact, "type": "table"}])})

    @one_line()
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts."""
        self.store.log_artifact(self.id, str(path), folder)

    @one_line()
    def log_datasets(self, used: Sequence[DatasetInput]) -> None:
        """Log datasets that it used; what it has already stays as it is."""
        self.store.log_inputs(self.id, used)

    @one_line()
    def log_policy(
        self,
        path: Path,
        *,
        registered_name: str,
        frames_shape: tuple[int, ...],
        trained_in: str | None = None,
    ) -> str:
        """Log an ONNX policy with its origin, and register it.

        Args:
            path: the ONNX file.
            registered_name: name in the model registry.
            frames_shape: (frames, camera_height, camera_width, 3) of its input.
            trained_in: id of the run that trained it, whose settings become its params; this run by default,
                and if the store does not know that one.

        Returns:
            the registered version as models:/<name>/<version>.
        """
        trained = (find_run(trained_in) if trained_in else None) or self
        params, depends_on = self.store.get_run(trained.id).data.params, stages()[TRAIN].depends_on
        made_by = {key: value for key, value in params.items() if depends_on(key)}
        tags = {key: value for key, value in self.described()[1].items() if key in DESCRIBING}
        return log_policy(self.id, path, registered_name, frames_shape, made_by, tags)

    @one_line()
    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        self.store.set_terminated(self.id, RunStatus.to_string(RunStatus.from_string(status)))


@contextmanager
def training_run(settings: Settings, run_id: str | None) -> Iterator[Run]:
    """The run of one experiment, with all settings as params and its origin as tags.

    It is RUNNING inside the context and FINISHED, FAILED or KILLED afterwards.

    Args:
        settings: all of them.
        run_id: of the run that an interrupted training run began; without one, or if the store or experiment
            does not contain it, a new run is started.

    Raises:
        TrackingError: the store cannot be used.
    """
    reach()
    with one_line():
        experiment_id = prepare_store(settings.mlflow.experiment_name)
    with _run_of(settings, run_id, experiment_id, provenance.dvc_experiment(), {}) as run:
        yield run


@contextmanager
def trial_run(parent: Run, settings: Settings, name: str, run_id: str | None) -> Iterator[Run]:
    """The run of one of several trials, nested in the run of their experiment; otherwise as `training_run`.

    Args:
        parent: run of the experiment.
        settings: of this trial alone.
        name: of the run.
        run_id: as for `training_run`.
    """
    with one_line():
        experiment_id = parent.store.get_run(parent.id).info.experiment_id
    with _run_of(settings, run_id, experiment_id, name, {PARENT_RUN: parent.id}) as run:
        yield run


@contextmanager
def _run_of(
    settings: Settings, run_id: str | None, experiment_id: str, name: str | None, tags: Mapping[str, str]
) -> Iterator[Run]:
    with one_line():
        run = find_run(run_id) if run_id else None
        if run is None or run.experiment_id != experiment_id:
            # with tags from the start: if the process is killed now, the trial still has its parent
            run = Run(client().create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id)
        run.store.update_run(run.id, "RUNNING")
    with _closing(run):
        run.log_params(flatten(settings.as_dict()))
        run.log_datasets(training_data(settings))
        run.set_tags(_origin(settings))
        yield run


def give_up(run_id: str) -> None:
    """End as KILLED the run of an interrupted training run that will not be resumed."""
    if run := find_run(run_id):
        run.end("KILLED")


def _origin(settings: Settings) -> dict[str, object]:
    tags: dict[str, object] = {
        "git_commit": provenance.git_commit(),
        "git_dirty": str(provenance.git_dirty()).lower(),
        "params_digest": settings.digest(),
        "recipe_digest": recipe_digest(settings),
        "code_digest": code_digest(),
    }
    if experiment := provenance.dvc_experiment():
        tags["dvc_experiment"] = experiment
    return tags


@contextmanager
def continued_run(run_id: str, settings: Settings, stage: str) -> Iterator[Run]:
    """Where a stage logs its results on a model; RUNNING inside, FINISHED, FAILED or KILLED afterwards.

    That is the run of the model's training, as long as the stage's settings are those that this run holds.
    With others, it is a run nested in it, with their values among its params: no run's scores ever stand
    beside settings under which they were not reached. The same settings find the same run again.

    If the store does not know the training's run (the model came from elsewhere), a new one stands in for
    it, with the original id as the tag `origin_run_id`.

    Args:
        run_id: of the training.
        settings: of this stage.
        stage: its name in dvc.yaml.

    Raises:
        TrackingError: the store cannot be used.
    """
    with one_line():
        training = find_run(run_id) or _stand_in(run_id, settings.mlflow.experiment_name)
        run = _run_for(training, settings, stage)
        run.store.update_run(run.id, "RUNNING")
    with _closing(run):
        yield run


def _run_for(training: Run, settings: Settings, stage: str) -> Run:
    """The training's run, or one nested in it if its params differ from the stage's settings."""
    depends_on = stages()[stage].depends_on
    current = {
        key: logged_value(value) for key, value in flatten(settings.as_dict()).items() if depends_on(key)
    }
    trained = training.store.get_run(training.id)
    differing = {key: value for key, value in current.items() if trained.data.params.get(key, value) != value}
    if not differing:
        training.log_params(current)
        return training
    digest = hashlib.sha256(json.dumps(current, sort_keys=True).encode()).hexdigest()
    nested = {PARENT_RUN: training.id, STAGE: stage, "stage_digest": digest}
    has_all = " and ".join(f"tags.`{key}` = '{value}'" for key, value in nested.items())
    if earlier := training.store.search_runs([trained.info.experiment_id], has_all, max_results=1):
        return Run(earlier[0].info.run_id, training.id)
    changes = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in differing.items())
    kept = {key: value for key, value in trained.data.tags.items() if key in DESCRIBING}
    experiment = provenance.dvc_experiment()
    if experiment:
        kept["dvc_experiment"] = experiment
    name, tags = experiment or f"{stage}: {changes}", {**kept, **nested}
    created = training.store.create_run(trained.info.experiment_id, run_name=name, tags=tags)
    run = Run(created.info.run_id, training.id)
    run.log_params({**trained.data.params, **current})
    return run


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


@one_line()
def find_run(run_id: str) -> Run | None:
    """The run with an id, None if the store does not know it or has deleted it."""
    store = client()
    try:
        run = store.get_run(run_id)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return None
    return Run(run_id) if run.info.lifecycle_stage == "active" else None


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
