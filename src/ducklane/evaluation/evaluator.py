"""One way to score any policy: the same starts, the same simulator, the same rules."""

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
"""In the time of so many steps a process starts: it is worth it where there are more for it."""


@dataclass(frozen=True)
class Evaluation:
    """A policy's episodes, one from each start, and their scores."""

    policy: str
    episodes: list[Episode]
    scores: list[Scores]
    laterals_m: list[NDArray[np.float64]]
    """of each episode, as from `LaneMap.judge`"""

    def summary(self) -> dict[str, Any]:
        """Medians and counts, as `scores.summarize` describes them."""
        return summarize(self.scores)

    def rows(self) -> Iterator[dict[str, object]]:
        """One row an episode: where it began and all its scores."""
        for number, (episode, score) in enumerate(zip(self.episodes, self.scores, strict=True)):
            x, z, angle = (round(float(value), 6) for value in episode.poses[0])
            start = {"start_x_m": x, "start_z_m": z, "start_angle_rad": angle}
            scored = score.readable() | score.official()
            yield {"policy": self.policy, "episode": number, **start, "survived": episode.survived, **scored}


def _processes(steps: int) -> int:
    return max(1, min(usable_cpus(), steps // STEPS_WORTH_A_PROCESS))


def scored(policy: str, episodes: list[Episode], lane_map: LaneMap) -> Evaluation:
    """The episodes of a policy with their scores."""
    judged = [lane_map.judge(episode.poses, survived=episode.survived) for episode in episodes]
    return Evaluation(policy, episodes, [scores for scores, _ in judged], [off for _, off in judged])


class Evaluator:
    """Scores policies on the map and from the starts that the settings name.

    Every episode is driven in a world made anew, so that the scores are the same whatever was driven before,
    and in however many processes. These start at once; close it, or leave its `with`, to end them.

    Args:
        settings: all of them.
        simulator: to drive in, made for `evaluation_simulator(settings)`; gym-duckietown if not given.
        processes: to drive in, with gym-duckietown; if not given one for each core, as far as there is work
            for it.
    """

    def __init__(
        self, settings: Settings, simulator: Simulator | None = None, processes: int | None = None
    ) -> None:
        chosen = settings.evaluate
        world = evaluation_simulator(settings)
        others = 0
        if simulator is None:
            one_core_is_enough()
            others = (processes or _processes(chosen.episodes * world.max_steps)) - 1
        self._workers = Workers(world, others)
        self.simulator = simulator or StockSimulator(world)
        self.lane_map = LaneMap(chosen.map_name)
        self.starts: list[Start] = [
            (float(x), float(z), float(angle)) for x, z, angle in evaluation_starts(self.simulator, chosen)
        ]

    def evaluate(
        self, policy: Policy, on_frame: OnFrame | None = None, starts: Sequence[Start] | None = None
    ) -> Evaluation:
        """Drive the policy.

        Args:
            policy: the driver.
            on_frame: called with each camera frame of the first episode.
            starts: where to begin; all the fixed starts if not given.
        """
        first, *others = self.starts if starts is None else starts
        seed = self.simulator.settings.seed
        driven = [self.share(drive, policy, start, None, seed + n) for n, start in enumerate(others, 1)]

        def drive_first() -> Episode:  # it may be filmed
            return drive(self.simulator, policy, first, on_frame, seed)

        episode = self._workers.work(self.simulator, drive_first)
        return scored(policy.name, [episode, *(task.result() for task in driven)], self.lane_map)

    def share(self, function: Callable[..., Result], *args: Any) -> Task[Result]:
        """Have other work done beside the drives, by whichever process is free: `Workers.submit`."""
        return self._workers.submit(function, *args)

    def work(self) -> None:
        """Help with what is shared, until all of it is begun."""
        self._workers.work(self.simulator, lambda: None)

    def close(self) -> None:
        """Close the simulators."""
        self._workers.close()
        self.simulator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_episodes(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write one CSV row an episode."""
    rows = [row for evaluation in evaluations for row in evaluation.rows()]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
