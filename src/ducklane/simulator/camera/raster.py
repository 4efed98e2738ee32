"""Fills triangles on an image, with a depth buffer, and blends them over the ground.

Triangles are drawn at SUBPIXELS x SUBPIXELS points per pixel, each with its own depth; in the end a pixel's
points are averaged (supersampling). A skin is read at the resolution that fits the triangle.

Whatever is linear on a triangle in space is, divided by the distance, linear on the image, and so is one over
the distance itself. Depths are therefore stored as inverses, and texture coordinates are interpolated as
u / distance (perspective-correct interpolation). The lens bends this a little, which short edges keep small
(`meshes.LONGEST_EDGE`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.view import SUBPIXELS, Projection
from ducklane.simulator.town.meshes import SKIN_LEVELS, Meshes


class Canvas(NamedTuple):
    """Memory to draw in, for each of T threads."""

    depth: NDArray[np.float32]
    """(T, rows, columns) of points: one over the distance, 0 where nothing is drawn"""
    color: NDArray[np.uint32]
    """(T, rows, columns) of points: red, green, blue, and 1 where something is drawn, a byte each"""
    spans: NDArray[np.int32]
    """(T, image rows, 2) first pixel drawn on and the one after the last; outside, points are stale"""
    corners: NDArray[np.float32]
    """(T, vertices, 3) of one mesh on the image: column, row, one over the distance"""


def new_canvas(threads: int, height: int, width: int, meshes: Meshes) -> Canvas:
    """Memory for images of `height` x `width` pixels with these meshes."""
    points = (threads, height * SUBPIXELS, width * SUBPIXELS)
    vertices = int(np.diff(meshes.first_vertex).max())
    return Canvas(
        np.zeros(points, np.float32),
        np.zeros(points, np.uint32),
        np.zeros((threads, height, 2), np.int32),
        np.zeros((threads, vertices, 3), np.float32),
    )


@inner_kernel
def draw_triangle(
    meshes: Meshes,
    t: int,
    light_x: float,
    light_y: float,
    light_z: float,
    ambient: NDArray[np.float32],
    diffuse: NDArray[np.float32],
    closed: bool,
    pattern: int,
    canvas: Canvas,
    thread: int,
) -> None:
    """Draw a triangle of the mesh whose projected vertices are in `Canvas.corners`.

    Args:
        meshes, t: all meshes, and which of their triangles.
        light_x, light_y, light_z: towards the lamp, in the mesh's frame (`objects._light_on`).
        ambient, diffuse: (3,) factors of light.
        closed: whether its back faces need not be drawn.
        pattern: 1 for the second of a traffic light's skins, else 0.
        canvas, thread: of all threads, and the one that draws.
    """
    corners, depth = canvas.corners[thread], canvas.depth[thread]
    i, j, k = meshes.corners[t, 0], meshes.corners[t, 1], meshes.corners[t, 2]
    ax, ay, az = corners[i, 0], corners[i, 1], corners[i, 2]
    bx, by, bz = corners[j, 0], corners[j, 1], corners[j, 2]
    cx, cy, cz = corners[k, 0], corners[k, 1], corners[k, 2]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    behind = az <= 0 or bz <= 0 or cz <= 0
    # Back-face culling: rows count downwards, so a positive area faces away from the camera. Upstream draws
    # these faces too, but in a closed mesh others hide them.
    if behind or area == 0 or (closed and area > 0):
        return
    # columns and rows of points whose centres, at + 0.5, may lie within the triangle
    column0 = max(0, int(min(ax, bx, cx) + 0.5))
    column1 = min(depth.shape[1], int(max(ax, bx, cx, -0.5) + 0.5))
    row0 = max(0, int(min(ay, by, cy) + 0.5))
    row1 = min(depth.shape[0], int(max(ay, by, cy, -0.5) + 0.5))
    if column0 >= column1 or row0 >= row1:
        return
    red, green, blue = _lit(meshes, t, light_x, light_y, light_z, ambient, diffuse)
    one = 1 / area
    dx, dy = column0 + 0.5 - ax, row0 + 0.5 - ay
    # barycentric weights of corners b and c at the first point, and their change per column and per row
    b = Plane((dx * (cy - ay) - dy * (cx - ax)) * one, (cy - ay) * one, (ax - cx) * one)
    c = Plane((dy * (bx - ax) - dx * (by - ay)) * one, (ay - by) * one, (bx - ax) * one)
    near = _mixed(az, bz, cz, b, c)
    box = Box(column0, column1, row0, row1)
    skin = meshes.skin[t]
    if skin < 0:
        _fill_plain(box, b, c, near, _pack(red * 255, green * 255, blue * 255), canvas, thread)
        return
    if pattern == 1:
        skin = meshes.second_skin[skin]
    uv = meshes.uv[t]
    u = _mixed(uv[0, 0] * az, uv[1, 0] * bz, uv[2, 0] * cz, b, c)
    w = _mixed(uv[0, 1] * az, uv[1, 1] * bz, uv[2, 1] * cz, b, c)
    level = _skin_level(meshes, t, skin, abs(area))
    _fill_skin(meshes, skin, level, box, b, c, near, u, w, red, green, blue, canvas, thread)


@inner_kernel
def _lit(
    meshes: Meshes,
    t: int,
    x: float,
    y: float,
    z: float,
    ambient: NDArray[np.float32],
    diffuse: NDArray[np.float32],
) -> tuple[float, float, float]:
    """Colour (red, green, blue), 0 to 1, of triangle t, by OpenGL's fixed-function light.

    OpenGL lights each corner, clamps it to 1 and interpolates between the corners (Gouraud shading). Here a
    triangle, small by construction, has one colour: the one interpolated to its middle.

    Args:
        meshes: all meshes.
        t: the triangle.
        x, y, z: towards the lamp, in the mesh's frame; its length scales the diffuse light.
        ambient, diffuse: (3,) factors of light.
    """
    normals, weights, colors = meshes.normals[t], meshes.weights[t], meshes.colors[t]
    a, b, c = _falling(normals[0], x, y, z), _falling(normals[1], x, y, z), _falling(normals[2], x, y, z)
    return (
        _between(weights, colors[0], ambient[0], diffuse[0], a, b, c),
        _between(weights, colors[1], ambient[1], diffuse[1], a, b, c),
        _between(weights, colors[2], ambient[2], diffuse[2], a, b, c),
    )


@inner_kernel
def _falling(normal: NDArray[np.float32], x: float, y: float, z: float) -> float:
    return max(0.0, normal[0] * x + normal[1] * y + normal[2] * z)


@inner_kernel
def _between(
    weights: NDArray[np.float32], color: float, ambient: float, diffuse: float, a: float, b: float, c: float
) -> float:
    """One channel in the middle of a triangle, from the diffuse factors a, b, c of its lit corners."""
    return (
        weights[0] * min(1.0, color * (ambient + diffuse * a))
        + weights[1] * min(1.0, color * (ambient + diffuse * b))
        + weights[2] * min(1.0, color * (ambient + diffuse * c))
    )


class Plane(NamedTuple):
    """A quantity that is linear over the image."""

    here: float
    """at the first point of a box"""
    across: float
    """change from a column to the next"""
    along: float
    """change from a row to the next"""


class Box(NamedTuple):
    """Points of the image: columns [column0, column1) of rows [row0, row1)."""

    column0: int
    column1: int
    row0: int
    row1: int


@inner_kernel
def _mixed(at_a: float, at_b: float, at_c: float, b: Plane, c: Plane) -> Plane:
    """The plane through three values at a triangle's corners, from the weights of corners b and c."""
    to_b, to_c = at_b - at_a, at_c - at_a
    return Plane(
        at_a + to_b * b.here + to_c * c.here,
        to_b * b.across + to_c * c.across,
        to_b * b.along + to_c * c.along,
    )


