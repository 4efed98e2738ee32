"""Objects that move or change: each robot has its own world of them.

Duckiebots that follow their lane, duckies that cross the road, checkerboards that move before a camera to
calibrate it, and traffic lights. Motion and constants are those of gym-duckietown's objects.py. As in the
stock simulator, a new episode does not reset them.
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
"""phase at which a checkerboard's round begins: ten steps of rest, for a phase grows by 2 per step"""
_STRIDE = 20 * 1.0 / 3000
"""metres a checkerboard moves per step"""

_MOTOR_CONSTANT = 27.0
"""upstream's k, by which wheel speeds in rad/s become duty"""
_LOOKUPS = 1000
"""upstream's max_iterations"""


class ThingState(np.record):  # type: ignore[misc] # numpy declares no types for fields
    """An object in a robot's world; metres, seconds and radians except for `y_rot`."""

    visible: bool
    """drawn in this episode; an invisible object still moves and can be hit"""
    position: Floats
    """(3,) (x, y, z), y upwards"""
    angle: float
    """heading, as in `State`"""
    y_rot: float
    """degrees about the upright axis by which it is drawn"""
    corners: Floats
    """(4, 2) (x, z) of its box on the ground"""
    time: float
    """since the world began"""
    pattern: int
    """traffic light: index of the texture, 0 or 1, that it shows"""
    frequency: int
    """traffic light: seconds between changes"""
    velocity: float
    """Duckiebot: metres per second; duckie: metres per step, negative on the way back"""
    wait: float
    """duckie: time until it walks"""
    active: bool
    """duckie: whether it walks"""
    start: Floats
    """duckie: (3,) where its walk began"""
    wiggle: float
    """duckie: amplitude by which it turns left and right as it walks"""
    phase: int
    """checkerboard: position in its round, -20 to 420"""
    follow_distance: float
    """Duckiebot: how far ahead on its lane it aims"""
    gain: float
    """Duckiebot: factor of its steering and of its motors"""
    trim: float
    """Duckiebot: added to the right motor's gain, subtracted from the left one's"""
    wheel_radius: float
    """Duckiebot"""
    wheel_distance: float
    """Duckiebot"""
    width: float
    """Duckiebot"""
    length: float
    """Duckiebot"""


Things = np.recarray[tuple[int, int], np.dtype[ThingState]]
"""[N, K] of `ThingState`: in each of N robots' worlds, the K objects of `Layout`.

One array of records: an array per field would take numba far longer to compile and to pass on.
"""

_RECORD = record_type(ThingState, align=True, position=3, start=3, corners=(4, 2))


def new_things(n: int, layout: Layout) -> Things:
    """Memory for the objects of n robots' worlds; fill it with `place_things`."""
    return np.zeros((n, layout.objects.shape[1]), _RECORD).view(np.recarray)


@lean_kernel
def place_things(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """Place all objects of map m at their initial positions.

    Args:
        layout: the maps.
        things: the objects in all robots' worlds.
        i: the robot whose world it is.
        m: its map.
        stream: the robot's random numbers.
        vary: draw what the stock simulator draws under domain randomisation.
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
    """Choose which objects of map m are visible in robot i's next episode.

    All are; under `vary` each optional one is hidden with probability 1/2.
    """
    for k in range(layout.object_count[m]):
        thing, baked = things[i, k], layout.objects[m, k]
        hidden = vary and baked.optional and integers(stream, 0, 2) != 0
        thing.visible = not hidden


@lean_kernel
def move_things(layout: Layout, things: Things, i: int, m: int, stream: Stream, vary: bool) -> None:
    """Move all objects of map m in robot i's world by one step."""
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
    # upstream's `trim + uniform(-0.1, 0.1) + 2`: the 2 seems a slip, and drives the Duckiebot off the road
    thing.trim = uniform(stream, -0.1, 0.1) + 2.0 if vary else 0.0
    thing.wheel_radius = 0.0318 + (0.0002 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.wheel_distance = 0.102 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.width = 0.15 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)
    thing.length = 0.18 + (0.01 * uniform(stream, -1.0, 1.0) if vary else 0.0)


@lean_kernel
def _switch_light(thing: ThingState) -> None:
    thing.time += STEP_SECONDS
    second = round(thing.time)
    # Upstream switches where `round(time, 3) % freq == 0`. At 30 steps per second no time lies near half a
    # millisecond, so comparing with the nearest whole second decides the same.
    if abs(thing.time - second) < 0.0005 and second % thing.frequency == 0:
        thing.pattern ^= 1


@lean_kernel
def _walk(thing: ThingState, heading: float, walk_distance: float, stream: Stream, vary: bool) -> None:
    """A step of a duckie: `DuckieObj.step`, where the velocity is per step and the heading never changes."""
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
    turned = thing.wiggle * math.sin(48 * thing.time)  # 48 rad/s: 7.6 waggles per second
    thing.y_rot = (thing.angle + turned) * (180.0 / math.pi)


@lean_kernel
def _turn_back(thing: ThingState, stream: Stream, vary: bool) -> None:
    """End a duckie's walk: `DuckieObj.finish_walk`."""
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
    """A step of a checkerboard whose round begins at (x, y, z): `CheckerboardObj.step`."""
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
    """Step (x, y, z) of a checkerboard: along x, along z, up and down, and then along x and y once more."""
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
    """A step of a Duckiebot: `DuckiebotObj.step_duckiebot` and `_update_pos`.

    It steers in proportion to how far right of its heading a point ahead on its lane lies, and turns about
    the instantaneous centre of curvature (ICC). As upstream has it, duty stands in for the wheels' speeds in
    m/s.
    """
    x, z, angle = thing.position[0], thing.position[2], thing.angle
    found, aim_x, aim_z = _aim(layout, m, x, z, angle, thing.follow_distance)
    if not found:
        return  # off the road it stands still; upstream raises an exception (see stock/adaptations.py)
    aim_x, aim_z = aim_x - x, aim_z - z
    distance = math.sqrt(aim_x * aim_x + aim_z * aim_z)
    to_the_right = math.sin(angle) * (aim_x / distance) + math.cos(angle) * (aim_z / distance)
    left, right = _motors(thing, -thing.gain * to_the_right)
    if left == right:
        # a quirk of upstream's, kept: driving straight does not move the box used for collisions
        thing.position[0] = x + STEP_SECONDS * left * math.cos(angle)
        thing.position[2] = z - STEP_SECONDS * left * math.sin(angle)
        return
    turn = (right - left) / thing.wheel_distance * STEP_SECONDS
    # distance to the ICC, positive where it lies to the right
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
    """The point of the lane a Duckiebot steers for; nearer if the lane does not reach as far."""
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
    """Corners in the order of upstream's `agent_boundbox`: rear left, rear right, front right, front left."""
    x, z, angle = thing.position[0], thing.position[2], thing.angle
    half_width, half_length = 0.5 * thing.width, 0.5 * thing.length
    for corner in range(4):
        aside = half_width if corner == 1 or corner == 2 else -half_width
        ahead = half_length if corner >= 2 else -half_length
        thing.corners[corner, 0] = x + aside * math.sin(angle) + ahead * math.cos(angle)
        thing.corners[corner, 1] = z + aside * math.cos(angle) - ahead * math.sin(angle)
