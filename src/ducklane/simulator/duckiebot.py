"""A Duckiebot's measures, as gym-duckietown has them."""

from __future__ import annotations

FORWARD_M = 0.066
"""From the robot's centre of rotation, between its wheels, forward to the camera at its front."""

ROBOT_WIDTH = 0.13 + 0.02
"""metres; upstream adds 2 cm to the real width to ease the transfer to real robots"""

ROBOT_LENGTH = 0.18
"""metres"""

SAFETY_RADIUS = max(ROBOT_LENGTH, ROBOT_WIDTH) / 2 * 1.8
"""metres; upstream's AGENT_SAFETY_RAD"""
