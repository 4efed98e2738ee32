"""Where an episode begins when no pose is given, as in gym-duckietown's `Simulator.reset`."""

from __future__ import annotations

import math

import numpy as np

from ducklane.kernel import lean_kernel
from ducklane.simulator.town.layout import Layout
from ducklane.simulator.world.draws import Stream, integers, uniform
from ducklane.simulator.world.lane import lane_position
from ducklane.simulator.world.obstacles import near_object, valid_pose
from ducklane.simulator.world.things import Things

SAFETY_FACTOR = 1.3
"""by which a robot is scaled for the check that it starts on the road"""

ATTEMPTS = 5000
"""upstream's MAX_SPAWN_ATTEMPTS"""


@lean_kernel
def find_start(
    layout: Layout, things: Things, i: int, m: int, stream: Stream, max_angle_deg: float
) -> tuple[bool, float, float, float]:
    """The map's own start pose, or a random valid one on its start tile or on a random tile.

    Args:
        layout: the maps.
        things: the objects in all robots' worlds.
        i: the robot.
        m: its map.
        stream: the robot's random numbers.
        max_angle_deg: largest angle, in degrees, between a random start and the lane.

    Returns:
        whether a pose was found within 5000 attempts, and (x, z, angle). The map's own is not checked.
    """
    column, row = _start_tile(layout, m, stream)
    size = layout.tile_size[m]
    if layout.has_start_pose[m]:
        x, z = column * size + layout.start_pose[m, 0], row * size + layout.start_pose[m, 1]
        return True, x, z, layout.start_pose[m, 2]
    for _ in range(ATTEMPTS):
        x, z = uniform(stream, column, column + 1) * size, uniform(stream, row, row + 1) * size
        angle = uniform(stream, 0.0, 2.0 * math.pi)
        if near_object(layout, things, i, m, x, z):
            continue
        if not valid_pose(layout, things, i, m, x, z, angle, SAFETY_FACTOR):
            continue
        turn = lane_position(layout, m, x, z, angle)[1] * (180.0 / math.pi)
        if -max_angle_deg < turn < max_angle_deg:
            return True, x, z, angle
    return False, np.nan, np.nan, np.nan


@lean_kernel
def _start_tile(layout: Layout, m: int, stream: Stream) -> tuple[int, int]:
    if layout.start_tile[m, 0] >= 0:
        return layout.start_tile[m, 0], layout.start_tile[m, 1]
    tile = integers(stream, 0, layout.drivable_count[m])
    return layout.drivable_tiles[m, tile, 0], layout.drivable_tiles[m, tile, 1]
