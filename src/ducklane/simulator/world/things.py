"""What moves or changes on a map beside the robot: each robot has a world of its own.

Duckiebots that follow their lane, duckies that cross the road, checkerboards that show themselves to a
camera, traffic lights. As in the stock simulator they go on from episode to episode.
"""

from __future__ import annotations

import math

import numpy as np

from ducklane.kernel import lean_kernel
from ducklane.simulator.interface import STEP_SECONDS
from ducklane.simulator.town.layout import (
    CHECKERBOARD,
    DUCKIE,
    DUCKIEBOT,
    TRAFFIC_LIGHT,
    Floats,
    Layout,
    record_type,
)
from ducklane.simulator.world.draws import Stream, integers, normal, uniform
from ducklane.simulator.world.lane import lane_point

_SHOWN_FROM = -20
_STRIDE = 20 * 1.0 / 3000
"""metres a checkerboard moves in a step"""

_MOTOR_CONSTANT = 27.0
_LOOKUPS = 1000


class ThingState(np.record):  # type: ignore[misc] # numpy's own, but for its users
    """An object in a robot's world; metres, seconds and radians but for `y_rot`."""

    visible: bool
    """in this episode's pictures"""
    position: Floats
    """(3,) (x, y, z)"""
    angle: float
    y_rot: float
    """degrees by which it is drawn turned"""
    corners: Floats
    """(4, 2) (x, z) of its box on the ground"""
    time: float
    """since the world began"""
    pattern: int
    """which of its two textures a traffic light shows"""
    frequency: int
    """seconds between changes of a traffic light"""
    velocity: float
    """metres a second of a Duckiebot, metres a step of a duckie"""
    wait: float
    """until a duckie walks"""
    active: bool
    """whether a duckie walks"""
    start: Floats
    """(3,) where a duckie's walk began"""
    wiggle: float
    """to how far a walking duckie turns left and right"""
    phase: int
    """how far a checkerboard has come in its round"""
    follow_distance: float
    """how far ahead a Duckiebot aims"""
    gain: float
    """of a Duckiebot's steering and motors"""
    trim: float
    """of a Duckiebot's motors"""
    wheel_radius: float
    """of a Duckiebot"""
    wheel_distance: float
    """of a Duckiebot"""
    width: float
    """of a Duckiebot"""
    length: float
    """of a Duckiebot"""


Things = np.recarray[tuple[int, int], np.dtype[ThingState]]
"""[N, K] of `ThingState`: in each of N robots' worlds, the K objects of `Layout`.

One array of records, not an array for each field, which would take far longer to compile and to hand on.
"""

_RECORD = record_type(ThingState, align=True, position=3, start=3, corners=(4, 2))


def new_things(n: int, layout: Layout) -> Things:
    """Room for the objects of n robots' worlds; put them in with `place_things`."""
    return np.zeros((n, layout.objects.shape[1]), _RECORD).view(np.recarray)


