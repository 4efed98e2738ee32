"""Nodes of the AI Driving Olympics as processes, and conversations with them over fifos."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any, Self

from ducklane.errors import UserError, reason
from ducklane.robot.protocol import aido

START_S = 300
"""Seconds that a node is given to load: more than a busy machine needs."""

REPLY_S = 120
"""Seconds that it is given for a reply."""

LEAVE_S = 5
"""Seconds that it is given to end by itself when the conversation is over."""

LOOK_S = 0.2
"""Seconds between two looks whether its process still runs."""

ONE_CORE = {"LP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Mesa draws on the calling thread: threads that share a frame mostly wait for one another."""


class NodeError(UserError):
    """A node ended, or said something that was not asked for."""


class Node:
    """One process, started at once. `connect` before the first `ask`; `close`, or `with`, ends it.

    Args:
        name: what it is called in messages.
        command: of the process.
        protocol: what it speaks, one of `aido_schemas`.
        log: file for what it prints.
    """

    def __init__(self, name: str, command: Sequence[str], protocol: Any, log: Path) -> None:
        self.name = name
        self._protocol = protocol
        self._log = log
        self._link: Any = None
        self._fifos = Path(tempfile.mkdtemp(prefix="ducklane-aido-"))
        inbound, outbound = self._paths()
        os.mkfifo(outbound)  # else the other end looks for it every three seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    **ONE_CORE,
                    "AIDONODE_NAME": name,
                    "AIDONODE_DATA_IN": inbound,
                    "AIDONODE_DATA_OUT": f"fifo:{outbound}",
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes to this process alone, which then ends the others
            )

    def connect(self) -> None:
        """Wait until it has loaded, and compare protocols.

        Raises:
            NodeError: it ended, or took too long.
        """
        opened: Future[Any] = Future()
        # opening a fifo waits for ever for a process that died before it opened its end
        threading.Thread(target=self._open, args=(opened,), daemon=True).start()
        give_up = time.monotonic() + START_S
        while self._link is None:
            try:
                self._link = opened.result(timeout=LOOK_S)
            except NotYet:
                if self._process.poll() is not None:
                    raise NodeError(self._last_words()) from None
                if time.monotonic() > give_up:
                    raise NodeError(
                        f"{self.name}: has not loaded after {START_S} s; see {self._log}"
                    ) from None
        self._carefully(self._link._get_node_protocol, timeout=START_S)

    def ask(self, topic: str, data: Any = None, expect: str | None = None) -> Any:
        """Send a message and wait for what it causes.

        Args:
            topic: of the message.
            data: of the message.
            expect: topic of the answer; None if there is none.

        Returns:
            the answer's data, or None.

        Raises:
            NodeError: the node ended, refused the message, or took too long.
        """
        if expect is None:
            return self._carefully(self._link.write_topic_and_expect_zero, topic, data)
        return self._carefully(self._link.write_topic_and_expect, topic, data, expect=expect).data

    def close(self) -> None:
        """End the conversation, then the process."""
        if self._link is not None:
            self._link.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_S)
        self.kill()
        shutil.rmtree(self._fifos, ignore_errors=True)

    def kill(self) -> None:
        """End the process now; may be called from any thread."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _paths(self) -> tuple[str, str]:
        return str(self._fifos / "in"), str(self._fifos / "out")

    def _open(self, opened: Future[Any]) -> None:
        try:
            interface = aido().outside.ComponentInterface
            link = interface(*self._paths(), self._protocol, nickname=self.name, timeout=REPLY_S)
        except Exception as error:
            opened.set_exception(NodeError(f"{self.name}: {reason(error)}"))
        else:
            opened.set_result(link)

    def _carefully(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            try:
                self._process.wait(LEAVE_S)  # a node that failed says why, then ends
            except subprocess.TimeoutExpired:
                raise NodeError(f"{self.name}: {reason(error)}; see {self._log}") from error
            raise NodeError(self._last_words()) from error

    def _last_words(self) -> str:
        """The last line that the process printed: for the agent its refusal, for others the error."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else f"ended with exit code {self._process.returncode}"
        return f"{self.name}: {said} (all it printed: {self._log})"
