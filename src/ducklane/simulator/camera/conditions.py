"""Camera and light of each robot's episode, drawn at random where the settings say so.

The draws are those of gym-duckietown's `Randomizer` and `Simulator.reset`: there is one lamp, three metres
above the map's corner, and OpenGL keeps it where it was in the view of the last frame before the reset. What
the stock simulator draws besides (colours of tiles and objects, the distance of the wheels, triangles below
the ground) changes neither its pictures nor its motion.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.simulator.camera.view import FIELD_OF_VIEW_RAD, HEIGHT_M, PITCH_RAD
from ducklane.simulator.world.draws import Stream, integers, uniform
from ducklane.simulator.world.obstacles import FORWARD_M

Floats = NDArray[np.float32]

LAMP_HEIGHT_M = 3.0
AMBIENT_OF_SCENE, AMBIENT_OF_LAMP, DIFFUSE_OF_LAMP = 0.3, 0.25, 0.35
GROUND = 0.15
"""Of the ground beside the road, red, green and blue alike."""
SKY = (0.45, 0.82, 1.0)
WALL = (0.64, 0.71, 0.28)


class Conditions(NamedTuple):
    """Of N robots, in this episode."""

    noise: NDArray[np.float64]
    """(N, 3) by which the camera is off its place, along x, y and z, metres"""
    height: NDArray[np.float64]
    """(N,) of the camera above the road, `noise` included, metres"""
    pitch: NDArray[np.float64]
    """(N,) downwards, radians"""
    tangent: NDArray[np.float64]
    """(N,) of half the vertical field of view"""
    light: NDArray[np.float64]
    """(N, 4) lamp as the camera sees it: right, up, backwards, and 1 for its place or 0 for its direction"""
    ambient: Floats
    """(N, 3) light from everywhere, a factor for red, green and blue"""
    diffuse: Floats
    """(N, 3) light from the lamp"""
    ground: Floats
    """(N, 3) the ground as it is seen, 0 to 255"""
    sky: Floats
    """(N, 3) 0 to 255"""


def new_conditions(n: int) -> Conditions:
    """Room for those of n robots."""
    return Conditions(
        noise=np.zeros((n, 3)),
        height=np.full(n, HEIGHT_M),
        pitch=np.full(n, PITCH_RAD),
        tangent=np.full(n, math.tan(FIELD_OF_VIEW_RAD / 2)),
        light=np.zeros((n, 4)),
        ambient=np.zeros((n, 3), np.float32),
        diffuse=np.zeros((n, 3), np.float32),
        ground=np.zeros((n, 3), np.float32),
        sky=np.zeros((n, 3), np.float32),
    )


@lean_kernel
def draw_conditions(
    conditions: Conditions,
    i: int,
    stream: Stream,
    domain_rand: bool,
    camera_rand: bool,
    new_world: bool,
    x: float,
    z: float,
    angle: float,
) -> None:
    """Begin an episode of robot i.

    Args:
        conditions: of all robots; i's are those of its last frame.
        i: which robot.
        stream: its random numbers.
        domain_rand, camera_rand: what to draw.
        new_world: there is no last frame.
        x, z, angle: of the robot in its last frame.
    """
    lamp_x, lamp_y, lamp_z, place = 0.0, LAMP_HEIGHT_M, 0.0, 1.0
    if domain_rand:
        lamp_x, lamp_y, lamp_z, place = (
            uniform(stream, -150, 150),
            uniform(stream, 170, 220),
            uniform(stream, -150, 150),
            0.0,
        )
    light = conditions.light[i]
    if new_world:
        light[0], light[1], light[2] = lamp_x, lamp_y, lamp_z
    else:
        _see_lamp(conditions, i, lamp_x, lamp_y, lamp_z, place, x, z, angle)
    light[3] = place
    _draw_colors(conditions, i, stream, domain_rand)
    _draw_camera(conditions, i, stream, domain_rand, camera_rand)


@lean_kernel
def _see_lamp(
    conditions: Conditions,
    i: int,
    lamp_x: float,
    lamp_y: float,
    lamp_z: float,
    place: float,
    x: float,
    z: float,
    angle: float,
) -> None:
    noise = conditions.noise[i]
    dx, dz = lamp_x - place * (x + noise[0]), lamp_z - place * (z + noise[2])
    up = lamp_y - place * conditions.height[i]
    ahead = dx * math.cos(angle) - dz * math.sin(angle) - place * FORWARD_M
    light = conditions.light[i]
    light[0] = dx * math.sin(angle) + dz * math.cos(angle)
    light[1] = up * math.cos(conditions.pitch[i]) + ahead * math.sin(conditions.pitch[i])
    light[2] = up * math.sin(conditions.pitch[i]) - ahead * math.cos(conditions.pitch[i])


@lean_kernel
def _draw_colors(conditions: Conditions, i: int, stream: Stream, domain_rand: bool) -> None:
    horizon = integers(stream, 0, 4) if domain_rand else 0
    for channel in range(3):
        ambient, diffuse, ground, sky = 1.0, 1.0, 1.0, SKY[channel]
        if domain_rand:
            ambient, diffuse = uniform(stream, 0.7, 1.3), uniform(stream, 0.01, 1.99)
            ground = uniform(stream, 0.7, 1.3)
            sky = _horizon_color(horizon, channel, stream)
        ambient = AMBIENT_OF_SCENE + AMBIENT_OF_LAMP * ambient
        conditions.ambient[i, channel] = ambient
        conditions.diffuse[i, channel] = DIFFUSE_OF_LAMP * diffuse
        conditions.ground[i, channel] = 255 * GROUND * ground * ambient
        conditions.sky[i, channel] = 255 * min(1.0, sky)


@lean_kernel
def _horizon_color(horizon: int, channel: int, stream: Stream) -> float:
    if horizon == 0:
        return SKY[channel] * uniform(stream, 0.9, 1.1)
    if horizon == 1:
        return WALL[channel] * uniform(stream, 0.9, 1.1)
    return (0.15 if horizon == 2 else 0.9) * uniform(stream, 0.6, 1.4)


@lean_kernel
def _draw_camera(
    conditions: Conditions, i: int, stream: Stream, domain_rand: bool, camera_rand: bool
) -> None:
    noise = conditions.noise[i]
    for axis in range(3):
        noise[axis] = uniform(stream, -0.005, 0.005) if domain_rand else 0.0
    height, pitch, field = 1.0, 1.0, 1.0
    if domain_rand or camera_rand:
        height, pitch, field = (
            uniform(stream, 0.92, 1.08),
            uniform(stream, 0.8, 1.2),
            uniform(stream, 0.8, 1.2),
        )
    conditions.height[i] = HEIGHT_M * height + noise[1]
    conditions.pitch[i] = PITCH_RAD * pitch
    conditions.tangent[i] = math.tan(FIELD_OF_VIEW_RAD * field / 2)
