"""The way around what stands in a lane: a robot that keeps to it touches nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ducklane.settings import Settings
from ducklane.simulator.single import SingleSimulator

MARGIN_M = 0.04

Pose = tuple[float, float, float]


@pytest.fixture
def simulator(changed: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[SingleSimulator]:
    made = SingleSimulator(changed(simulator={"map_name": request.param}).simulator)
    made.reset(seed=1)
    made.camera_on = False
    yield made
    made.close()


def centre_poses(simulator: SingleSimulator) -> Iterator[Pose]:
    """Every few centimetres along the centres of all lanes."""
    for i, j, _ in simulator.drivable_tiles:
        for curve in simulator.lane_curves(i, j):
            for t in np.linspace(0.02, 0.98, 15):
                weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
                slopes = np.array([(1 - t) ** 2, 2 * t * (1 - t), t**2])
                x, z = weights @ curve
                along_x, along_z = slopes @ np.diff(curve, axis=0)
                yield x, z, math.atan2(-along_z, along_x)


def moved_right(pose: Pose, metres: float) -> Pose:
    x, z, angle = pose
    return x + metres * math.sin(angle), z + metres * math.cos(angle), angle


def detour_at(simulator: SingleSimulator, pose: Pose) -> float:
    """On the spot, or the nearest to its left where a robot can be."""
    for left in np.arange(0, 0.3, 0.01):
        start = moved_right(pose, -left)
        if simulator.valid_pose(*start):
            simulator.reset(options={"pose": start})
            return simulator.detour(MARGIN_M)
    raise AssertionError(f"no room beside {pose}")


@pytest.mark.parametrize("simulator", ["loop_obstacles"], indirect=True)
def test_a_robot_that_follows_the_detour_touches_nothing(simulator: SingleSimulator) -> None:
    poses = list(centre_poses(simulator))
    detours = [detour_at(simulator, pose) for pose in poses]
    blocked = [not simulator.valid_pose(*pose) for pose in poses]
    still = [
        not simulator.valid_pose(*moved_right(pose, aside))
        for pose, aside in zip(poses, detours, strict=True)
    ]
    assert sum(blocked) > 20
    assert sum(still) == 0
    assert max(map(abs, detours)) < 0.25
    assert np.mean(np.array(detours) == 0) > 0.3


@pytest.mark.parametrize("simulator", ["loop_empty"], indirect=True)
def test_an_empty_road_needs_no_detour(simulator: SingleSimulator) -> None:
    for seed in range(20):
        simulator.reset(seed=seed)
        assert simulator.detour(MARGIN_M) == 0
