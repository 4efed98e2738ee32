"""The reward of one step, by component; the reward is their sum.

Arguments and components are floats, or arrays of one shape with one entry per robot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.settings import RewardSettings

TOP_SPEED_MPS = 0.6
"""Terminal speed of the Duckiebot with both wheels at full duty (see simulator/world/dynamics.py)."""

Components = dict[str, NDArray[np.float64]]


def lane_progress(
    settings: RewardSettings,
    *,
    forward_speed: ArrayLike,
    lane_dist: ArrayLike,
    lane_angle: ArrayLike,
    crashed: ArrayLike,
) -> Components:
    """Signed progress along the lane, scaled by closeness to its centre.

    Standing still earns nothing, spinning next to nothing, and driving backwards costs. Outside any lane
    (NaN) there is no progress, and the distance counts as `lane_width_m`. Unlike the stock -1000, the crash
    penalty is bounded, so that it does not drown out what driving earns.

    Args:
        settings: weights and widths.
        forward_speed: metres per second along the heading, negative backwards.
        lane_dist: metres from where the robot should drive (the lane's centre, or the detour), NaN outside.
        lane_angle: radians from the lane's direction, NaN outside.
        crashed: whether the robot left the road or collided.
    """
    outside = np.isnan(lane_dist)
    distance = np.where(outside, settings.lane_width_m, np.abs(lane_dist))
    along = np.where(outside, 0.0, np.asarray(forward_speed) * np.cos(lane_angle))
    closeness = np.maximum(0.0, 1 - distance / settings.lane_width_m)
    return {
        "progress": settings.progress_weight * along / TOP_SPEED_MPS * closeness,
        "lateral": -settings.lateral_weight * distance,
        "crash": np.where(crashed, -settings.crash_penalty, 0.0),
    }
