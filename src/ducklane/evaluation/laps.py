"""Long drives of many robots at once in the batched simulator: enough for confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.baselines import ProportionalController
from ducklane.environment import image_blocks, image_stacking
from ducklane.evaluation.episodes import Episode, evaluation_simulator, evaluation_starts
from ducklane.evaluation.evaluator import Evaluation, scored
from ducklane.evaluation.scores.intervals import interval_over_drives
from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.evaluation.starts import lanes_of
from ducklane.evaluation.workers import one_core_is_enough
from ducklane.policy import Commands, Observations, TrainedPolicy
from ducklane.settings import Settings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.interface import FRAMES_PER_SECOND
from ducklane.simulator.single import SingleSimulator

OFFICIAL = ("driven_lanedir_consec", "survival_time", "deviation-center-line", "in-drivable-lane")
"""The four scores by which the AI Driving Olympics rank."""


class Laps:
    """Drives policies for `evaluate.lap_seconds` each. Limits this process to one core, permanently.

    Args:
        settings: all of them.
        count: number of starts, spread over all lanes; by default `evaluate.lap_starts` on each lane.
        threads: of the simulator, which change no result; `simulator.threads` by default.
    """

    def __init__(self, settings: Settings, count: int | None = None, threads: int | None = None) -> None:
        one_core_is_enough()
        self._settings = settings
        self._threads = threads
        evaluate = settings.evaluate
        world = evaluation_simulator(settings)
        steps = max(1, round(evaluate.lap_seconds * FRAMES_PER_SECOND))
        self._world = world.model_copy(update={"backend": "batched", "max_steps": steps})
        self._lane_map = LaneMap(evaluate.map_name)
        self.starts = self._fixed_starts(count)

    def _fixed_starts(self, count: int | None) -> NDArray[np.float64]:
        evaluate = self._settings.evaluate
        # its camera is not used, and a small one is set up faster
        unseen = {"camera_width": 16, "camera_height": 16, "distortion": False}
        simulator = SingleSimulator(self._world.model_copy(update=unseen))
        try:
            if count is not None:
                return evaluation_starts(simulator, evaluate, count)
            return np.concatenate([
                evaluation_starts(simulator, evaluate, evaluate.lap_starts, lanes=[lane])
                for lane in lanes_of(simulator)
            ])  # fmt: skip
        finally:
            simulator.close()

    def evaluate(self, policy: TrainedPolicy | ProportionalController) -> Evaluation:
        """Drive from all starts at once."""
        trained = policy if isinstance(policy, TrainedPolicy) else None
        # a driver without a camera needs no buffers for frames
        observation = trained.spec.observation if trained else self._settings.observation
        simulator = BatchedSimulator(
            self._world,
            len(self.starts),
            image_blocks(observation, self._world),
            self._threads,
            stacking=image_stacking(observation),
        )
        simulator.camera_on = trained is not None
        try:
            episodes = drive_all(simulator, policy, self.starts)
        finally:
            simulator.close()
        return scored(policy.name, episodes, self._lane_map)


def drive_laps(_: object, settings: Settings, policy: TrainedPolicy | ProportionalController) -> Evaluation:
    """`Laps` on one core, as a task for `Workers`; their simulators are not needed."""
    return Laps(settings, threads=1).evaluate(policy)


def drive_all(
    simulator: BatchedSimulator, policy: TrainedPolicy | ProportionalController, starts: NDArray[np.float64]
) -> list[Episode]:
    """Drive one episode of each robot, all at once.

    Args:
        simulator: with as many robots as starts; its images are what the policy sees.
        policy: the driver.
        starts: (N, 3) of (x, z, angle), metres and radians.
    """
    n = len(starts)
    simulator.reset(seed=simulator.settings.seed)
    images, _ = simulator.reset(options={"poses": starts})
    policy.reset(n)
    act = _driver(simulator, policy)
    driving, survived = np.ones(n, np.bool_), np.ones(n, np.bool_)
    lengths, path = np.zeros(n, np.int64), [_poses(simulator)]
    while driving.any():
        images, terminated, truncated, _ = simulator.drive(act(images))
        path.append(_poses(simulator))
        lengths += driving
        survived &= ~(terminated & driving)
        driving &= ~(terminated | truncated)
    poses = np.stack(path, axis=1)
    return [
        Episode(policy.name, poses[i, : lengths[i] + 1], bool(survived[i]))
        for i in range(n)
    ]  # fmt: skip


def _driver(
    simulator: BatchedSimulator, policy: TrainedPolicy | ProportionalController
) -> Callable[[NDArray[np.uint8]], Commands]:
    if isinstance(policy, TrainedPolicy):
        return policy.act_on_stacks
    robots = simulator.robots
    return lambda images: policy.act(Observations(images, np.stack([robots.lane_dist, robots.lane_angle], 1)))


def _poses(simulator: BatchedSimulator) -> NDArray[np.float64]:
    robots = simulator.robots
    return np.stack([robots.x, robots.z, robots.angle], axis=1)


def summarize_laps(evaluation: Evaluation) -> dict[str, Any]:
    """The share of full laps, and the official scores with confidence intervals.

    Returns:
        `episodes` and `survived`, counts; `full_lap_share`, the share of episodes with at least one full lap,
        None if a lane of the map is not a loop; each official score's `median` with the bounds `low` and
        `high` of its 95 % interval (percentile bootstrap).
    """
    scores = evaluation.scores
    laps = [score.laps for score in scores]
    driven = None if None in laps else sum(lap >= 1 for lap in laps if lap is not None) / len(laps)
    return {
        "episodes": len(scores),
        "survived": sum(score.survived for score in scores),
        "full_lap_share": driven,
        "official": {
            name: interval_over_drives([score.official()[name] for score in scores]) for name in OFFICIAL
        },
    }
