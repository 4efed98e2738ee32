"""The frame of one robot's camera: ground and sky first, then the objects over them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.conditions import Conditions, brightness, light_up
from ducklane.simulator.camera.ground import Chunk, draw_ground, packed_channel, shaded
from ducklane.simulator.camera.objects import Eye, Thing, draw_thing
from ducklane.simulator.camera.raster import Canvas, lay_over, wipe
from ducklane.simulator.camera.sampling import Rays, aim, below_horizon, mounted, on_ground
from ducklane.simulator.camera.view import Projection, View, Windows
from ducklane.simulator.town.road import TILE_BITS, TILE_TEXELS, FullTiles, Road
from ducklane.simulator.town.scene import Scene
from ducklane.simulator.world.robots import Robots
from ducklane.simulator.world.things import Things

Texels = tuple[np.uint32, np.uint32, np.uint32, np.uint32]
Weights = tuple[np.float32, np.float32, np.float32, np.float32]


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
    exact: bool
    """frames are drawn as they are, where the stock simulator samples them, and then averaged to images"""
    tiles: FullTiles
    """of the exact pictures"""
    rows: Windows
    """of the frame, that an image's row averages"""
    columns: Windows


@inner_kernel
def _own(cameras: Cameras, i: int) -> tuple[int, int]:
    """Indices of robot i's view and of its rays."""
    return i if cameras.own_view else 0, i if cameras.own_rays else 0


@lean_kernel
def prepare_camera(cameras: Cameras, i: int) -> None:
    """Plan robot i's rays and light its road, once per episode."""
    conditions = cameras.conditions
    if cameras.exact:
        return
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
    conditions, picture = cameras.conditions, cameras.chunk.picture[thread]
    m, angle = robots.map_index[i], robots.angle[i]
    x, z = robots.x[i] + conditions.noise[i, 0], robots.z[i] + conditions.noise[i, 2]
    v, c = _own(cameras, i)
    road, lit, chunk = scene.road, cameras.lit[i], cameras.chunk
    if cameras.exact:
        _draw_exactly(road, cameras.tiles, m, cameras.views, v, x, z, angle, conditions, i, picture)
    else:
        draw_ground(road, m, cameras.rays, c, x, z, angle, lit, conditions, i, chunk, thread)
    if scene.layout.object_count[m] > 0:
        _draw_things(scene, things, cameras, i, m, x, z, angle, thread)
    if cameras.exact:
        _average(picture, cameras.rows, cameras.columns, image)
    else:
        _write(picture, image)


@lean_kernel
def _draw_exactly(
    road: Road,
    tiles: FullTiles,
    m: int,
    view: View,
    v: int,
    x: float,
    z: float,
    angle: float,
    conditions: Conditions,
    i: int,
    picture: NDArray[np.uint32],
) -> None:
    """Draw all pixels of a picture whose pixels are the frame's, where the stock simulator samples them.

    Args:
        road: the ground of all maps.
        tiles: their tiles at full resolution.
        m: the map.
        view: of all images.
        v: the image's index.
        x, z, angle: pose of the robot, with the camera's noise; metres, radians.
        conditions: of all robots.
        i: the robot.
        picture: (P,) output.
    """
    mount = mounted(conditions.height[i], conditions.pitch[i], conditions.tangent[i])
    per_metre = TILE_TEXELS / road.tile_size[m]
    cos, sin = math.cos(angle), math.sin(angle)
    ambient, diffuse = conditions.ambient[i], conditions.diffuse[i]
    ground, sky = conditions.ground[i], conditions.sky[i]
    for p in range(picture.shape[0]):
        plane_x, plane_y, _, _, share = below_horizon(view, v, p, mount.horizon)
        depth, ahead, right = on_ground(plane_x, plane_y, mount)
        lit = np.float32(brightness(conditions.light[i], mount, plane_x, plane_y, depth))
        # the map is surrounded by a tile's width of empty tiles
        column = (x + cos * ahead + sin * right) * per_metre + TILE_TEXELS
        row = (z - sin * ahead + cos * right) * per_metre + TILE_TEXELS
        texels, weights = _around(tiles, road, m, column, row)
        covered = _mixed(texels, weights, 3) / np.float32(255)
        color = np.uint32(0)
        for channel in range(3):
            total = _mixed(texels, weights, channel)
            value = shaded(
                total,
                covered,
                lit,
                ambient[channel],
                diffuse[channel],
                ground[channel],
                sky[channel],
                np.float32(share),
            )
            color |= packed_channel(value, channel)
        picture[p] = color


@inner_kernel
def _around(tiles: FullTiles, road: Road, m: int, column: float, row: float) -> tuple[Texels, Weights]:
    """The four texels around a place, and how near each is (GL_LINEAR).

    Pictures repeat beyond their edges (GL_REPEAT), so a tile's edge is mixed with its opposite one.
    """
    last, bits = TILE_TEXELS - 1, TILE_BITS
    tile_row = min(max(int(row) >> bits, 0), road.size[m, 0] - 1)
    tile_column = min(max(int(column) >> bits, 0), road.size[m, 1] - 1)
    first = tiles.first[m, tile_row, tile_column]
    row0, column0 = math.floor(row - 0.5), math.floor(column - 0.5)
    down, right = np.float32(row - 0.5 - row0), np.float32(column - 0.5 - column0)
    top, bottom = first + ((row0 & last) << bits), first + (((row0 + 1) & last) << bits)
    left, aside = column0 & last, (column0 + 1) & last
    up, near = np.float32(1) - down, np.float32(1) - right
    return (
        (
            tiles.texels[top + left],
            tiles.texels[top + aside],
            tiles.texels[bottom + left],
            tiles.texels[bottom + aside],
        ),
        (up * near, up * right, down * near, down * right),
    )


@inner_kernel
def _mixed(texels: Texels, weights: Weights, channel: int) -> np.float32:
    """One channel of their weighted mean."""
    mixed = np.float32(0)
    for n in range(4):
        byte = (texels[n] >> np.uint32(8 * channel)) & np.uint32(255)
        mixed += weights[n] * np.float32(np.int32(byte))
    return mixed


@lean_kernel
def _average(picture: NDArray[np.uint32], rows: Windows, columns: Windows, image: NDArray[np.uint8]) -> None:
    """Average the frame's pixels, and round half up, as `task.observation.FrameTransform` does."""
    height, width = rows.places.shape[0], columns.places.shape[0]
    stride = columns.places[width - 1, columns.places.shape[1] - 1] + 1
    for row in range(height):
        for column in range(width):
            sums = (0.0, 0.0, 0.0)
            for a in range(rows.places.shape[1]):
                for b in range(columns.places.shape[1]):
                    weight = rows.weights[0, row, a] * columns.weights[0, column, b]
                    color = picture[rows.places[row, a] * stride + columns.places[column, b]]
                    sums = _plus(sums, weight, color)
            for channel in range(3):
                # sums of exact halves may have lost their last bit
                image[row * width + column, channel] = np.uint8(sums[channel] + 0.5 + 1e-9)


@inner_kernel
def _plus(sums: tuple[float, float, float], weight: float, color: np.uint32) -> tuple[float, float, float]:
    byte, eight, sixteen = np.uint32(255), np.uint32(8), np.uint32(16)
    return (
        sums[0] + weight * (color & byte),
        sums[1] + weight * ((color >> eight) & byte),
        sums[2] + weight * ((color >> sixteen) & byte),
    )


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