@inner_kernel
def _fill_plain(
    box: Box, b: Plane, c: Plane, near: Plane, color: np.uint32, canvas: Canvas, thread: int
) -> None:
    depths, colors = canvas.depth[thread], canvas.color[thread]
    for row in range(box.row1 - box.row0):
        depth, painted = depths[box.row0 + row], colors[box.row0 + row]
        wb, wc, z = b.here + row * b.along, c.here + row * c.along, near.here + row * near.along
        for column in range(box.column0, box.column1):
            if wb >= 0 and wc >= 0 and wb + wc <= 1 and z > depth[column]:
                depth[column], painted[column] = z, color
            wb, wc, z = wb + b.across, wc + c.across, z + near.across


@inner_kernel
def _fill_skin(
    meshes: Meshes,
    skin: int,
    level: int,
    box: Box,
    b: Plane,
    c: Plane,
    near: Plane,
    u: Plane,
    w: Plane,
    red: float,
    green: float,
    blue: float,
    canvas: Canvas,
    thread: int,
) -> None:
    depths, colors = canvas.depth[thread], canvas.color[thread]
    for row in range(box.row1 - box.row0):
        depth, painted = depths[box.row0 + row], colors[box.row0 + row]
        wb, wc, z = b.here + row * b.along, c.here + row * c.along, near.here + row * near.along
        uz, wz = u.here + row * u.along, w.here + row * w.along
        for column in range(box.column0, box.column1):
            if wb >= 0 and wc >= 0 and wb + wc <= 1 and z > depth[column]:
                distance = 1 / z
                texel = _texel(meshes, skin, level, uz * distance, wz * distance)
                depth[column] = z
                painted[column] = _pack(
                    red * (texel & np.uint32(255)),
                    green * ((texel >> np.uint32(8)) & np.uint32(255)),
                    blue * ((texel >> np.uint32(16)) & np.uint32(255)),
                )
            wb, wc, z = wb + b.across, wc + c.across, z + near.across
            uz, wz = uz + u.across, wz + w.across


