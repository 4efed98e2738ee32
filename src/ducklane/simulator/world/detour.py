"""The way around what stands in a lane: where beside the lane's centre a robot ought to be."""

from __future__ import annotations

import math

import numpy as np

from ducklane.kernel import lean_kernel
from ducklane.simulator.town.layout import Layout
from ducklane.simulator.world.lane import lane_point
from ducklane.simulator.world.obstacles import ROBOT_WIDTH
from ducklane.simulator.world.things import Things

_BEGINS_M, _COMPLETE_M = 1.0, 0.3
"""Before an object, along the lane: where the detour begins, and from where a robot ought to be beside it."""
_KEPT_M, _ENDS_M = 0.3, 1.2
"""After it: as far as the robot ought to stay there, and where the detour ends. It sees no object any more
then, and has to come back slowly."""

_STEP_M = 0.1
"""In which the lane is searched for the point nearest to an object."""

_ROOM_ON_THE_RIGHT_M = 0.08
"""From a lane's centre to where a robot's right side leaves the road, and a little less."""


@lean_kernel
def detour(
    layout: Layout, things: Things, i: int, m: int, x: float, z: float, angle: float, margin_m: float
) -> float:
    """How far beside the lane's centre robot i ought to be, to pass what stands in its lane.

    The lane is that of `lane_point`. What can be passed on the right within the lane is, all else on the
    left, in the other lane if need be.

    Args:
        layout: the maps.
        things: of all robots' worlds.
        i: the robot.
        m: its map.
        x, z, angle: its pose, metres and radians.
        margin_m: between the robot's side and the object.

    Returns:
        metres, positive to the right as `State.lane_dist`; 0 where nothing is in the way, and outside any
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
        if not abs(aside) < room:
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
    """Where an object is, seen along the lane of a pose: metres ahead and to the right; infinite outside."""
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
    """How much of the detour is due where the object is this far ahead, 0 to 1."""
    if ahead >= 0.0:
        return min(max((_BEGINS_M - ahead) / (_BEGINS_M - _COMPLETE_M), 0.0), 1.0)
    return min(max((_ENDS_M + ahead) / (_ENDS_M - _KEPT_M), 0.0), 1.0)
