"""Collisions: whether a pose is valid, how near objects are, where no robot may start.

The checks are those of gym-duckietown's simulator.py (`_valid_pose`, `proximity_penalty2`,
`_inconvenient_spawn`) and collision.py, with their dimensions of the robot. Frame: that of `State`.
"""

from __future__ import annotations

import math

from ducklane.kernel import lean_kernel
from ducklane.simulator.duckiebot import FORWARD_M, ROBOT_LENGTH, ROBOT_WIDTH, SAFETY_RADIUS
from ducklane.simulator.town.layout import Floats, Layout
from ducklane.simulator.world.lane import on_road
from ducklane.simulator.world.things import Things

CENTRE_AHEAD = FORWARD_M - ROBOT_LENGTH / 2
"""metres along the heading from the centre of rotation to the middle of the robot's box; negative: behind"""

Box = tuple[float, float, float, float, float, float, float, float]
"""(x, z) of four corners, in the order of upstream's `agent_boundbox`: rear left, rear right, front right,
front left"""

_OUTER = math.hypot(ROBOT_LENGTH, ROBOT_WIDTH) / 2
"""metres from the middle of the robot's box to a corner"""

_MARGIN = 1e-6
"""metres; far more than distances are off by rounding"""


@lean_kernel
def valid_pose(
    layout: Layout, things: Things, i: int, m: int, x: float, z: float, angle: float, safety_factor: float
) -> bool:
    """Whether a robot at this pose in robot i's world is on drivable ground and touches nothing.

    Args:
        layout: the maps.
        things: the objects in all robots' worlds.
        i: the robot.
        m: its map.
        x, z, angle: metres and radians.
        safety_factor: scales the robot in the check of the ground; collisions are those of its true size.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    x, z = x + CENTRE_AHEAD * cosine, z - CENTRE_AHEAD * sine
    aside, ahead = safety_factor * 0.5 * ROBOT_WIDTH, safety_factor * 0.5 * ROBOT_LENGTH
    grounded = (
        on_road(layout.tiles, layout.tile_size, m, x, z)
        and on_road(layout.tiles, layout.tile_size, m, x - aside * sine, z - aside * cosine)
        and on_road(layout.tiles, layout.tile_size, m, x + aside * sine, z + aside * cosine)
        and on_road(layout.tiles, layout.tile_size, m, x + ahead * cosine, z - ahead * sine)
    )
    # a quirk of upstream's, kept: `get_agent_corners` shifts the pose to the box's middle a second time
    return grounded and not _collides(
        layout, things, i, m, x + CENTRE_AHEAD * cosine, z - CENTRE_AHEAD * sine, cosine, sine
    )


@lean_kernel
def proximity(layout: Layout, things: Things, i: int, m: int, x: float, z: float, angle: float) -> float:
    """Overlap of the robot's safety circle with those of objects: the sum of (distance - both radii), or 0.

    Metres, 0 or negative. Upstream counts standing objects only where the circle of one of them meets the
    robot's, and decides that in single precision (`ObjectRecord.safety_rims`).
    """
    x, z = x + CENTRE_AHEAD * math.cos(angle), z - CENTRE_AHEAD * math.sin(angle)
    standing, moving = 0.0, 0.0
    touching = False
    for k in range(layout.object_count[m]):
        baked = layout.objects[m, k]
        if baked.collidable:
            dx, dz = baked.position[0] - x, baked.position[2] - z
            distance = math.sqrt(dx * dx + dz * dz)
            touching = touching or _circles_touch(baked.safety_rims, distance)
            standing += min(0.0, distance - SAFETY_RADIUS - baked.safety_radius)
        elif not baked.static:
            position = things[i, k].position
            dx, dz = x - position[0], z - position[2]
            distance = math.sqrt(dx * dx + position[1] ** 2 + dz * dz)
            moving += min(0.0, distance - SAFETY_RADIUS - baked.safety_radius)
    return (standing if touching else 0.0) + moving


@lean_kernel
def near_object(layout: Layout, things: Things, i: int, m: int, x: float, z: float) -> bool:
    """Whether (x, z) is too near to a visible object for a robot to start there."""
    for k in range(layout.object_count[m]):
        baked = layout.objects[m, k]
        if things[i, k].visible:
            position = things[i, k].position
            dx, dz = position[0] - x, position[2] - z
            if math.sqrt(dx * dx + position[1] ** 2 + dz * dz) < baked.spawn_radius:
                return True
    return False


@lean_kernel
def _circles_touch(rims: Floats, distance: float) -> bool:
    """Whether two circles cross, or one lies within the other; as upstream's `safety_circle_intersection`."""
    square = distance * distance
    crossing = rims[0] <= square <= rims[1]
    return crossing or distance < rims[2]


