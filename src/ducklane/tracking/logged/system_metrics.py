"""MLflow's system metrics: how busy the machine is while it trains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from ducklane.tracking.store.opening import store_uri

LEAVE_S = 5.0
"""Seconds that the last points may take to be sent: no interrupted training waits longer for them."""

# it tells of its start and its end, and of each try to reach a store that is away
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)


@contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Log the use of this machine to a run, as `system/...`, every ten seconds until the context ends.

    The steps continue those that the run has. No error comes from here, as training matters more: while the
    store does not answer, points are left out.

    Args:
        run_id: of a run that is RUNNING.
    """
    try:
        monitor = _Monitor(run_id)
    except Exception:  # of the store, of psutil where a container hides the network, or a wrong interval
        yield
        return
    monitor.start()
    try:
        yield
    finally:
        # MLflow waits for the store without a limit
        end = threading.Thread(target=monitor.finish, daemon=True)
        end.start()
        end.join(LEAVE_S)


class _Monitor(SystemMetricsMonitor):  # type: ignore[misc]
    """MLflow's own, which gives up for good once the store does not answer; this one tries again."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, resume_logging=True, tracking_uri=store_uri())
        self._ends = threading.Event()

    def monitor(self) -> None:
        """Log until the end."""
        # psutil tells what the CPUs did since it was last asked: the first sample would be zero
        psutil.cpu_percent()
        while not self._ends.wait(self.sampling_interval):
            with suppress(Exception):
                super().monitor()

    def finish(self) -> None:
        """Send what is left, and end."""
        self._ends.set()
        super().finish()