@lean_kernel
def place_things(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """Put all objects of map m where they begin.

    Args:
        layout: the maps.
        things: of all robots.
        i: the robot whose world it is.
        m: its map.
        stream: the robot's.
        vary: draw what the stock simulator draws under domain randomization.
    """
    for k in range(layout.object_count[m]):
        thing, baked = things[i, k], layout.objects[m, k]
        thing.visible = True
        thing.angle = baked.angle
        thing.y_rot = baked.angle * (180.0 / math.pi)
        thing.time = 0.0
        thing.active = False
        thing.phase = _SHOWN_FROM
        for axis in range(3):
            thing.position[axis] = thing.start[axis] = baked.position[axis]
        for corner in range(4):
            thing.corners[corner, 0] = baked.corners[corner, 0]
            thing.corners[corner, 1] = baked.corners[corner, 1]
        if baked.kind == TRAFFIC_LIGHT:
            thing.frequency = integers(stream, 4, 7) if vary else 5
            thing.pattern = integers(stream, 0, 2) if vary else 0
        elif not baked.static and baked.kind == DUCKIE:
            _make_duckie(thing, stream, vary)
        elif not baked.static and baked.kind == DUCKIEBOT:
            _make_duckiebot(thing, stream, vary)


@lean_kernel
def draw_visibility(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """Choose which objects of map m are seen in robot i's next episode: all, or if `vary` not all."""
    for k in range(layout.object_count[m]):
        thing, baked = things[i, k], layout.objects[m, k]
        hidden = vary and baked.optional and integers(stream, 0, 2) != 0
        thing.visible = not hidden


@lean_kernel
def move_things(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """One step of all objects of map m in robot i's world."""
    for k in range(layout.object_count[m]):
        thing, baked = things[i, k], layout.objects[m, k]
        kind = baked.kind
        if baked.static:
            if kind == TRAFFIC_LIGHT:
                _switch_light(thing)
        elif kind == DUCKIEBOT:
            _drive(layout, m, thing)
        elif kind == DUCKIE:
            _walk(thing, baked.angle, baked.walk_distance, stream, vary)
        elif kind == CHECKERBOARD:
            _show(thing, baked.position[0], baked.position[1], baked.position[2])


@lean_kernel
def _make_duckie(thing: ThingState, stream: Stream, vary: bool) -> None:
    thing.wait = integers(stream, 3, 20) if vary else 8.0
    thing.velocity = abs(normal(stream, 0.02, 0.005)) if vary else 0.02
    thing.wiggle = math.pi / integers(stream, 14, 17)


@lean_kernel
def _make_duckiebot(thing: ThingState, stream: Stream, vary: bool) -> None:
    thing.follow_distance = uniform(stream, 0.3, 0.4) if vary else 0.3
    thing.velocity = uniform(stream, 0.05, 0.15) if vary else 0.1
    thing.gain = 2.0 + (uniform(stream, -0.3, 0.3) if vary else 0.0)
    # the stock simulator adds the 2, which throws the Duckiebot off the road
    thing.trim = uniform(stream, -0.1, 0.1) + 2.0 if vary else 0.0
    thing.wheel_radius = 0.0318 + (0.0002 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.wheel_distance = 0.102 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.width = 0.15 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.length = 0.18 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)


@lean_kernel
def _switch_light(thing: ThingState) -> None:
    thing.time += STEP_SECONDS
    second = round(thing.time)
    # upstream rounds to milliseconds; at 30 steps a second none comes nearer to the half of one
    if abs(thing.time - second) < 0.0005 and second % thing.frequency == 0:
        thing.pattern ^= 1


@lean_kernel
def _walk(thing: ThingState, heading: float, walk_distance: float, stream: Stream, vary: bool) -> None:
    thing.time += STEP_SECONDS
    if not thing.active:
        thing.wait -= STEP_SECONDS
        thing.active = thing.wait <= 0
        return
    dx = math.cos(heading) * thing.velocity
    dz = -math.sin(heading) * thing.velocity
    thing.position[0] += dx
    thing.position[2] += dz
    for corner in range(4):
        thing.corners[corner, 0] += dx
        thing.corners[corner, 1] += dz
    away_x = thing.position[0] - thing.start[0]
    away_z = thing.position[2] - thing.start[2]
    if math.sqrt(away_x * away_x + away_z * away_z) > walk_distance:
        _turn_back(thing, stream, vary)
    turned = thing.wiggle * math.sin(48 * thing.time)
    thing.y_rot = (thing.angle + turned) * (180.0 / math.pi)


@lean_kernel
def _turn_back(thing: ThingState, stream: Stream, vary: bool) -> None:
    for axis in range(3):
        thing.start[axis] = thing.position[axis]
    thing.angle += math.pi
    thing.active = False
    if vary:
        speed = abs(normal(stream, 0.02, 0.005))
        thing.velocity = -speed if thing.velocity > 0 else speed
        thing.wait = integers(stream, 3, 20)
    else:
        thing.velocity = -thing.velocity
        thing.wait = 8.0


@lean_kernel
def _show(thing: ThingState, x: float, y: float, z: float) -> None:
    phase = thing.phase
    if phase >= 420:
        thing.position[0] = x
        thing.position[1] = y
        thing.position[2] = z
        thing.phase = _SHOWN_FROM
        return
    dx, dy, dz = _stride(phase)
    thing.position[0] += dx
    thing.position[1] += dy
    thing.position[2] += dz
    thing.phase = phase + 2


@lean_kernel
def _stride(phase: int) -> tuple[float, float, float]:
    """(x, y, z) by which a checkerboard moves: away and near, left and right, up and down, twice."""
    if phase < 0:
        return 0.0, 0.0, 0.0
    if phase < 170:
        return -_STRIDE if 40 <= phase < 135 else _STRIDE, 0.0, 0.0
    if phase < 290:
        return 0.0, 0.0, -_STRIDE if 200 <= phase < 260 else _STRIDE
    if phase < 330:
        return 0.0, -_STRIDE if phase >= 310 else _STRIDE, 0.0
    if phase < 355:
        return -_STRIDE, 0.0, 0.0
    if phase < 385:
        return 0.0, _STRIDE if phase >= 370 else -_STRIDE, 0.0
    return _STRIDE, 0.0, 0.0


@lean_kernel
def _drive(layout: Layout, m: int, thing: ThingState) -> None:
    x, z, angle = thing.position[0], thing.position[2], thing.angle
    found, aim_x, aim_z = _aim(layout, m, x, z, angle, thing.follow_distance)
    if not found:
        return  # off the road it stands still; upstream would end the process
    aim_x, aim_z = aim_x - x, aim_z - z
    distance = math.sqrt(aim_x * aim_x + aim_z * aim_z)
    to_the_right = math.sin(angle) * (aim_x / distance) + math.cos(angle) * (aim_z / distance)
    left, right = _motors(thing, -thing.gain * to_the_right)
    if left == right:
        # upstream leaves the box behind
        thing.position[0] = x + STEP_SECONDS * left * math.cos(angle)
        thing.position[2] = z - STEP_SECONDS * left * math.sin(angle)
        return
    turn = (right - left) / thing.wheel_distance * STEP_SECONDS
    radius = (thing.wheel_distance * (left + right)) / (2.0 * (left - right))
    centre_x, centre_z = x + radius * math.sin(angle), z + radius * math.cos(angle)
    dx, dz = x - centre_x, z - centre_z
    thing.position[0] = centre_x + (dx * math.cos(turn) + dz * math.sin(turn))
    thing.position[2] = centre_z + (dz * math.cos(turn) - dx * math.sin(turn))
    thing.angle = angle + turn
    thing.y_rot += turn * 180.0 / math.pi
    _move_box(thing)


@lean_kernel
def _aim(layout: Layout, m: int, x: float, z: float, angle: float, ahead: float) -> tuple[bool, float, float]:
    """The point of the lane that a Duckiebot steers for; nearer where none is as far ahead."""
    found, point_x, point_z, along_x, along_z = lane_point(layout, m, x, z, angle)
    if not found:
        return False, np.nan, np.nan
    for _ in range(_LOOKUPS):
        found, aim_x, aim_z, _, _ = lane_point(
            layout, m, point_x + along_x * ahead, point_z + along_z * ahead, angle
        )
        if found:
            return True, aim_x, aim_z
        ahead *= 0.5
    return False, np.nan, np.nan


@lean_kernel
def _motors(thing: ThingState, steering: float) -> tuple[float, float]:
    """(left, right) wheel duty in [-1, 1] of a Duckiebot."""
    aside = 0.5 * steering * thing.wheel_distance
    right = (thing.velocity + aside) / thing.wheel_radius
    left = (thing.velocity - aside) / thing.wheel_radius
    right *= (thing.gain + thing.trim) / _MOTOR_CONSTANT
    left *= (thing.gain - thing.trim) / _MOTOR_CONSTANT
    return max(min(left, 1.0), -1.0), max(min(right, 1.0), -1.0)


@lean_kernel
def _move_box(thing: ThingState) -> None:
    x, z, angle = thing.position[0], thing.position[2], thing.angle
    half_width, half_length = 0.5 * thing.width, 0.5 * thing.length
    for corner in range(4):
        aside = half_width if corner == 1 or corner == 2 else -half_width
        ahead = half_length if corner >= 2 else -half_length
        thing.corners[corner, 0] = x + aside * math.sin(angle) + ahead * math.cos(angle)
        thing.corners[corner, 1] = z + aside * math.cos(angle) - ahead * math.sin(angle)
