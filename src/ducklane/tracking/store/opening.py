"""The store opened, with the experiment that runs are put into."""

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

# it lists every migration of a new database's schema, and traces back each try to reach one that is away
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def store_uri() -> str:
    """The store's address as MLflow takes it: a database's has its password in it. Never print it."""
    return address().uri


def shown_store() -> str:
    """The store's address for people, without passwords."""
    return address().shown


def reach() -> None:
    """Make sure, before a training begins, that there is a store for it.

    Raises:
        TrackingError: there is none.
    """
    # a store that is away would else stop the training for minutes at each try
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    client()


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
    """What goes wrong in the store as one line that names it."""
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
            # another process may have made it since we looked
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
    # a server knows best where its files go; a database alone would put them where the command runs
    return (copies.repository_root() / FOLDER).as_uri() if place.is_database else None


def _check_artifacts(experiment: Any) -> None:
    """Refuse an experiment that was made through a server, where there is none to take its files."""
    place = address()
    if place.is_database and str(experiment.artifact_location).startswith("mlflow-artifacts:"):
        what = f"a server keeps the files of its experiment {experiment.name}"
        cure = "set MLFLOW_TRACKING_URI to that server, or mlflow.experiment_name to another name"
        raise refused(place, (what, cure))
