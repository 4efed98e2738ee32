"""What a simulator knows of a robot after each step."""

from __future__ import annotations

from typing import NamedTuple


class State(NamedTuple):
    """The true state of one robot; NaN in the lane fields while it is outside any lane.

    Frame: x to the right of the map, z down the map; heading `angle` a means the direction
    (cos a, -sin a) in (x, z). `lane_dist` and `lane_angle` are positive to the right of the lane.
    """

    x: float
    """metres"""
    z: float
    """metres"""
    angle: float
    """heading, radians, in (-pi, pi] after a step"""
    speed: float
    """metres per second, without sign, over the last step"""
    forward_speed: float
    """metres per second along the heading, negative backwards"""
    yaw_rate: float
    """radians per second, positive to the left"""
    lane_dist: float
    """metres from the centre of the right lane"""
    lane_angle: float
    """radians from the lane's direction"""
    lane_dot: float
    """cosine of lane_angle"""
    proximity: float
    """overlap with the safety circles of objects, metres, 0 or negative"""
    valid: bool
    """on drivable ground and touching nothing"""
