"""`python -m ducklane.tracking` prepares the store; with a port as its argument it shows the runs there."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

from ducklane.tracking.store.address import TrackingError, address
from ducklane.tracking.store.opening import prepare_store, shown_store, store_uri
from ducklane.tracking.view import save_view


def main() -> None:
    """Prepare the store for params.yaml, once, before anything uses it in parallel.

    With a port as its argument, print the address of the experiment's runs and, unless the store is a server,
    show them there.
    """
    from ducklane import settings

    experiment = settings.load().mlflow.experiment_name
    experiment_id = prepare_store(experiment)
    print(f"MLflow store {shown_store()}, experiment {experiment}", flush=True)
    for port in sys.argv[1:]:
        print(f"open {_page(port, experiment_id)}", flush=True)
        if not address().is_server:
            _show(port)


def _page(port: str, experiment_id: str) -> str:
    """The address of an experiment's runs, on the store's server or at a port of this machine."""
    server = address().uri if address().is_server else f"http://127.0.0.1:{port}"
    # without this MLflow 3 opens its page for generative AI
    query = ["workflowType=machine_learning"]
    # who may only read a server's runs sees them in MLflow's own columns
    with suppress(TrackingError):
        query.append(save_view(experiment_id))
    return f"{server}/#/experiments/{experiment_id}/runs?{'&'.join(query)}"


def _show(port: str) -> NoReturn:
    """Replace this process by MLflow's own web server."""
    # not as an argument: the address may contain a password, and everyone can see arguments
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store_uri()
    # by default MLflow starts a dozen more processes, among them job runners that judge language models
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    options = ["--workers", "1", "--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *options])
