"""Driving a policy from given starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ducklane.errors import PolicyError
from ducklane.evaluation.starts import fixed_starts
from ducklane.policy import Observations, Policy
from ducklane.project.inputs import digests, scoring_files
from ducklane.settings import EvaluateSettings, Settings, SimulatorSettings
from ducklane.simulator.interface import FRAMES_PER_SECOND, State
from ducklane.simulator.stock.simulator import StockSimulator

Start = tuple[float, float, float]
"""(x, z, angle): metres, metres, radians."""

if TYPE_CHECKING:  # not at run time: it loads numba and its kernels
    from ducklane.simulator.single import SingleSimulator

    Simulator = StockSimulator | SingleSimulator

OnFrame = Callable[[NDArray[np.uint8], State], None]
"""Takes a camera frame [height, width, 3] and the state that it shows."""


SCORING_SEED = 1
"""Of the worlds in which policies are scored, for all alike: `simulator.seed` is training's alone, or models
of different seeds would be given different tasks."""

START_CLEARANCE = 1.3
"""Free space at a start, as a multiple of the robot's size; that of the stock simulator's spawning."""


@dataclass(frozen=True)
class Episode:
    """The path of a robot in one episode."""

    policy: str
    poses: NDArray[np.float64]
    """(x, z, angle) at the start and after each step, [T + 1, 3], metres and radians"""
    survived: bool
    """drove until the time limit, without leaving the road or colliding"""


def evaluation_simulator(settings: Settings) -> SimulatorSettings:
    """The world in which policies are scored: `evaluate`'s map, training's camera, nothing randomized."""
    return settings.simulator.model_copy(
        update={
            "backend": "gym-duckietown",
            "seed": SCORING_SEED,
            "accept_start_angle_deg": 60.0,  # of random starts, which scoring has none of
            "map_name": settings.evaluate.map_name,
            "max_steps": max(1, round(settings.evaluate.max_seconds * FRAMES_PER_SECOND)),
            "domain_rand": False,
            "dynamics_rand": False,
            "camera_rand": False,
            "fidelity": "fast",  # of the laps, which would take hours; gym-duckietown has no other
        }
    )


def scoring_task(settings: Settings) -> dict[str, object]:
    """All that decides what a policy has to do when it is scored: scores compare only where this is equal.

    Returns:
        settings as `section.key`, without those that only film; and the digests of the map's own files.
    """
    evaluate = settings.evaluate.model_dump(exclude={"video_seconds"})
    camera = settings.simulator.model_dump(include={"camera_width", "camera_height", "distortion"})
    files = digests(scoring_files(settings))
    return {
        **{f"evaluate.{key}": value for key, value in evaluate.items()},
        **{f"simulator.{key}": value for key, value in camera.items()},
        **({"map_files": files} if files else {}),
    }


def evaluation_starts(
    simulator: Simulator,
    settings: EvaluateSettings,
    count: int | None = None,
    lanes: Sequence[NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """`fixed_starts` as the settings ask for them, at poses where the stock simulator would spawn a robot.

    Args:
        simulator: of the map.
        settings: of the evaluation.
        count: number of starts; `settings.episodes` by default.
        lanes: those of `lanes_of` to start on; all by default.
    """
    return fixed_starts(
        simulator,
        settings.episodes if count is None else count,
        math.radians(settings.start_angle_deg),
        lambda x, z, angle: simulator.valid_pose(x, z, angle, START_CLEARANCE),
        lanes=lanes,
        map_name=settings.map_name,
    )


def drive(
    simulator: Simulator,
    policy: Policy,
    start: Start,
    on_frame: OnFrame | None = None,
    seed: int = 0,
    max_steps: int | None = None,
) -> Episode:
    """Drive one episode from `start` until it ends.

    Args:
        simulator: the world, which is reset; its camera is on only if the policy or `on_frame` needs frames.
        policy: the driver.
        start: where to begin.
        on_frame: called with each camera frame that the policy sees, and the state it shows.
        seed: of the world: its moving objects and its light.
        max_steps: step at which to stop at the latest; by default the simulator ends the episode.
    """
    _check_camera(simulator, policy)
    simulator.camera_on = policy.camera_shape is not None or on_frame is not None
    simulator.first_row = policy.first_row if on_frame is None else 0
    frame, _ = simulator.reset(seed=seed, options={"pose": start})
    policy.reset(1)
    poses = [_pose(simulator.state)]
    terminated = truncated = False
    while not (terminated or truncated or len(poses) - 1 == max_steps):
        if on_frame is not None:
            on_frame(frame, simulator.state)
        lane = np.array([[simulator.state.lane_dist, simulator.state.lane_angle]])
        command = policy.act(Observations(frame[None], lane))[0]
        frame, _, terminated, truncated, _ = simulator.step(command)
        poses.append(_pose(simulator.state))
    return Episode(policy.name, np.array(poses), survived=not terminated)


def _check_camera(simulator: Simulator, policy: Policy) -> None:
    camera = simulator.settings
    if policy.camera_shape not in (None, (camera.camera_height, camera.camera_width)):
        height, width = policy.camera_shape
        raise PolicyError(
            f"simulator.camera_width, camera_height: {camera.camera_width} x {camera.camera_height}, but the "
            f"policy takes {width} x {height}; set them to that, or train again"
        )


def _pose(state: State) -> Start:
    return state.x, state.z, state.angle