@lean_kernel
def _collides(
    layout: Layout, things: Things, i: int, m: int, x: float, z: float, cosine: float, sine: float
) -> bool:
    """Whether the box of a robot centred at (x, z) overlaps that of any object."""
    robot = _robot_box(x, z, cosine, sine)
    for k in range(layout.object_count[m]):
        baked = layout.objects[m, k]
        if baked.collidable:
            dx, dz = baked.position[0] - x, baked.position[2] - z
            # Cheap rejection that changes no result: of two perpendicular axes one sees at least 1/sqrt(2) of
            # a distance, so beyond this the boxes are apart on an axis of the robot.
            far = math.sqrt(2.0) * (baked.reach + _OUTER) + _MARGIN
            if dx * dx + dz * dz <= far * far and _meet(
                robot, _box(baked.corners), baked.norms, cosine, sine
            ):
                return True
        elif not baked.static and _meet(robot, _box(things[i, k].corners), baked.norms, cosine, sine):
            return True
    return False


@lean_kernel
def _robot_box(x: float, z: float, cosine: float, sine: float) -> Box:
    aside_x, aside_z = 0.5 * ROBOT_WIDTH * sine, 0.5 * ROBOT_WIDTH * cosine
    ahead_x, ahead_z = 0.5 * ROBOT_LENGTH * cosine, -0.5 * ROBOT_LENGTH * sine
    return (
        x - aside_x - ahead_x,
        z - aside_z - ahead_z,
        x + aside_x - ahead_x,
        z + aside_z - ahead_z,
        x + aside_x + ahead_x,
        z + aside_z + ahead_z,
        x - aside_x + ahead_x,
        z - aside_z + ahead_z,
    )


@lean_kernel
def _box(corners: Floats) -> Box:
    return (
        corners[0, 0],
        corners[0, 1],
        corners[1, 0],
        corners[1, 1],
        corners[2, 0],
        corners[2, 1],
        corners[3, 0],
        corners[3, 1],
    )


@lean_kernel
def _meet(robot: Box, thing: Box, norms: Floats, cosine: float, sine: float) -> bool:
    """Whether two boxes overlap on the robot's two axes and on the object's two: the separating axis theorem.

    The object's axes need not be those of its sides: upstream takes them from the eigenvectors of its
    corners' covariance, which are arbitrary for a square, and a moving Duckiebot keeps those of its start.
    """
    return (
        _overlap(robot, thing, cosine, -sine)
        and _overlap(robot, thing, sine, cosine)
        and _overlap(robot, thing, norms[0, 0], norms[0, 1])
        and _overlap(robot, thing, norms[1, 0], norms[1, 1])
    )


@lean_kernel
def _overlap(one: Box, other: Box, x: float, z: float) -> bool:
    one_low, one_high = _extent(one, x, z)
    other_low, other_high = _extent(other, x, z)
    return one_low <= other_high and other_low <= one_high


@lean_kernel
def _extent(box: Box, x: float, z: float) -> tuple[float, float]:
    """Smallest and largest coordinate of a box along the axis (x, z)."""
    first, second = x * box[0] + z * box[1], x * box[2] + z * box[3]
    third, fourth = x * box[4] + z * box[5], x * box[6] + z * box[7]
    return min(min(first, second), min(third, fourth)), max(max(first, second), max(third, fourth))
