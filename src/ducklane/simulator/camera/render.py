"""The frame of one robot's camera: ground and sky first, then the objects over them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.conditions import Conditions
from ducklane.simulator.camera.ground import Chunk, draw_ground, light_up
from ducklane.simulator.camera.objects import Eye, Thing, draw_thing
from ducklane.simulator.camera.raster import Canvas, lay_over, wipe
from ducklane.simulator.camera.sampling import Rays, aim
from ducklane.simulator.camera.view import Projection, View
from ducklane.simulator.town.scene import Scene
from ducklane.simulator.world.robots import Robots
from ducklane.simulator.world.things import Things


class Cameras(NamedTuple):
    """The cameras of N robots, which share one view and one set of rays or have their own."""

    views: View
    projection: Projection
    rays: Rays
    lit: NDArray[np.float32]
    """(N, P) diffuse light on the road, in the order of the rays"""
    own_view: bool
    """each robot has its own lens"""
    own_rays: bool
    """each robot's rays are planned again in every episode"""
    conditions: Conditions
    canvas: Canvas
    chunk: Chunk


@inner_kernel
def _own(cameras: Cameras, i: int) -> tuple[int, int]:
    """Indices of robot i's view and of its rays."""
    return i if cameras.own_view else 0, i if cameras.own_rays else 0


@lean_kernel
def prepare_camera(cameras: Cameras, i: int) -> None:
    """Plan robot i's rays and light its road, once per episode."""
    conditions = cameras.conditions
    v, c = _own(cameras, i)
    if cameras.own_rays:
        aim(
            cameras.views,
            v,
            cameras.rays,
            c,
            conditions.height[i],
            conditions.pitch[i],
            conditions.tangent[i],
        )
    light_up(cameras.views, v, cameras.rays, c, conditions, i, cameras.lit[i])


@lean_kernel
def draw_frame(
    scene: Scene,
    robots: Robots,
    things: Things,
    cameras: Cameras,
    i: int,
    thread: int,
    image: NDArray[np.uint8],
) -> None:
    """Draw what robot i sees.

    Args:
        scene: the maps.
        robots: all robots.
        things: the objects in all robots' worlds.
        cameras: of all robots.
        i: the robot.
        thread: the one that draws.
        image: (P, 3), output.
    """
    conditions = cameras.conditions
    m, angle = robots.map_index[i], robots.angle[i]
    x, z = robots.x[i] + conditions.noise[i, 0], robots.z[i] + conditions.noise[i, 2]
    _, c = _own(cameras, i)
    draw_ground(
        scene.road,
        m,
        cameras.rays,
        c,
        x,
        z,
        angle,
        cameras.lit[i],
        conditions,
        i,
        cameras.chunk,
        thread,
    )
    if scene.layout.object_count[m] > 0:
        _draw_things(scene, things, cameras, i, m, x, z, angle, thread)
    _write(cameras.chunk.picture[thread], image)


@inner_kernel
def _write(picture: NDArray[np.uint32], image: NDArray[np.uint8]) -> None:
    flat, byte, two = image.reshape(-1), np.uint32(8), np.uint32(16)
    for p in range(picture.shape[0]):
        color, place = picture[p], 3 * p
        flat[place] = np.uint8(color)
        flat[place + 1] = np.uint8(color >> byte)
        flat[place + 2] = np.uint8(color >> two)


@lean_kernel
def _draw_things(
    scene: Scene,
    things: Things,
    cameras: Cameras,
    i: int,
    m: int,
    x: float,
    z: float,
    angle: float,
    thread: int,
) -> None:
    conditions, canvas = cameras.conditions, cameras.canvas
    pitch, light = conditions.pitch[i], conditions.light[i]
    eye = Eye(
        x,
        z,
        conditions.height[i],
        math.cos(angle),
        math.sin(angle),
        math.cos(pitch),
        math.sin(pitch),
        conditions.tangent[i],
        light[0],
        light[1],
        light[2],
        light[3],
    )
    v, _ = _own(cameras, i)
    wipe(canvas, thread)
    drawn = False
    for k in range(scene.layout.object_count[m]):
        if things[i, k].visible:
            thing = _standing(scene, things, i, m, k)
            drawn |= draw_thing(
                scene.meshes,
                thing,
                cameras.projection,
                v,
                eye,
                conditions.ambient[i],
                conditions.diffuse[i],
                canvas,
                thread,
            )
    if drawn:
        lay_over(canvas, thread, cameras.projection, v, cameras.chunk.picture[thread])


@lean_kernel
def _standing(scene: Scene, things: Things, i: int, m: int, k: int) -> Thing:
    """Object k of map m as it is in robot i's world."""
    state = things[i, k]
    turn = math.radians(state.y_rot)
    return Thing(
        scene.mesh[m, k],
        state.position[0],
        state.position[1],
        state.position[2],
        math.cos(turn),
        math.sin(turn),
        scene.layout.scale[m, k],
        state.pattern,
    )
