"""Scores any policy in the same way: the same starts, the same simulator, the same rules."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ducklane.evaluation.episodes import (
    Episode,
    OnFrame,
    Start,
    drive,
    evaluation_simulator,
    evaluation_starts,
)
from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.evaluation.scores.summary import Scores, summarize
from ducklane.evaluation.workers import Task, Workers, one_core_is_enough
from ducklane.machine.hardware import usable_cpus
from ducklane.policy import Policy
from ducklane.settings import Settings
from ducklane.simulator.stock.simulator import StockSimulator

if TYPE_CHECKING:
    from ducklane.evaluation.episodes import Simulator

Result = TypeVar("Result")


STEPS_WORTH_A_PROCESS = 500
"""A process takes as long to start as this many steps; one more is started only if it will drive more."""


@dataclass(frozen=True)
class Evaluation:
    """A policy's episodes, one from each start, and their scores."""

    policy: str
    episodes: list[Episode]
    scores: list[Scores]
    laterals_m: list[NDArray[np.float64]]
    """of each episode, as returned by `LaneMap.judge`"""

    def summary(self) -> dict[str, Any]:
        """Medians and counts, as `scores.summary.summarize` describes them."""
        return summarize(self.scores)

    def rows(self) -> Iterator[dict[str, object]]:
        """One row per episode: its start and all its scores."""
        for number, (episode, score) in enumerate(zip(self.episodes, self.scores, strict=True)):
            x, z, angle = (round(float(value), 6) for value in episode.poses[0])
            start = {"start_x_m": x, "start_z_m": z, "start_angle_rad": angle}
            scored = score.readable() | score.official()
            yield {"policy": self.policy, "episode": number, **start, "survived": episode.survived, **scored}


def _processes(steps: int) -> int:
    return max(1, min(usable_cpus(), steps // STEPS_WORTH_A_PROCESS))


def scored(policy: str, episodes: list[Episode], lane_map: LaneMap) -> Evaluation:
    """Score the episodes of a policy."""
    judged = [lane_map.judge(episode.poses, survived=episode.survived) for episode in episodes]
    return Evaluation(policy, episodes, [scores for scores, _ in judged], [off for _, off in judged])


class Evaluator:
    """Scores policies on the map and from the starts that the settings name.

    The world is reset for every episode, so that the scores do not depend on earlier drives or on the number
    of processes. The processes start at once; call `close`, or use `with`, to end them.

    Args:
        settings: all of them.
        simulator: to drive in, made for `evaluation_simulator(settings)`; gym-duckietown by default.
        processes: number of processes with gym-duckietown; by default one per core, if there is enough work.
    """

    def __init__(
        self, settings: Settings, simulator: Simulator | None = None, processes: int | None = None
    ) -> None:
        evaluate = settings.evaluate
        world = evaluation_simulator(settings)
        others = 0
        if simulator is None:
            one_core_is_enough()
            others = (processes or _processes(evaluate.episodes * world.max_steps)) - 1
        self._workers = Workers(world, others)
        self.simulator = simulator or StockSimulator(world)
        self.lane_map = LaneMap(evaluate.map_name)
        self.starts: list[Start] = [
            (float(x), float(z), float(angle)) for x, z, angle in evaluation_starts(self.simulator, evaluate)
        ]

    def evaluate(
        self, policy: Policy, on_frame: OnFrame | None = None, starts: Sequence[Start] | None = None
    ) -> Evaluation:
        """Drive the policy.

        Args:
            policy: the driver.
            on_frame: called with each camera frame of the first episode.
            starts: where to begin; all fixed starts by default.
        """
        first, *others = self.starts if starts is None else starts
        seed = self.simulator.settings.seed
        tasks = [self.share(drive, policy, start, None, seed + n) for n, start in enumerate(others, 1)]

        def drive_first() -> Episode:  # in this process, as it may be filmed
            return drive(self.simulator, policy, first, on_frame, seed)

        episode = self._workers.work(self.simulator, drive_first)
        return scored(policy.name, [episode, *(task.result() for task in tasks)], self.lane_map)

    def share(self, function: Callable[..., Result], *args: Any) -> Task[Result]:
        """Have other work done in parallel with the drives, by any free process: `Workers.submit`."""
        return self._workers.submit(function, *args)

    def work(self) -> None:
        """Help with the shared work, until all of it has begun."""
        self._workers.work(self.simulator, lambda: None)

    def close(self) -> None:
        """Close the simulators."""
        self._workers.close()
        self.simulator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_episodes(path: Path, evaluations: Sequence[tuple[int | str, Evaluation]]) -> None:
    """Write one CSV row per episode.

    Args:
        path: of the file.
        evaluations: each after the seed of its model's training run, "" for drivers that were not trained.
    """
    rows = [{"seed": seed, **row} for seed, evaluation in evaluations for row in evaluation.rows()]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
