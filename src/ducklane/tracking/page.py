"""`python -m ducklane.tracking` prepares the store; with a port as its argument it shows the runs there."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from ducklane.tracking.store.address import TrackingError as TrackingError
from ducklane.tracking.store.address import address
from ducklane.tracking.store.opening import prepare_store, shown_store, store_uri


def main() -> None:
    """Prepare the store for params.yaml: once, before anything uses it in parallel.

    With a port as its argument, show the experiment's runs there and say where; of a server only say where.
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
    """Where the store's own server, or one at a port of this machine, shows an experiment's runs."""
    server = address().uri if address().is_server else f"http://127.0.0.1:{port}"
    # without the query MLflow 3 opens its page for chats and prompts
    return f"{server}/#/experiments/{experiment_id}?workflowType=machine_learning"


def _show(port: str) -> NoReturn:
    """Become MLflow's own server of pages."""
    # the address is no argument: it may hold a password, and everybody may see arguments
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store_uri()
    # by itself MLflow starts a dozen processes more, among them runners of jobs that judge language models
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    options = ["--workers", "1", "--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *options])