@inner_kernel
def _skin_level(meshes: Meshes, t: int, skin: int, points: float) -> int:
    """The level at which the triangle has at most as many texels as points on the image."""
    uv = meshes.uv[t]
    area = abs((uv[1, 0] - uv[0, 0]) * (uv[2, 1] - uv[0, 1]) - (uv[1, 1] - uv[0, 1]) * (uv[2, 0] - uv[0, 0]))
    texels = area * meshes.skin_size[skin, 0, 0] * meshes.skin_size[skin, 0, 1]
    level = 0
    while texels > points and level < SKIN_LEVELS - 1:
        texels *= 0.25
        level += 1
    return level


@inner_kernel
def _texel(meshes: Meshes, skin: int, level: int, u: float, w: float) -> int:
    """The nearest texel; coordinates outside [0, 1) repeat the skin, as OpenGL's GL_REPEAT."""
    rows, columns = meshes.skin_size[skin, level, 0], meshes.skin_size[skin, level, 1]
    row = min(rows - 1, int((w - math.floor(w)) * rows))
    column = min(columns - 1, int((u - math.floor(u)) * columns))
    return meshes.texels[meshes.skin_start[skin, level] + row * columns + column]


@inner_kernel
def _pack(red: float, green: float, blue: float) -> np.uint32:
    """Colours of 0 to 255 as one integer, rounded; the fourth byte is 1: something is drawn here."""
    low = np.uint32(red + 0.5) | (np.uint32(green + 0.5) << np.uint32(8))
    return low | (np.uint32(blue + 0.5) << np.uint32(16)) | np.uint32(1 << 24)


@lean_kernel
def wipe(canvas: Canvas, thread: int) -> None:
    """Begin a new image; points are cleared once an object needs them."""
    canvas.spans[thread] = 0


@lean_kernel
def lay_over(canvas: Canvas, thread: int, lens: Projection, v: int, picture: NDArray[np.uint32]) -> None:
    """Blend what was drawn over a picture.

    Args:
        canvas: of all threads.
        thread: the one that drew.
        lens: projections of all images.
        v: the image's index in `lens`.
        picture: (height * width,) red, green, blue, a byte each; changed in place.
    """
    width = canvas.color.shape[2] // SUBPIXELS
    color, spans = canvas.color[thread], canvas.spans[thread]
    for row in range(spans.shape[0]):
        for column in range(spans[row, 0], spans[row, 1]):
            if not lens.is_smeared[v, row * width + column]:
                # red and blue in one integer, green and the count in another, 16 bits each
                even, odd = np.uint32(0), np.uint32(0)
                for subrow in range(row * SUBPIXELS, (row + 1) * SUBPIXELS):
                    for subcolumn in range(column * SUBPIXELS, (column + 1) * SUBPIXELS):
                        point = color[subrow, subcolumn]
                        even += point & np.uint32(0xFF00FF)
                        odd += (point >> np.uint32(8)) & np.uint32(0xFF00FF)
                _blend(even, odd, row * width + column, picture)
    flat = color.reshape(-1)
    for q in range(lens.smeared.shape[1]):
        row, column = lens.smeared_at[v, q, 0], lens.smeared_at[v, q, 1]
        if row >= 0 and spans[row, 0] <= column < spans[row, 1]:
            even, odd = np.uint32(0), np.uint32(0)
            for n in range(SUBPIXELS * SUBPIXELS):
                point = flat[lens.smeared_from[v, q, n]]
                even += point & np.uint32(0xFF00FF)
                odd += (point >> np.uint32(8)) & np.uint32(0xFF00FF)
            _blend(even, odd, lens.smeared[v, q], picture)


@inner_kernel
def _blend(even: np.uint32, odd: np.uint32, p: int, picture: NDArray[np.uint32]) -> None:
    """Average the points of pixel p, given by their sums; empty points show the picture behind."""
    count, low, byte = np.int32(odd >> np.uint32(16)), np.uint32(0xFFFF), np.uint32(255)
    if count > 0:
        behind = picture[p]
        red = _mean(np.int32(even & low), count, np.int32(behind & byte))
        green = _mean(np.int32(odd & low), count, np.int32((behind >> np.uint32(8)) & byte))
        blue = _mean(np.int32(even >> np.uint32(16)), count, np.int32((behind >> np.uint32(16)) & byte))
        picture[p] = red | (green << np.uint32(8)) | (blue << np.uint32(16))


@inner_kernel
def _mean(total: np.int32, count: np.int32, behind: np.int32) -> np.uint32:
    points = np.int32(SUBPIXELS * SUBPIXELS)
    return np.uint32((total + (points - count) * behind + points // np.int32(2)) // points)
