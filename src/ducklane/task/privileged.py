"""What training may know and the robot does not: the true state, scaled for a network.

The critic judges states by it, and the policy's network learns to tell it from the image; neither goes onto
the robot (Pinto et al., Asymmetric Actor Critic for Image-Based Robot Learning, 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.task.reward import TOP_SPEED_MPS

AHEAD = 4
AHEAD_STEP_M = 0.15
"""The lane is known at this many points, this far from one to the next."""

STATE_SIZE = 6 + 2 * AHEAD
"""Numbers that `privileged_state` gives of a robot."""

LANE_HALF_WIDTH_M = 0.11
YAW_RATE_RADPS = 2.0
"""Of a brisk turn; one wheel alone at full duty reaches 3.75."""


def privileged_state(
    state: Any, lane_ahead: NDArray[np.float64], detour: ArrayLike = 0.0
) -> NDArray[np.float32]:
    """The state of N robots as numbers of about unit size.

    Args:
        state: the fields of `State`, [N] each.
        lane_ahead: [N, AHEAD, 2] of the simulator's `lane_ahead`.
        detour: [N] metres beside the lane's centre where the robots ought to be, 0 for none.

    Returns:
        float32 [N, STATE_SIZE]: whether outside any lane; distance from where they ought to be; sine and
        cosine of the angle to the lane (all 0 outside); forward speed; yaw rate; the lane ahead.
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
    known = [np.stack(columns, axis=-1), lane_ahead.reshape(*lane_ahead.shape[:-2], -1)]
    return np.concatenate(known, axis=-1).astype(np.float32)
