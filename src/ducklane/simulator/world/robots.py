"""Many robots, each alone in its own world: begin an episode, drive a step.

Each function works on one robot and touches nothing of another's, so they may run in parallel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.kernel import lean_kernel
from ducklane.simulator.interface import STEP_SECONDS
from ducklane.simulator.town.layout import Bools, Floats, Ints, Layout
from ducklane.simulator.world.draws import normal, seed_robots
from ducklane.simulator.world.dynamics import (
    COMMANDS_KEPT,
    NO_COMMAND,
    TRIM_SCALE,
    clipped,
    command_lags,
    pose_after,
    speeds_after,
)
from ducklane.simulator.world.lane import lane_position
from ducklane.simulator.world.obstacles import proximity, valid_pose
from ducklane.simulator.world.spawn import find_start
from ducklane.simulator.world.things import Things, draw_visibility, move_things, place_things

_SPAWN_TRIES = 3
"""times a random start is drawn, each time up to `spawn.ATTEMPTS` poses, as often as `StockSimulator` does"""


class Robots(NamedTuple):
    """N robots: the fields of `State`, each [N], and what their next step depends on."""

    x: Floats
    z: Floats
    angle: Floats
    speed: Floats
    forward_speed: Floats
    yaw_rate: Floats
    lane_dist: Floats
    lane_angle: Floats
    lane_dot: Floats
    proximity: Floats
    valid: Bools
    step: Ints
    """[N] steps taken in this episode"""
    map_index: Ints
    """[N] the robot's map in `Layout`"""
    trim: Floats
    """[N] fraction by which its right wheel turns it more, and its left wheel less"""
    commands: Floats
    """[N, 8, 2] ring buffer of the last (left, right) commands: step k is at index k modulo 8"""
    lags: Ints
    """[max_steps + 1] of `command_lags`, the same for all"""
    streams: NDArray[np.uint64]
    """[N, 4] random number generators"""
    max_start_angle_deg: Floats
    """[N] largest angle between a random start and the lane"""
    vary_things: Bools
    """[N] randomise the objects' motion and visibility, as the stock simulator's `domain_rand` does"""
    vary_trim: Bools
    """[N] draw a trim for each episode, as the stock simulator's `dynamics_rand` does"""


def new_robots(
    map_index: ArrayLike,
    *,
    seed: int,
    max_steps: int,
    max_start_angle_deg: float,
    domain_rand: bool = False,
    dynamics_rand: bool = False,
) -> Robots:
    """Robots without a world: call `start_world`, then `start_robot` or `start_robot_anywhere`.

    Args:
        map_index: [N], each robot's map.
        seed: together with its index, determines everything a robot draws.
        max_steps: length of an episode.
        max_start_angle_deg: largest angle between a random start and the lane.
        domain_rand: randomise the objects' motion and visibility.
        dynamics_rand: draw a trim for each episode.
    """
    maps = np.array(map_index, dtype=np.int64)
    n = len(maps)
    zeros = {name: np.zeros(n) for name in Robots._fields}
    return Robots(**{
        **zeros,
        "valid": np.zeros(n, dtype=np.bool_),
        "step": np.zeros(n, dtype=np.int64),
        "map_index": maps,
        "commands": np.zeros((n, COMMANDS_KEPT, 2)),
        "lags": command_lags(max_steps),
        "streams": seed_robots(seed, range(n)),
        "max_start_angle_deg": np.full(n, max_start_angle_deg, dtype=np.float64),
        "vary_things": np.full(n, domain_rand),
        "vary_trim": np.full(n, dynamics_rand),
    })  # fmt: skip


@lean_kernel
def start_world(layout: Layout, things: Things, robots: Robots, i: int) -> None:
    """Place the objects of robot i's world at their initial positions."""
    place_things(layout, things, i, robots.map_index[i], robots.streams[i], robots.vary_things[i])


@lean_kernel
def start_robot(
    layout: Layout, things: Things, robots: Robots, i: int, x: float, z: float, angle: float
) -> None:
    """Begin an episode of robot i at exactly this pose; `Robots.valid` tells whether it is a valid one."""
    _draw_episode(layout, things, robots, i)
    _put(layout, things, robots, i, x, z, angle)


