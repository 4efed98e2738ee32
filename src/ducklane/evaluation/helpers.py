"""More processes to drive in: the stock simulator uses one core, and OpenGL without a screen little more."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor

import torch
from threadpoolctl import threadpool_limits

from ducklane.evaluation.episodes import Episode, Start, drive
from ducklane.policy import Policy
from ducklane.settings import SimulatorSettings
from ducklane.simulator.reference import ReferenceSimulator


class Helpers:
    """Processes with a simulator each, started when there is work.

    Args:
        world: of the simulators.
        count: how many, 0 for none.
    """

    def __init__(self, world: SimulatorSettings, count: int) -> None:
        self.count = count
        self._world = world
        self._pool: ProcessPoolExecutor | None = None

    def drive(self, policy: Policy, start: Start, seed: int) -> Future[Episode]:
        """Have one episode driven."""
        if self._pool is None:
            # spawned: a copy of this process would hold the same OpenGL context
            self._pool = ProcessPoolExecutor(
                self.count, multiprocessing.get_context("spawn"), _open, (self._world,)
            )
        return self._pool.submit(_drive, policy, start, seed)

    def close(self) -> None:
        """End the processes; what has not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def one_core_is_enough() -> None:
    """Let this process compute on one core, for each of the others has one; call it before OpenGL is loaded.

    Threads that draw a part of each frame, or compute a part of a network for one robot, would mostly wait
    for one another. OpenBLAS's do that by spinning: they take a whole core from the other process.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")  # of Mesa: draw on the thread that asks for it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of helpers, and of libraries loaded later
    threadpool_limits(1, user_api="blas")  # of the libraries that this process has loaded
    torch.set_num_threads(1)


_simulator: ReferenceSimulator | None = None
"""Of a helping process."""


def _open(world: SimulatorSettings) -> None:
    global _simulator
    one_core_is_enough()
    _simulator = ReferenceSimulator(world)


def _drive(policy: Policy, start: Start, seed: int) -> Episode:
    assert _simulator is not None
    return drive(_simulator, policy, start, seed=seed)
