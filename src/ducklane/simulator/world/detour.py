"""The way around objects in a lane: how far beside the lane's centre a robot should drive.

The reward (`reward.detour_margin_m`), the critic and the auxiliary task measure the distance to this way.
"""

from __future__ import annotations

import math

import numpy as np

from ducklane.kernel import lean_kernel
from ducklane.simulator.duckiebot import ROBOT_WIDTH
from ducklane.simulator.town.layout import Layout
from ducklane.simulator.world.lane import lane_point
from ducklane.simulator.world.things import Things

_BEGINS_M, _COMPLETE_M = 1.0, 0.3
"""Distance along the lane before an object at which the detour begins, and at which it has its full width."""
_KEPT_M, _ENDS_M = 0.3, 1.2
"""Distance after the object up to which it keeps its full width, and at which it ends. By then the camera no
longer sees the object, so the robot has to return slowly."""

_STEP_M = 0.1
"""Step of the search along the lane for the point nearest to an object."""

_ROOM_ON_THE_RIGHT_M = 0.08
"""How far right of the lane's centre a robot may drive: slightly less than where its right side leaves the
road."""


@lean_kernel
def detour(
    layout: Layout, things: Things, i: int, m: int, x: float, z: float, angle: float, margin_m: float
) -> float:
    """How far beside the lane's centre robot i should drive, to pass the objects in its lane.

    The lane is the one `lane_point` finds. Objects that can be passed on the right without leaving the lane
    are; all others are passed on the left, in the other lane if necessary.

    Args:
        layout: the maps.
        things: the objects in all robots' worlds.
        i: the robot.
        m: its map.
        x, z, angle: its pose, metres and radians.
        margin_m: gap between the robot's side and the object, metres.

    Returns:
        metres, positive to the right like `State.lane_dist`; 0 where nothing is in the way, and outside any
        lane.
    """
    left, right = 0.0, 0.0
    for k in range(layout.object_count[m]):
        baked = layout.objects[m, k]
        if not things[i, k].visible or (baked.static and not baked.collidable):
            continue
        object_x, object_z = things[i, k].position[0], things[i, k].position[2]
        room = baked.reach + 0.5 * ROBOT_WIDTH + margin_m
        if math.hypot(object_x - x, object_z - z) > max(_BEGINS_M, _ENDS_M) + room:
            continue
        ahead, aside = _in_lane(layout, m, x, z, angle, object_x, object_z)
        if not abs(aside) < room:  # also where the object is beside no point of the lane: `aside` is infinite
            continue
        if aside + room <= min(_ROOM_ON_THE_RIGHT_M, room - aside):
            right = max(right, _share(ahead) * (aside + room))
        else:
            left = min(left, _share(ahead) * (aside - room))
    return left if left < 0.0 else right


@lean_kernel
def _in_lane(
    layout: Layout, m: int, x: float, z: float, angle: float, object_x: float, object_z: float
) -> tuple[float, float]:
    """Where an object is relative to a pose's lane: metres along it and to its right; infinite if outside.

    Walks the lane forwards, then backwards, and measures from the point of it that is nearest to the object.
    """
    found, start_x, start_z, start_along_x, start_along_z = lane_point(layout, m, x, z, angle)
    nearest, ahead, aside = np.inf, np.inf, np.inf
    for direction in range(-1, 2, 2):
        x, z, along_x, along_z = start_x, start_z, start_along_x, start_along_z
        gone = 0.0
        while found and -_ENDS_M - _STEP_M < gone < _BEGINS_M + _STEP_M:
            dx, dz = object_x - x, object_z - z
            distance = math.hypot(dx, dz)
            if distance < nearest:
                nearest = distance
                ahead, aside = gone + dx * along_x + dz * along_z, dz * along_x - dx * along_z
            step = direction * _STEP_M
            found, x, z, along_x, along_z = lane_point(
                layout, m, x + step * along_x, z + step * along_z, math.atan2(-along_z, along_x)
            )
            gone += step
        found = nearest < np.inf
    return ahead, aside


@lean_kernel
def _share(ahead: float) -> float:
    """Fraction of the detour's full width, 0 to 1, where the object is this far ahead; linear in between."""
    if ahead >= 0.0:
        return min(max((_BEGINS_M - ahead) / (_BEGINS_M - _COMPLETE_M), 0.0), 1.0)
    return min(max((_ENDS_M + ahead) / (_ENDS_M - _KEPT_M), 0.0), 1.0)
