"""What gym-duckietown itself pays for a step: `compute_reward` of its simulator.py, by component."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

STOCK_SPEED = 1.2
"""gym-duckietown rewards this constant, its DEFAULT_ROBOT_SPEED, instead of the robot's actual speed."""

STOCK_CRASH = -1000.0
"""gym-duckietown's REWARD_INVALID_POSE."""


def stock_reward(
    *,
    lane_dist: ArrayLike,
    lane_dot: ArrayLike,
    proximity: ArrayLike,
    crashed: ArrayLike,
    truncated: ArrayLike,
) -> dict[str, NDArray[np.float64]]:
    """gym-duckietown's own `compute_reward`, by component; known to teach robots to spin or stand still.

    Args:
        lane_dist: metres from the lane's centre, NaN outside.
        lane_dot: cosine of the angle to the lane, NaN outside.
        proximity: overlap with the safety circles of objects, metres, 0 or negative.
        crashed: whether the robot left the road or collided.
        truncated: whether the episode was truncated; the stock simulator's reward is then 0.
    """
    pays = ~np.asarray(crashed, dtype=bool) & ~np.asarray(truncated, dtype=bool)
    in_lane = pays & ~np.isnan(lane_dist)
    return {
        "heading": np.where(in_lane, STOCK_SPEED * np.asarray(lane_dot), 0.0),
        "lateral": np.where(in_lane, -10 * np.abs(lane_dist), 0.0),
        "proximity": np.where(pays, 40 * np.asarray(proximity), 0.0),
        "crash": np.where(crashed, STOCK_CRASH, 0.0),
    }
