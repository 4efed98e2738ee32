"""Work for the stock simulator, shared by this process and others.

The stock simulator uses one core, and OpenGL without a screen little more. So there is one process per core,
and each takes the next task when it is free.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from threadpoolctl import threadpool_limits

from ducklane.settings import SimulatorSettings
from ducklane.simulator.stock.simulator import StockSimulator

if TYPE_CHECKING:
    from ducklane.evaluation.episodes import Simulator

Result = TypeVar("Result")


class Task(Generic[Result]):
    """A call of a function with a simulator and other arguments, in this process or another.

    Args:
        function: what to call.
        args: its arguments after the simulator.
        elsewhere: the same call, queued in the other processes; None if there are none.
    """

    def __init__(
        self, function: Callable[..., Result], args: tuple[Any, ...], elsewhere: Future[Result] | None
    ) -> None:
        self._function = function
        self._args = args
        self._elsewhere = elsewhere
        self._here: list[Result] = []

    def do(self, simulator: Simulator) -> None:
        """Call it here, unless another process has begun it."""
        if self._elsewhere is None or self._elsewhere.cancel():
            self._here.append(self._function(simulator, *self._args))

    def drop(self) -> None:
        """Cancel it, unless it has begun."""
        if self._elsewhere is not None:
            self._elsewhere.cancel()

    def result(self) -> Result:
        """What the function returned; waits for another process if that has begun it."""
        if self._here:
            return self._here[0]
        assert self._elsewhere is not None, "no process has begun it"
        return self._elsewhere.result()


class Workers:
    """This process and others with a simulator of their own.

    The others start at once: they load OpenGL while this one does.

    Args:
        world: settings of their simulators.
        others: number of other processes, 0 for none.
    """

    def __init__(self, world: SimulatorSettings, others: int) -> None:
        self._tasks: list[Task[Any]] = []
        self._pool: ProcessPoolExecutor | None = None
        if others:
            # spawned, as a forked process would share the OpenGL context
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(others, context, _open, (world,))
            # each process has a thread here, which hands it one task at a time: a task that no thread has
            # handed over yet can still be done by this process
            self._hands = ThreadPoolExecutor(others)
            for _ in range(others):
                self._pool.submit(_nothing)

    def submit(self, function: Callable[..., Result], *args: Any) -> Task[Result]:
        """Have a function called by the first free process.

        Args:
            function: takes a simulator and `args`; it, its arguments and its result must be picklable.
            args: its arguments after the simulator.
        """
        elsewhere = self._hands.submit(_hand_over, self._pool, function, args) if self._pool else None
        task = Task(function, args, elsewhere)
        self._tasks.append(task)
        return task

    def work(self, simulator: Simulator, first: Callable[[], Result]) -> Result:
        """Do the tasks that no other process has begun, in order, until all have begun.

        If something fails, the tasks that have not begun are cancelled.

        Args:
            simulator: of this process.
            first: work for this process to do before the tasks.
        """
        try:
            result = first()
            for task in self._tasks:
                task.do(simulator)
        finally:
            for task in self._tasks:
                task.drop()
            self._tasks.clear()
        return result

    def close(self) -> None:
        """End the processes; tasks that have not begun are cancelled."""
        if self._pool is not None:
            self._hands.shutdown(wait=False, cancel_futures=True)
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def one_core_is_enough() -> None:
    """Make this process compute on one core, as each other process has its own; call before OpenGL is loaded.

    Threads that each draw part of a frame, or compute part of a network for one robot, would mostly wait for
    one another. OpenBLAS's threads spin while they wait, and take a whole core from another process.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa: draw on the calling thread
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for other processes, and libraries loaded later
    threadpool_limits(1, user_api="blas")  # for the libraries that this process has loaded
    torch.set_num_threads(1)


_simulator: StockSimulator | None = None
"""The simulator of this process, in all but the first."""


def _open(world: SimulatorSettings) -> None:
    global _simulator
    one_core_is_enough()
    _simulator = StockSimulator(world)
    gc.freeze()  # what is loaded stays: keep the garbage collector from searching it, above all at the end


def _nothing() -> None:
    """A first task, which makes a process start."""


def _hand_over(pool: Executor, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    return pool.submit(_call, function, args).result()


def _call(function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    assert _simulator is not None
    return function(_simulator, *args)
