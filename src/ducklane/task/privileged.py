"""Privileged information, known in training but not to the robot: the true state, normalised.

The critic takes it as input, and as an auxiliary task the policy's network learns to predict it from the
image; neither is deployed on the robot (Pinto et al., Asymmetric Actor Critic for Image-Based Robot Learning,
2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.task.reward import TOP_SPEED_MPS

AHEAD = 4
AHEAD_STEP_M = 0.15
"""The lane's direction is given at this many points, this far apart."""

STATE_SIZE = 6 + 2 * AHEAD
"""Length of a robot's `privileged_state`."""

LANE_HALF_WIDTH_M = 0.11
YAW_RATE_RADPS = 2.0
"""Scale of yaw rates: a brisk turn.

One wheel alone at full duty reaches 3.75 (see simulator/world/dynamics.py).
"""


def privileged_state(
    state: Any, lane_ahead: NDArray[np.float64], detour: ArrayLike = 0.0
) -> NDArray[np.float32]:
    """The normalised state of N robots.

    Args:
        state: an object with the fields of `State`, [N] each.
        lane_ahead: [N, AHEAD, 2] from the simulator's `lane_ahead`.
        detour: [N] metres beside the lane's centre at which the robots should drive, 0 without obstacles.

    Returns:
        float32 [N, STATE_SIZE]: whether outside any lane; distance from where they should drive; sine and
        cosine of the angle to the lane (these three are 0 outside); forward speed; yaw rate; the lane ahead.
    """
    outside = np.isnan(state.lane_dist)
    inside = ~outside
    angle = np.nan_to_num(state.lane_angle)
    columns = [
        outside,
        np.nan_to_num(state.lane_dist - detour) / LANE_HALF_WIDTH_M,
        np.sin(angle) * inside,
        np.cos(angle) * inside,
        np.asarray(state.forward_speed) / TOP_SPEED_MPS,
        np.asarray(state.yaw_rate) / YAW_RATE_RADPS,
    ]
    parts = [np.stack(columns, axis=-1), lane_ahead.reshape(*lane_ahead.shape[:-2], -1)]
    return np.concatenate(parts, axis=-1).astype(np.float32)
