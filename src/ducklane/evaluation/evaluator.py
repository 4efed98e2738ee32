"""One way to score any policy: the same starts, the same simulator, the same rules."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ducklane.evaluation.episodes import Episode, OnFrame, Start, drive, evaluation_simulator
from ducklane.evaluation.scores import LaneMap, Scores, summarize
from ducklane.evaluation.starts import fixed_starts
from ducklane.policy import Policy
from ducklane.settings import Settings
from ducklane.simulator.reference import ReferenceSimulator

if TYPE_CHECKING:
    from ducklane.evaluation.episodes import Simulator

START_CLEARANCE = 1.3
"""How much larger than the robot the free space at a start is, as where the stock simulator spawns."""


@dataclass(frozen=True)
class Evaluation:
    """A policy's episodes, one from each start, and their scores."""

    policy: str
    episodes: list[Episode]
    scores: list[Scores]

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


class Evaluator:
    """Scores policies on the map and from the starts that the settings name.

    Args:
        settings: all of them.
        simulator: to drive in, made for `evaluation_simulator(settings)`; gym-duckietown if not given.
    """

    def __init__(self, settings: Settings, simulator: Simulator | None = None) -> None:
        chosen = settings.evaluate
        self.simulator = simulator or ReferenceSimulator(evaluation_simulator(settings))
        self._lane_map = LaneMap(chosen.map_name)
        self.starts: list[Start] = [
            (float(x), float(z), float(angle))
            for x, z, angle in fixed_starts(
                self.simulator,
                chosen.episodes,
                math.radians(chosen.start_angle_deg),
                valid=lambda x, z, angle: self.simulator.valid_pose(x, z, angle, START_CLEARANCE),
                map_name=chosen.map_name,
            )
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
        # seeded, so that every policy meets the same moving objects and the same light
        self.simulator.reset(seed=self.simulator.settings.seed)
        episodes = [
            drive(self.simulator, policy, start, on_frame if number == 0 else None)
            for number, start in enumerate(self.starts if starts is None else starts)
        ]
        scores = [self._lane_map.score(episode.poses, survived=episode.survived) for episode in episodes]
        return Evaluation(policy.name, episodes, scores)

    def record(self, policy: Policy, at_least: int) -> list[NDArray[np.uint8]]:
        """Drive until `at_least` frames were seen; return them by episode, [n, height, width, 3] each."""
        drives: list[NDArray[np.uint8]] = []
        for start in itertools.cycle(self.starts):
            seen: list[NDArray[np.uint8]] = []
            drive(self.simulator, policy, start, seen.append)
            drives.append(np.stack(seen))
            if sum(map(len, drives)) >= at_least:
                break
        return drives


def write_episodes(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write one CSV row an episode."""
    rows = [row for evaluation in evaluations for row in evaluation.rows()]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
