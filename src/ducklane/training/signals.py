"""Stopping a training run from outside: by a signal, or together with the DVC command that runs it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from ducklane.errors import Interrupted

LEAVE_S = 20
"""Seconds that a training run is given to end after SIGTERM; its process then exits without Ray.

Systems that stop a job kill it after 30 s.
"""

LOOK_S = 1.0
"""Seconds between two checks whether DVC is still running."""


@contextmanager
def ending_in_order(abandon: Callable[[], None]) -> Iterator[None]:
    """Make SIGTERM end trials as SIGINT does, and send SIGTERM when the parent DVC command is gone.

    Tune shuts down cleanly on SIGINT only; SIGTERM would abort the process in the middle of a checkpoint.

    Args:
        abandon: called before this process exits because Ray no longer answers.
    """
    deadline = threading.Timer(LEAVE_S, _leave, [abandon])
    deadline.daemon = True

    def interrupt(*_: object) -> None:
        if deadline.ident is None:
            deadline.start()
        os.kill(os.getpid(), signal.SIGINT)

    # Tune leaves a handler of its own for SIGINT behind, which would swallow the next one
    on_interrupt = signal.getsignal(signal.SIGINT)
    previous_handler = signal.signal(signal.SIGTERM, interrupt)
    finished = threading.Event()
    if dvc := _parent_dvc():
        threading.Thread(target=_end_with, args=(dvc, finished), daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        signal.signal(signal.SIGTERM, previous_handler)
        signal.signal(signal.SIGINT, on_interrupt)
        deadline.cancel()


def _leave(abandon: Callable[[], None]) -> None:
    """Exit although Tune hangs: a signal to all processes ends Ray's too, and Tune would wait for them."""
    abandon()
    print("training interrupted; the same command resumes it", file=sys.stderr, flush=True)
    os._exit(Interrupted.exit_code)


def _parent_dvc() -> psutil.Process | None:
    """The DVC command that runs this process as a stage; None if it was started by hand."""
    if "DVC_ROOT" not in os.environ:
        return None
    ancestors = psutil.Process().parents()
    return next((process for process in ancestors if _is_dvc(process)), None)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(word.rpartition("/")[2] == "dvc" for word in process.cmdline())
    except psutil.Error:
        return False


def _end_with(dvc: psutil.Process, finished: threading.Event) -> None:
    """Stop this training run when DVC is gone, as nobody would keep its outputs; it can be resumed later."""
    while not finished.is_set():
        if _is_gone(dvc):
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(LOOK_S)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
