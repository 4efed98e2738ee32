"""How a Duckiebot moves: delayed commands, a first-order model of two speeds, and an exact arc per step.

The model and its constants are those of duckietown_world's pwm_dynamics.py (`get_DB18_nominal`, and
`get_DB18_uncalibrated` for the trim), dynamics_delay.py and generic_kinematics.py. With wheel duties l, r in
[-1, 1] the forward speed v (m/s) and the yaw rate w (rad/s, positive to the left) follow

    dv/dt = -5 v + 1.5 (r + l)
    dw/dt = -4 w + 15 ((1 + trim) r - (1 - trim) l)

so that both wheels at full duty settle at 0.6 m/s, and one wheel alone at 3.75 rad/s. Upstream's other terms
(u2, u3, w2, w3) are zero. Poses are in the frame of `State`: z points down the map, hence the sign of z
below.
"""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.simulator.interface import STEP_SECONDS

DELAY_SECONDS = 0.15
"""From a command to its effect; gym-duckietown's `Simulator.reset` passes this delay."""

COMMANDS_KEPT = 8
"""Length of the ring buffer of commands; the delay is 4 to 5 steps."""

NO_COMMAND = -1
"""Lag of a step on which no command acts yet: the wheels then have zero duty."""

TRIM_SCALE = 0.02
"""Standard deviation of a robot's trim under randomised dynamics, from upstream's default_dr.json."""

_DRAG, _YAW_DRAG, _PUSH, _TURN = 5.0, 4.0, 1.5, 15.0
"""u1 and w1 in 1/s; u_alpha in m/s^2 and w_alpha in rad/s^2, both per unit of duty"""
_STRAIGHT = 1e-8
"""radians per step; a step that turns by less is straight and keeps the heading, as in PyGeometry"""


def command_lags(steps: int) -> NDArray[np.int64]:
    """By how many steps the command that acts on each step lags behind.

    The command nearest in time to 0.15 s ago acts. At 30 steps per second two commands are equally near, and
    the rounding of the accumulated time decides between them; so time is accumulated here exactly as in
    duckietown_world's `DelayedDynamics`.

    Args:
        steps: length of an episode.

    Returns:
        int64 [steps + 1], indexed by step, counting from 1; `NO_COMMAND` on the first few.
    """
    lags = np.full(steps + 1, NO_COMMAND, dtype=np.int64)
    times: list[float] = []
    first, time = 0, 0.0
    for step in range(1, steps + 1):
        times.append(time)
        time += STEP_SECONDS
        acting_time = time - DELAY_SECONDS
        if acting_time >= times[first]:
            lags[step] = step - 1 - _nearest(times, first, acting_time)
        # `DelayedDynamics` then forgets older commands, which moves the start of its next search
        if times[-1] - DELAY_SECONDS >= times[first]:
            first = bisect.bisect_left(times, times[-1] - DELAY_SECONDS, lo=first)
    return lags


def _nearest(times: list[float], first: int, time: float) -> int:
    """Index of the entry of `times`, from `first` on, that is nearest to `time`; of equals the later one."""
    after = bisect.bisect_left(times, time, lo=first)
    before = after - 1
    nearer = after > first and abs(time - times[before]) < abs(time - times[after])
    return before if nearer else after


@lean_kernel
def clipped(command: float) -> float:
    """A wheel's duty, clipped to [-1, 1]."""
    return min(max(command, -1.0), 1.0)


@lean_kernel
def speeds_after(
    forward_speed: float, yaw_rate: float, left: float, right: float, trim: float
) -> tuple[float, float]:
    """Speeds at the end of a step during which these commands act: one step of forward Euler.

    Args:
        forward_speed: metres per second.
        yaw_rate: radians per second, positive to the left.
        left, right: wheel duty in [-1, 1].
        trim: fraction by which the right wheel turns the robot more, and the left wheel less.

    Returns:
        (forward speed, yaw rate).
    """
    push = _PUSH * right + _PUSH * left
    turn = _TURN * (1.0 + trim) * right - _TURN * (1.0 - trim) * left
    return (
        forward_speed + STEP_SECONDS * (-_DRAG * forward_speed + push),
        yaw_rate + STEP_SECONDS * (-_YAW_DRAG * yaw_rate + turn),
    )


@lean_kernel
def pose_after(
    x: float, z: float, angle: float, forward_speed: float, yaw_rate: float
) -> tuple[float, float, float]:
    """Pose after a step at these speeds: (x, z, angle), the angle in [-pi, pi].

    The speeds are those at the end of the step, as in duckietown_world. Held constant, they lead along an
    arc: the exponential map of SE(2), applied in the robot's frame (PyGeometry's `SE2_from_se2`).
    """
    # displacement in the robot's frame: `ahead` along its heading, `aside` to its left
    ahead, turn = STEP_SECONDS * forward_speed, STEP_SECONDS * yaw_rate
    aside = 0.0
    if abs(turn) < _STRAIGHT:
        turn = 0.0
    else:
        aside = (1.0 - math.cos(turn)) / turn * ahead
        ahead = math.sin(turn) / turn * ahead
    cosine, sine = math.cos(angle), math.sin(angle)
    x += cosine * ahead - sine * aside
    z -= sine * ahead + cosine * aside
    return x, z, wrapped(angle + turn)


@lean_kernel
def wrapped(angle: float) -> float:
    """The same angle within [-pi, pi]."""
    if abs(angle) <= math.pi:
        return angle
    return math.atan2(math.sin(angle), math.cos(angle))
