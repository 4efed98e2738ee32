"""From the policy's action to the duty of the two wheels.

Each kind of action is a clipped linear map, so numpy, torch and ONNX all use the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ducklane.settings import ActionSettings

WHEEL_BASELINE_M = 0.102
WHEEL_RADIUS_M = 0.0318
MOTOR_CONSTANT = 27.0
"""Radians per second per unit of duty. All three are gym-duckietown's: WHEEL_DIST, and DuckietownEnv's radius
and k."""


@dataclass(frozen=True)
class ActionMapping:
    """wheels = clip(matrix @ clip(action, -1, 1) + offset, low, 1)."""

    matrix: NDArray[np.float32]
    """shape (2, action size)"""
    offset: NDArray[np.float32]
    """shape (2,)"""
    low: float

    @property
    def size(self) -> int:
        """Length of an action."""
        return self.matrix.shape[1]

    def to_wheels(self, actions: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map actions [..., size] in [-1, 1] to (left, right) wheel duty float32 [..., 2] in [-1, 1]."""
        # not np.clip, which takes longer to begin than to clip
        one, low = np.float32(1), np.float32(self.low)
        clipped = np.minimum(np.maximum(np.asarray(actions, dtype=np.float32), -one), one)
        return np.minimum(np.maximum(clipped @ self.matrix.T + self.offset, low), one)


def action_mapping(settings: ActionSettings) -> ActionMapping:
    """The mapping for `settings.type`.

    - wheels: the (left, right) duty itself.
    - velocity_steering: (velocity, angle) of gym-duckietown's DuckietownEnv, angle positive to the left.
    - steering: one heading at full speed, positive to the right, which slows the inner wheel
      (kaland313/Duckietown-RL's "heading").
    """
    if settings.type == "wheels":
        return _mapping([[1, 0], [0, 1]], offset=0, low=-1)
    if settings.type == "velocity_steering":
        # inverse kinematics: duty = (velocity -+ angle * baseline / 2) / radius / k
        velocity = 1 / (WHEEL_RADIUS_M * MOTOR_CONSTANT)
        turn = 0.5 * WHEEL_BASELINE_M * velocity
        return _mapping([[velocity, -turn], [velocity, turn]], offset=0, low=-1)
    return _mapping([[1], [-1]], offset=1, low=0)


def _mapping(matrix: list[list[float]], offset: float, low: float) -> ActionMapping:
    return ActionMapping(np.array(matrix, dtype=np.float32), np.full(2, offset, dtype=np.float32), low)