@lean_kernel
def start_robot_anywhere(layout: Layout, things: Things, robots: Robots, i: int) -> bool:
    """Begin an episode of robot i as the stock simulator does, mostly at a random valid pose.

    Returns:
        whether a start was found; if not, robot i keeps its last pose.
    """
    for _ in range(_SPAWN_TRIES):
        _draw_episode(layout, things, robots, i)
        found, x, z, angle = find_start(
            layout, things, i, robots.map_index[i], robots.streams[i], robots.max_start_angle_deg[i]
        )
        if found:
            _put(layout, things, robots, i, x, z, angle)
            return True
    return False


@lean_kernel
def step_robot(layout: Layout, things: Things, robots: Robots, i: int, left: float, right: float) -> None:
    """Drive robot i for 1/30 s, and move the objects of its world.

    Args:
        layout: the maps.
        things: the objects in all robots' worlds.
        robots: all robots.
        i: the robot.
        left, right: wheel duty, clipped to [-1, 1].
    """
    _drive(robots, i, clipped(left), clipped(right))
    move_things(layout, things, i, robots.map_index[i], robots.streams[i], robots.vary_things[i])
    _observe(layout, things, robots, i)


@lean_kernel
def _drive(robots: Robots, i: int, left: float, right: float) -> None:
    robots.step[i] += 1
    step = robots.step[i]
    robots.commands[i, step % COMMANDS_KEPT, 0] = left
    robots.commands[i, step % COMMANDS_KEPT, 1] = right
    left, right = _acting_command(robots, i)
    forward_speed, yaw_rate = speeds_after(
        robots.forward_speed[i], robots.yaw_rate[i], left, right, robots.trim[i]
    )
    x, z, angle = pose_after(robots.x[i], robots.z[i], robots.angle[i], forward_speed, yaw_rate)
    dx, dz = x - robots.x[i], z - robots.z[i]
    robots.speed[i] = math.sqrt(dx * dx + dz * dz) / STEP_SECONDS
    robots.forward_speed[i], robots.yaw_rate[i] = forward_speed, yaw_rate
    robots.x[i], robots.z[i], robots.angle[i] = x, z, angle


@lean_kernel
def _acting_command(robots: Robots, i: int) -> tuple[float, float]:
    """(left, right) duty that acts on the present step, after the delay."""
    step = robots.step[i]
    lag = robots.lags[min(step, len(robots.lags) - 1)]  # lags are known up to `max_steps`
    if lag == NO_COMMAND:
        return 0.0, 0.0
    acting = (step - lag) % COMMANDS_KEPT
    return robots.commands[i, acting, 0], robots.commands[i, acting, 1]


@lean_kernel
def _draw_episode(layout: Layout, things: Things, robots: Robots, i: int) -> None:
    if robots.vary_trim[i]:
        robots.trim[i] = normal(robots.streams[i], 0.0, TRIM_SCALE)
    draw_visibility(layout, things, i, robots.map_index[i], robots.streams[i], robots.vary_things[i])


@lean_kernel
def _put(layout: Layout, things: Things, robots: Robots, i: int, x: float, z: float, angle: float) -> None:
    robots.x[i], robots.z[i], robots.angle[i] = x, z, angle
    robots.speed[i] = robots.forward_speed[i] = robots.yaw_rate[i] = 0.0
    robots.step[i] = 0
    for k in range(COMMANDS_KEPT):
        robots.commands[i, k, 0] = robots.commands[i, k, 1] = 0.0
    _observe(layout, things, robots, i)


@lean_kernel
def _observe(layout: Layout, things: Things, robots: Robots, i: int) -> None:
    m, x, z, angle = robots.map_index[i], robots.x[i], robots.z[i], robots.angle[i]
    robots.lane_dist[i], robots.lane_angle[i], robots.lane_dot[i] = lane_position(layout, m, x, z, angle)
    robots.proximity[i] = proximity(layout, things, i, m, x, z, angle)
    robots.valid[i] = valid_pose(layout, things, i, m, x, z, angle, 1.0)
