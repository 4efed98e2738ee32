"""What moves or changes on a map beside the robot: each robot has a world of its own.

Duckiebots that follow their lane, duckies that cross the road, checkerboards that show themselves to a
camera, traffic lights. As in the stock simulator they go on from episode to episode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ducklane.simulator.draws import Stream, integers, normal, uniform
from ducklane.simulator.dynamics import STEP_SECONDS
from ducklane.simulator.kernel import lean_kernel
from ducklane.simulator.lane import lane_point
from ducklane.simulator.layout import (
    CHECKERBOARD,
    DUCKIE,
    DUCKIEBOT,
    TRAFFIC_LIGHT,
    Bools,
    Floats,
    Ints,
    Layout,
)

_SHOWN_FROM = -20
_STRIDE = 20 * 1.0 / 3000
"""metres a checkerboard moves in a step"""

_MOTOR_CONSTANT = 27.0
_LOOKUPS = 1000


class Things(NamedTuple):
    """Of each robot's world, the K objects of `Layout`; metres, seconds and radians but for `y_rot`."""

    visible: Bools
    """[N, K] in this episode's pictures"""
    position: Floats
    """[N, K, 3] (x, y, z)"""
    angle: Floats
    """[N, K]"""
    y_rot: Floats
    """[N, K] degrees by which it is drawn turned"""
    corners: Floats
    """[N, K, 4, 2] (x, z) of its box on the ground"""
    time: Floats
    """[N, K] since the world began"""
    pattern: Ints
    """[N, K] which of its two textures a traffic light shows"""
    frequency: Ints
    """[N, K] seconds between changes of a traffic light"""
    velocity: Floats
    """[N, K] metres a second of a Duckiebot, metres a step of a duckie"""
    wait: Floats
    """[N, K] until a duckie walks"""
    active: Bools
    """[N, K] whether a duckie walks"""
    start: Floats
    """[N, K, 3] where a duckie's walk began"""
    wiggle: Floats
    """[N, K] to how far a walking duckie turns left and right"""
    phase: Ints
    """[N, K] how far a checkerboard has come in its round"""
    follow_distance: Floats
    """[N, K] how far ahead a Duckiebot aims"""
    gain: Floats
    """[N, K] of a Duckiebot's steering and motors"""
    trim: Floats
    """[N, K] of a Duckiebot's motors"""
    wheel_radius: Floats
    """[N, K] of a Duckiebot"""
    wheel_distance: Floats
    """[N, K] of a Duckiebot"""
    width: Floats
    """[N, K] of a Duckiebot"""
    length: Floats
    """[N, K] of a Duckiebot"""


_TRAILING = {"position": (3,), "start": (3,), "corners": (4, 2)}
_TYPES = {
    "visible": np.bool_,
    "active": np.bool_,
    "pattern": np.int64,
    "frequency": np.int64,
    "phase": np.int64,
}


def new_things(n: int, layout: Layout) -> Things:
    """Room for the objects of n robots' worlds; put them in with `place_things`."""
    objects = layout.kind.shape[1]
    arrays = {
        name: np.zeros((n, objects, *_TRAILING.get(name, ())), dtype=_TYPES.get(name, np.float64))
        for name in Things._fields
    }
    return Things(**arrays)


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
        things.visible[i, k] = True
        things.angle[i, k] = layout.angle[m, k]
        things.y_rot[i, k] = layout.angle[m, k] * (180.0 / math.pi)
        things.time[i, k] = 0.0
        things.active[i, k] = False
        things.phase[i, k] = _SHOWN_FROM
        for axis in range(3):
            things.position[i, k, axis] = things.start[i, k, axis] = layout.position[m, k, axis]
        for corner in range(4):
            things.corners[i, k, corner, 0] = layout.corners[m, k, corner, 0]
            things.corners[i, k, corner, 1] = layout.corners[m, k, corner, 1]
        if layout.kind[m, k] == TRAFFIC_LIGHT:
            things.frequency[i, k] = integers(stream, 4, 7) if vary else 5
            things.pattern[i, k] = integers(stream, 0, 2) if vary else 0
        elif not layout.static[m, k] and layout.kind[m, k] == DUCKIE:
            _make_duckie(things, i, k, stream, vary)
        elif not layout.static[m, k] and layout.kind[m, k] == DUCKIEBOT:
            _make_duckiebot(things, i, k, stream, vary)


