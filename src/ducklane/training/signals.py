"""How a training is stopped from outside: by a signal, or with the DVC command that it is a stage of."""

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
"""After SIGTERM, until a training that has not ended by then is left as it is. Systems kill after 30."""

LOOK_S = 1.0
"""Between two looks at DVC."""


@contextmanager
def ending_in_order(abandon: Callable[[], None]) -> Iterator[None]:
    """Make SIGTERM end trials as SIGINT does, and send it when the DVC command above is gone.

    Tune ends in order on SIGINT only; on SIGTERM the process would abort in the middle of a checkpoint.

    Args:
        abandon: called before this process ends without the leave of a Ray that does not answer any more.
    """
    leave = threading.Timer(LEAVE_S, _leave, [abandon])
    leave.daemon = True

    def interrupt(*_: object) -> None:
        if leave.ident is None:
            leave.start()
        os.kill(os.getpid(), signal.SIGINT)

    earlier = signal.signal(signal.SIGTERM, interrupt)
    over = threading.Event()
    if dvc := _dvc_above():
        threading.Thread(target=_end_with, args=(dvc, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.signal(signal.SIGTERM, earlier)
        leave.cancel()


def _leave(abandon: Callable[[], None]) -> None:
    """End this process where it hangs: a signal to all processes ends Ray's too, and Tune waits for them."""
    abandon()
    print("training interrupted; the same command goes on", file=sys.stderr, flush=True)
    os._exit(Interrupted.exit_code)


def _dvc_above() -> psutil.Process | None:
    """The DVC command that this process is a stage of; None if it was started by hand."""
    if "DVC_ROOT" not in os.environ:
        return None
    above = psutil.Process().parents()
    return next((process for process in above if _is_dvc(process)), None)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(word.rpartition("/")[2] == "dvc" for word in process.cmdline())
    except psutil.Error:
        return False


def _end_with(dvc: psutil.Process, over: threading.Event) -> None:
    """Nobody keeps what a stage makes whose DVC is gone: stop it, so that it can go on."""
    while not over.is_set():
        if _is_gone(dvc):
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(LOOK_S)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
