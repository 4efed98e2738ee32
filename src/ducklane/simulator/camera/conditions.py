"""Camera and light of each robot's episode, randomised where the settings ask for it.

The distributions are those of gym-duckietown's default_dr.json and of `_perturb` in `Simulator.reset`. The
light is OpenGL's fixed-function lighting: scene ambient + lamp ambient + lamp diffuse * max(0, n . l), times
the material's colour, each channel clamped to 1. There is one lamp, three metres above the map's corner.
`glLight` transforms a light's position by the modelview matrix that is current when it is called, so the lamp
stays fixed relative to the camera, where it was in the last frame before the reset.

What else the stock simulator randomises (colours of tiles and objects, the wheel distance, triangles below
the ground) changes neither its pictures nor its motion.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.sampling import GROUPS, Mount, Rays, mounted, on_ground, sky_share
from ducklane.simulator.camera.view import FIELD_OF_VIEW_RAD, HEIGHT_M, PITCH_RAD, View
from ducklane.simulator.duckiebot import FORWARD_M
from ducklane.simulator.world.draws import Stream, integers, uniform

Floats = NDArray[np.float32]

LAMP_HEIGHT_M = 3.0
AMBIENT_OF_SCENE, AMBIENT_OF_LAMP, DIFFUSE_OF_LAMP = 0.3, 0.25, 0.35
"""GL_LIGHT_MODEL_AMBIENT, and GL_AMBIENT and GL_DIFFUSE of GL_LIGHT0: upstream's 0.50 and 0.70 times DIM."""
GROUND = 0.15
"""Colour of the ground beside the road, the same for red, green and blue."""
SKY = (0.45, 0.82, 1.0)
"""Upstream's BLUE_SKY."""
WALL = (0.64, 0.71, 0.28)
"""Upstream's WALL_COLOR: interior walls, one of the horizons of domain randomisation."""


class Conditions(NamedTuple):
    """Camera and light of N robots in the present episode."""

    noise: NDArray[np.float64]
    """(N, 3) offset of the camera along the map's x, y and z, metres"""
    height: NDArray[np.float64]
    """(N,) of the camera above the road, `noise` included, metres"""
    pitch: NDArray[np.float64]
    """(N,) downwards, radians"""
    tangent: NDArray[np.float64]
    """(N,) of half the vertical field of view"""
    light: NDArray[np.float64]
    """(N, 4) the lamp in OpenGL's eye coordinates (right, up, backwards), and w: 1 for a position in metres,
    0 for a direction"""
    ambient: Floats
    """(N, 3) ambient light, a factor for red, green and blue"""
    diffuse: Floats
    """(N, 3) diffuse light of the lamp, likewise"""
    ground: Floats
    """(N, 3) colour of the lit ground beside the road, 0 to 255"""
    sky: Floats
    """(N, 3) 0 to 255"""


def new_conditions(n: int) -> Conditions:
    """Memory for n robots, with the camera at its nominal pose."""
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


@inner_kernel
def is_sun(light: NDArray[np.float64]) -> bool:
    """Whether the lamp, one of `Conditions.light`, is so far away that it shines from one direction."""
    return light[3] == 0


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
    """Set camera and light for a new episode of robot i.

    Args:
        conditions: of all robots; robot i's are still those of its last frame.
        i: the robot.
        stream: its random numbers.
        domain_rand, camera_rand: what to randomise.
        new_world: there is no last frame: the modelview matrix is the identity.
        x, z, angle: pose of the robot in its last frame, metres and radians.
    """
    lamp_x, lamp_y, lamp_z, place = 0.0, LAMP_HEIGHT_M, 0.0, 1.0
    if domain_rand:
        # upstream passes three numbers; the fourth, w, is then 0: a sun in this direction
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
    """Write the lamp in eye coordinates of robot i's last frame; `place` is w, 1 or 0."""
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
    """Write light, ground and sky. The ground beside the road gets ambient light only.

    Upstream's quad of ground has no normals, and OpenGL's default normal, shrunk by the quad's scale of 50,
    leaves next to nothing of the diffuse light.
    """
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
    """One channel of the horizon's colour, 0 to 1 and above: blue sky, a wall, near black or near white."""
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


@lean_kernel
def light_up(
    view: View, v: int, rays: Rays, c: int, conditions: Conditions, i: int, lit: NDArray[np.float32]
) -> None:
    """Compute the diffuse light on the road under each pixel.

    Once per episode suffices: lamp and road are both fixed relative to the camera (see conditions.py).

    Args:
        view: of all images.
        v: the image's index.
        rays: of all cameras.
        c: the camera's index.
        conditions: of all robots.
        i: the robot.
        lit: (P,) output, as `brightness` has it. Under a sun all are the same.
    """
    mount = mounted(conditions.height[i], conditions.pitch[i], conditions.tangent[i])
    light = conditions.light[i]
    if is_sun(light):
        lit[:] = brightness(light, mount, 0.0, 0.0, 0.0)
        return
    for k in range(rays.group_end[c, GROUPS - 1]):
        p = rays.pixels[c, k]
        sky = sky_share(view.y[v, p], view.down_y[v, p], mount.horizon)
        x, y = view.x[v, p] + sky * view.down_x[v, p], view.y[v, p] + sky * view.down_y[v, p]
        depth, _, _ = on_ground(x, y, mount)
        lit[k] = brightness(light, mount, x, y, depth)


@inner_kernel
def brightness(light: NDArray[np.float64], mount: Mount, x: float, y: float, depth: float) -> float:
    """Cosine between the road's normal and the direction to the lamp, 0 or more.

    Args:
        light: as in `Conditions`.
        mount: of the camera.
        x, y: of a point of the road on the image plane.
        depth: its distance along the camera's axis, metres.
    """
    right = light[0] - light[3] * depth * mount.tangent * x
    up = light[1] - light[3] * depth * mount.tangent * y
    back = light[2] + light[3] * depth
    distance = math.sqrt(right * right + up * up + back * back)
    # the road's normal, straight up on the map, in eye coordinates
    return max(0.0, (up * mount.ahead + back * mount.down) / distance)
