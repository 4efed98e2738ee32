"""How a Duckiebot moves: commands that act late, two first-order speeds, and an exact arc a step."""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.simulator.interface import STEP_SECONDS

DELAY_SECONDS = 0.15
"""From a command to its effect."""

COMMANDS_KEPT = 8
"""More than the steps of the delay."""

NO_COMMAND = -1
"""Lag of a step on which no command acts yet."""

TRIM_SCALE = 0.02
"""Standard deviation of a robot's trim under randomized dynamics."""

_DRAG, _YAW_DRAG, _PUSH, _TURN = 5.0, 4.0, 1.5, 15.0
_STRAIGHT = 1e-8
"""radians a step, below which a step is straight and turns by nothing"""


def command_lags(steps: int) -> NDArray[np.int64]:
    """How many steps late the command is that acts on each step.

    Of the commands so far, that nearest in time to 0.15 s ago acts. At 30 steps a second two are equally
    near, and the rounding of the sums of time decides; hence the same sums here as in duckietown_world.

    Args:
        steps: of an episode.

    Returns:
        [steps + 1], by step, counting from 1; `NO_COMMAND` on the first few.
    """
    lags = np.full(steps + 1, NO_COMMAND, dtype=np.int64)
    times: list[float] = []
    first, time = 0, 0.0
    for step in range(1, steps + 1):
        times.append(time)
        time += STEP_SECONDS
        wanted = time - DELAY_SECONDS
        if wanted >= times[first]:
            lags[step] = step - 1 - _nearest(times, first, wanted)
        # commands before the delay are then forgotten
        if times[-1] - DELAY_SECONDS >= times[first]:
            first = bisect.bisect_left(times, times[-1] - DELAY_SECONDS, lo=first)
    return lags


def _nearest(times: list[float], first: int, wanted: float) -> int:
    after = bisect.bisect_left(times, wanted, lo=first)
    before = after - 1
    nearer = after > first and abs(wanted - times[before]) < abs(wanted - times[after])
    return before if nearer else after


@lean_kernel
def clipped(command: float) -> float:
    """A wheel's duty, within [-1, 1]."""
    return min(max(command, -1.0), 1.0)


@lean_kernel
def speeds_after(
    forward_speed: float, yaw_rate: float, left: float, right: float, trim: float
) -> tuple[float, float]:
    """Speeds at the end of a step on which these commands act.

    Args:
        forward_speed: metres per second.
        yaw_rate: radians per second, positive to the left.
        left, right: wheel duty in [-1, 1].
        trim: by which the right wheel turns the robot more, and the left less.

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
    """Pose after a step at these speeds: (x, z, angle), the angle in [-pi, pi]."""
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
    """The same direction within [-pi, pi]."""
    if abs(angle) <= math.pi:
        return angle
    return math.atan2(math.sin(angle), math.cos(angle))
