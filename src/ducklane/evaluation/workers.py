"""Work for the stock simulator, shared by this process and others.

The stock simulator uses one core, and OpenGL without a screen little more: there is a process for each core,
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
    """A function that is called with a simulator and its arguments, here or by another process.

    Args:
        function: what to call.
        args: its arguments after the simulator.
        elsewhere: of another process that calls it, unless this one is first.
    """

    def __init__(
        self, function: Callable[..., Result], args: tuple[Any, ...], elsewhere: Future[Result] | None
    ) -> None:
        self._function = function
        self._args = args
        self._elsewhere = elsewhere
        self._here: list[Result] = []

    def do(self, simulator: Simulator) -> None:
        """Do it here, unless another process has begun it."""
        if self._elsewhere is None or self._elsewhere.cancel():
            self._here.append(self._function(simulator, *self._args))

    def drop(self) -> None:
        """Do it no more, unless it has begun."""
        if self._elsewhere is not None:
            self._elsewhere.cancel()

    def result(self) -> Result:
        """What the function returned; waits for another process if that has begun it."""
        if self._here:
            return self._here[0]
        assert self._elsewhere is not None, "nobody has begun it"
        return self._elsewhere.result()


class Workers:
    """This process and others with a simulator of their own.

    The others start at once: they load OpenGL while this one does.

    Args:
        world: of their simulators.
        others: how many there are, 0 for none.
    """

    def __init__(self, world: SimulatorSettings, others: int) -> None:
        self._tasks: list[Task[Any]] = []
        self._pool: ProcessPoolExecutor | None = None
        if others:
            # spawned: a copy of this process would hold the same OpenGL context
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(others, context, _open, (world,))
            # each process has a thread here, which hands it one task after another: as long as a task is in
            # nobody's hands, this process can take it
            self._hands = ThreadPoolExecutor(others)
            for _ in range(others):
                self._pool.submit(_nothing)

    def submit(self, function: Callable[..., Result], *args: Any) -> Task[Result]:
        """Have a function called by whoever is free first.

        Args:
            function: takes a simulator and `args`; like these and what it returns it can be pickled.
            args: for it.
        """
        elsewhere = self._hands.submit(_hand_over, self._pool, function, args) if self._pool else None
        task = Task(function, args, elsewhere)
        self._tasks.append(task)
        return task

    def work(self, simulator: Simulator, first: Callable[[], Result]) -> Result:
        """Do here what no other process has begun, in the order of the tasks, until all are begun.

        Where something fails, what has not begun is dropped.

        Args:
            simulator: to do it with.
            first: what this process does before.
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
        """End the processes; what has not begun is dropped."""
        if self._pool is not None:
            self._hands.shutdown(wait=False, cancel_futures=True)
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def one_core_is_enough() -> None:
    """Let this process compute on one core, for each of the others has one; call it before OpenGL is loaded.

    Threads that draw a part of each frame, or compute a part of a network for one robot, would mostly wait
    for one another. OpenBLAS's do that by spinning: they take a whole core from the other process.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")  # of Mesa: draw on the thread that asks for it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of other processes, and of libraries loaded later
    threadpool_limits(1, user_api="blas")  # of the libraries that this process has loaded
    torch.set_num_threads(1)


_simulator: StockSimulator | None = None
"""Of another process than the first."""


def _open(world: SimulatorSettings) -> None:
    global _simulator
    one_core_is_enough()
    _simulator = StockSimulator(world)
    gc.freeze()  # what is loaded stays: no search for garbage in it, least of all when the process ends


def _nothing() -> None:
    """What a process is given to start for."""


def _hand_over(pool: Executor, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    return pool.submit(_call, function, args).result()


def _call(function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    assert _simulator is not None
    return function(_simulator, *args)