@lean_kernel
def draw_visibility(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """Choose which objects of map m are seen in robot i's next episode: all, or if `vary` not all."""
    for k in range(layout.object_count[m]):
        hidden = vary and layout.optional[m, k] and integers(stream, 0, 2) != 0
        things.visible[i, k] = not hidden


@lean_kernel
def move_things(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """One step of all objects of map m in robot i's world."""
    for k in range(layout.object_count[m]):
        kind = layout.kind[m, k]
        if layout.static[m, k]:
            if kind == TRAFFIC_LIGHT:
                _switch_light(things, i, k)
        elif kind == DUCKIEBOT:
            _drive(layout, things, i, m, k)
        elif kind == DUCKIE:
            _walk(things, i, k, layout.angle[m, k], layout.walk_distance[m, k], stream, vary)
        elif kind == CHECKERBOARD:
            _show(things, i, k, layout.position[m, k, 0], layout.position[m, k, 1], layout.position[m, k, 2])


@lean_kernel
def _make_duckie(things: Things, i: int, k: int, stream: Stream, vary: bool) -> None:
    things.wait[i, k] = integers(stream, 3, 20) if vary else 8.0
    things.velocity[i, k] = abs(normal(stream, 0.02, 0.005)) if vary else 0.02
    things.wiggle[i, k] = math.pi / integers(stream, 14, 17)


@lean_kernel
def _make_duckiebot(things: Things, i: int, k: int, stream: Stream, vary: bool) -> None:
    things.follow_distance[i, k] = uniform(stream, 0.3, 0.4) if vary else 0.3
    things.velocity[i, k] = uniform(stream, 0.05, 0.15) if vary else 0.1
    things.gain[i, k] = 2.0 + (uniform(stream, -0.3, 0.3) if vary else 0.0)
    # the stock simulator adds the 2, which throws the Duckiebot off the road
    things.trim[i, k] = uniform(stream, -0.1, 0.1) + 2.0 if vary else 0.0
    things.wheel_radius[i, k] = 0.0318 + (0.0002 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    things.wheel_distance[i, k] = 0.102 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    things.width[i, k] = 0.15 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    things.length[i, k] = 0.18 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)


@lean_kernel
def _switch_light(things: Things, i: int, k: int) -> None:
    things.time[i, k] += STEP_SECONDS
    second = round(things.time[i, k])
    # upstream rounds to milliseconds; at 30 steps a second none comes nearer to the half of one
    if abs(things.time[i, k] - second) < 0.0005 and second % things.frequency[i, k] == 0:
        things.pattern[i, k] ^= 1


@lean_kernel
def _walk(
    things: Things, i: int, k: int, heading: float, walk_distance: float, stream: Stream, vary: bool
) -> None:
    things.time[i, k] += STEP_SECONDS
    if not things.active[i, k]:
        things.wait[i, k] -= STEP_SECONDS
        things.active[i, k] = things.wait[i, k] <= 0
        return
    dx = math.cos(heading) * things.velocity[i, k]
    dz = -math.sin(heading) * things.velocity[i, k]
    things.position[i, k, 0] += dx
    things.position[i, k, 2] += dz
    for corner in range(4):
        things.corners[i, k, corner, 0] += dx
        things.corners[i, k, corner, 1] += dz
    away_x = things.position[i, k, 0] - things.start[i, k, 0]
    away_z = things.position[i, k, 2] - things.start[i, k, 2]
    if math.sqrt(away_x * away_x + away_z * away_z) > walk_distance:
        _turn_back(things, i, k, stream, vary)
    turned = things.wiggle[i, k] * math.sin(48 * things.time[i, k])
    things.y_rot[i, k] = (things.angle[i, k] + turned) * (180.0 / math.pi)


@lean_kernel
def _turn_back(things: Things, i: int, k: int, stream: Stream, vary: bool) -> None:
    for axis in range(3):
        things.start[i, k, axis] = things.position[i, k, axis]
    things.angle[i, k] += math.pi
    things.active[i, k] = False
    if vary:
        speed = abs(normal(stream, 0.02, 0.005))
        things.velocity[i, k] = -speed if things.velocity[i, k] > 0 else speed
        things.wait[i, k] = integers(stream, 3, 20)
    else:
        things.velocity[i, k] = -things.velocity[i, k]
        things.wait[i, k] = 8.0


@lean_kernel
def _show(things: Things, i: int, k: int, x: float, y: float, z: float) -> None:
    phase = things.phase[i, k]
    if phase >= 420:
        things.position[i, k, 0] = x
        things.position[i, k, 1] = y
        things.position[i, k, 2] = z
        things.phase[i, k] = _SHOWN_FROM
        return
    dx, dy, dz = _stride(phase)
    things.position[i, k, 0] += dx
    things.position[i, k, 1] += dy
    things.position[i, k, 2] += dz
    things.phase[i, k] = phase + 2


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
def _drive(layout: Layout, things: Things, i: int, m: int, k: int) -> None:
    x, z, angle = things.position[i, k, 0], things.position[i, k, 2], things.angle[i, k]
    found, aim_x, aim_z = _aim(layout, m, x, z, angle, things.follow_distance[i, k])
    if not found:
        return  # off the road it stands still; upstream would end the process
    aim_x, aim_z = aim_x - x, aim_z - z
    distance = math.sqrt(aim_x * aim_x + aim_z * aim_z)
    to_the_right = math.sin(angle) * (aim_x / distance) + math.cos(angle) * (aim_z / distance)
    left, right = _motors(things, i, k, -things.gain[i, k] * to_the_right)
    if left == right:
        # upstream leaves the box behind
        things.position[i, k, 0] = x + STEP_SECONDS * left * math.cos(angle)
        things.position[i, k, 2] = z - STEP_SECONDS * left * math.sin(angle)
        return
    turn = (right - left) / things.wheel_distance[i, k] * STEP_SECONDS
    radius = (things.wheel_distance[i, k] * (left + right)) / (2.0 * (left - right))
    centre_x, centre_z = x + radius * math.sin(angle), z + radius * math.cos(angle)
    dx, dz = x - centre_x, z - centre_z
    things.position[i, k, 0] = centre_x + (dx * math.cos(turn) + dz * math.sin(turn))
    things.position[i, k, 2] = centre_z + (dz * math.cos(turn) - dx * math.sin(turn))
    things.angle[i, k] = angle + turn
    things.y_rot[i, k] += turn * 180.0 / math.pi
    _move_box(things, i, k)


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
def _motors(things: Things, i: int, k: int, steering: float) -> tuple[float, float]:
    """(left, right) wheel duty in [-1, 1] of a Duckiebot."""
    aside = 0.5 * steering * things.wheel_distance[i, k]
    right = (things.velocity[i, k] + aside) / things.wheel_radius[i, k]
    left = (things.velocity[i, k] - aside) / things.wheel_radius[i, k]
    right *= (things.gain[i, k] + things.trim[i, k]) / _MOTOR_CONSTANT
    left *= (things.gain[i, k] - things.trim[i, k]) / _MOTOR_CONSTANT
    return max(min(left, 1.0), -1.0), max(min(right, 1.0), -1.0)


@lean_kernel
def _move_box(things: Things, i: int, k: int) -> None:
    x, z, angle = things.position[i, k, 0], things.position[i, k, 2], things.angle[i, k]
    half_width, half_length = 0.5 * things.width[i, k], 0.5 * things.length[i, k]
    for corner in range(4):
        aside = half_width if corner == 1 or corner == 2 else -half_width
        ahead = half_length if corner >= 2 else -half_length
        things.corners[i, k, corner, 0] = x + aside * math.sin(angle) + ahead * math.cos(angle)
        things.corners[i, k, corner, 1] = z + aside * math.cos(angle) - ahead * math.sin(angle)
