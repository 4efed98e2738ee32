"""Judging an agent: its drives through scenarios, several side by side, and what they are worth."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ducklane.errors import UserError
from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.evaluation.scores.summary import Scores
from ducklane.robot.judge.driving import COMMAND_S, Drive, drive
from ducklane.robot.judge.processes import Node
from ducklane.robot.judge.scenarios import Scenario
from ducklane.robot.protocol import aido


@dataclass(frozen=True)
class Judged:
    """A drive and its scores."""

    drive: Drive
    scores: Scores


def scored(driven: Drive) -> Judged:
    """Score a drive by the official rules.

    Raises:
        UserError: it ended where it began.
    """
    scenario = driven.scenario
    if len(driven.commands) == 0:
        raise UserError(f"{scenario.name}: ends where it begins ({driven.why}); give it another start")
    lane_map = LaneMap(scenario.name, scenario.town)
    return Judged(driven, lane_map.score(driven.poses, survived=driven.survived, step_seconds=COMMAND_S))


def judge(
    scenarios: Sequence[Scenario],
    agent: Sequence[str],
    packages: Path,
    *,
    logs: Path,
    seconds: float,
    jobs: int = 1,
    frames: bool = False,
    on_drive: Callable[[Judged], None],
) -> None:
    """Drive through scenarios and score the drives.

    Args:
        scenarios: where; their names differ.
        agent: command of the agent's process.
        packages: folder with the simulator node's packages.
        logs: folder for what the nodes print, in a folder for each scenario.
        seconds: at which a drive ends at the latest.
        jobs: drives at a time, each with processes of its own.
        frames: keep what the camera saw.
        on_drive: called in this thread with each drive that is complete, the quickest first.

    Raises:
        UserError: a process ended before its drive did; the drives that go on are given up.
    """
    aido()  # imports are not for several threads at once
    nodes = _Nodes()
    pool = ThreadPoolExecutor(jobs)

    def one(scenario: Scenario) -> Drive:
        with nodes.of(agent, packages, logs / scenario.name) as (simulator, driver):
            return drive(simulator, driver, scenario, seconds, frames=frames)

    try:
        with _ending_in_order():
            for future in as_completed([pool.submit(one, scenario) for scenario in scenarios]):
                on_drive(scored(future.result()))
    finally:
        nodes.kill()
        pool.shutdown(cancel_futures=True)


class _Nodes:
    """The processes of all drives that are going on."""

    def __init__(self) -> None:
        self._running: set[Node] = set()
        self._ended = False
        self._lock = threading.Lock()

    @contextmanager
    def of(self, agent: Sequence[str], packages: Path, logs: Path) -> Iterator[tuple[Node, Node]]:
        """A simulator node and an agent, loading at the same time, both connected."""
        schemas = aido().schemas
        simulator = [sys.executable, "-m", "ducklane.robot.judge.node", str(packages)]
        with (
            self._started("simulator", simulator, schemas.protocol_simulator_DB20_timestamps, logs) as one,
            self._started("agent", agent, schemas.protocol_agent_DB20_timestamps, logs) as other,
        ):
            other.connect()
            one.connect()
            yield one, other

    def kill(self) -> None:
        """End all processes, and start no more."""
        with self._lock:
            self._ended = True
            for node in self._running:
                node.kill()

    @contextmanager
    def _started(self, name: str, command: Sequence[str], protocol: Any, logs: Path) -> Iterator[Node]:
        with self._lock:
            if self._ended:
                raise UserError(f"{name}: was not started, as the others have ended")
            node = Node(name, command, protocol, logs / f"{name}.log")
            self._running.add(node)
        try:
            yield node
        finally:
            node.close()
            with self._lock:
                self._running.discard(node)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal end the drives as Ctrl-C does: otherwise their processes would go on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
