"""Opens the store, and creates the experiment for the runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ducklane.errors import UserError
from ducklane.repository import copies
from ducklane.tracking.store.address import address
from ducklane.tracking.store.contact import first_contact
from ducklane.tracking.store.moved import FOLDER, artifacts_beside
from ducklane.tracking.store.trouble import refused, trouble

# it logs every migration of a new database's schema, and a traceback for each try to reach one
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def store_uri() -> str:
    """The store's address for MLflow. A database's contains the password: never print it."""
    return address().uri


def shown_store() -> str:
    """The store's address for messages, without passwords."""
    return address().shown


def reach() -> None:
    """Make sure, before a training run begins, that the store can be reached.

    Raises:
        TrackingError: it cannot.
    """
    # otherwise an unreachable store would block the training run for minutes at each try
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    client()


def answer_quickly() -> None:
    """For commands that only ask: no bar for each file, and no minutes of trying an unreachable store."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def client() -> MlflowClient:
    """A client of the store.

    Raises:
        TrackingError: the store cannot be opened.
    """
    place = address()
    try:
        with first_contact(place):
            return MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
    except UserError:
        raise
    except Exception as error:
        raise trouble(error, place) from None


@contextmanager
def one_line() -> Iterator[None]:
    """Turn errors of the store into one line that names it."""
    try:
        yield
    except (MlflowException, OSError, ImportError) as error:
        raise trouble(error, address()) from None


@one_line()
def prepare_store(experiment_name: str) -> str:
    """Create the database and the experiment where they are missing; return the experiment's id.

    The experiment gets an explicit artifact location, because MLflow would freeze one that depends on
    where it was created.

    Raises:
        TrackingError: the store cannot be used.
    """
    store = client()
    experiment = store.get_experiment_by_name(experiment_name)
    if experiment is None:
        try:
            return str(store.create_experiment(experiment_name, artifact_location=_artifact_location()))
        except MlflowException:
            # another process may have created it in the meantime
            experiment = store.get_experiment_by_name(experiment_name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        store.restore_experiment(experiment.experiment_id)
    _check_artifacts(experiment)
    return str(experiment.experiment_id)


def _artifact_location() -> str | None:
    place = address()
    if place.file:
        return artifacts_beside(place.file)
    # a server decides where its files go; with a database alone they would go to the working directory
    return (copies.repository_root() / FOLDER).as_uri() if place.is_database else None


def _check_artifacts(experiment: Any) -> None:
    """Refuse an experiment that was created through a server if there is no server to take its files."""
    place = address()
    if place.is_database and str(experiment.artifact_location).startswith("mlflow-artifacts:"):
        what = f"a server keeps the files of its experiment {experiment.name}"
        cure = "set MLFLOW_TRACKING_URI to that server, or mlflow.experiment_name to another name"
        raise refused(place, (what, cure))
