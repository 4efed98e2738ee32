"""Things on the map, from the corners of their meshes to triangles on the image.

Corners are projected through the camera and its lens straight to the image's pixels; raster.py draws the
triangles between them. Light is OpenGL's, one value for each triangle.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.raster import Canvas, draw_triangle
from ducklane.simulator.camera.view import SUBPIXELS, Number, Projection
from ducklane.simulator.town.meshes import Meshes
from ducklane.simulator.world.obstacles import FORWARD_M

NEAR_M = 0.04
"""Nothing nearer than this is drawn, as in the stock simulator."""

COARSE_PIXELS = 0.7
"""How far a coarse version of a mesh may be off, in pixels."""


class Eye(NamedTuple):
    """A camera's place and direction, and its light."""

    x: float
    """metres, of the robot's centre of rotation, on the map"""
    z: float
    height: float
    cos: float
    """of the robot's heading"""
    sin: float
    pitch_cos: float
    pitch_sin: float
    tangent: float
    """of half the vertical field of view"""
    light_x: float
    """to the lamp, as the camera sees it"""
    light_y: float
    light_z: float
    light_w: float
    """1 for a place, 0 for a direction"""


class Thing(NamedTuple):
    """One thing as it stands on the map."""

    mesh: int
    """which of `Meshes`"""
    x: float
    """metres, on the map"""
    y: float
    z: float
    cos: float
    """of its turn about its upright axis"""
    sin: float
    scale: float
    """metres for each unit of the mesh"""
    pattern: int
    """1 for the second of a traffic light's skins, else 0"""


@inner_kernel
def to_eye(eye: Eye, x: float, y: float, z: float) -> tuple[float, float, float]:
    """(right, up, ahead) of a point of the map as the camera sees it, metres."""
    dx, dz, up = x - eye.x, z - eye.z, y - eye.height
    ahead = dx * eye.cos - dz * eye.sin - FORWARD_M
    right = dx * eye.sin + dz * eye.cos
    return right, up * eye.pitch_cos + ahead * eye.pitch_sin, ahead * eye.pitch_cos - up * eye.pitch_sin


@inner_kernel
def _mesh_to_eye(eye: Eye, thing: Thing, x: float, y: float, z: float) -> tuple[float, float, float]:
    """`to_eye` of a point of a thing's mesh."""
    cos, sin = thing.cos * thing.scale, thing.sin * thing.scale
    return to_eye(eye, thing.x + x * cos + z * sin, thing.y + y * thing.scale, thing.z - x * sin + z * cos)


@inner_kernel
def project(
    lens: Projection, v: int, tangent: Number, right: Number, up: Number, ahead: Number
) -> tuple[Any, Any]:
    """(column, row) on the image of a point ahead of the camera; pixel (0, 0) covers 0 to 1."""
    # all numbers of one kind, so that many are done at a time
    half, one, two = np.float32(0.5), np.float32(1), np.float32(2)
    scale = one / (ahead * tangent)
    column = (right * scale / lens.aspect[v] + one) * half * lens.frame_width[v] - half
    row = (one - up * scale) * half * lens.frame_height[v] - half
    if lens.bends[v]:
        x = (column - lens.straight[v, 2]) / lens.straight[v, 0]
        y = (row - lens.straight[v, 3]) / lens.straight[v, 1]
        k1, k2, k3 = lens.bend[v, 0], lens.bend[v, 1], lens.bend[v, 4]
        p1, p2 = lens.bend[v, 2], lens.bend[v, 3]
        r2 = x * x + y * y
        radial = one + r2 * (k1 + r2 * (k2 + r2 * k3))
        bent_x = x * radial + two * p1 * x * y + p2 * (r2 + two * x * x)
        bent_y = y * radial + p1 * (r2 + two * y * y) + two * p2 * x * y
        column = lens.bent[v, 0] * bent_x + lens.bent[v, 2]
        row = lens.bent[v, 1] * bent_y + lens.bent[v, 3]
    return (column + half) * lens.columns[v], (row + half - lens.first_row[v]) * lens.rows[v]


@lean_kernel
def draw_thing(
    meshes: Meshes,
    thing: Thing,
    lens: Projection,
    v: int,
    eye: Eye,
    ambient: NDArray[np.float32],
    diffuse: NDArray[np.float32],
    canvas: Canvas,
    thread: int,
) -> bool:
    """Draw one thing on a thread's canvas.

    Args:
        meshes: of everything.
        thing: to be drawn.
        lens: to the image.
        v: which view.
        eye: the camera.
        ambient, diffuse: (3,) factors of light.
        canvas: to draw on.
        thread: which of them.

    Returns:
        whether it may be on the image.
    """
    detail = _detail(meshes, thing, lens, v, eye)
    if detail < 0 or not _reserve(meshes, thing, lens, v, eye, canvas, thread):
        return False
    _place_corners(meshes, thing, detail, lens, v, eye, canvas, thread)
    light_x, light_y, light_z = _light_on(thing, eye)
    k, pattern = thing.mesh, thing.pattern
    closed = meshes.closed[k]
    for t in range(meshes.first_triangle[k, detail], meshes.first_triangle[k, detail + 1]):
        draw_triangle(meshes, t, light_x, light_y, light_z, ambient, diffuse, closed, pattern, canvas, thread)
    return True


@inner_kernel
def _light_on(thing: Thing, eye: Eye) -> tuple[float, float, float]:
    """To the lamp, in the thing's own frame; OpenGL's normals shrink as the mesh grows."""
    right, up, ahead = to_eye(eye, thing.x, thing.y, thing.z)
    lx, ly, lz = (
        eye.light_x - eye.light_w * right,
        eye.light_y - eye.light_w * up,
        eye.light_z + eye.light_w * ahead,
    )
    norm = math.sqrt(lx * lx + ly * ly + lz * lz) * thing.scale
    level = ly * eye.pitch_cos + lz * eye.pitch_sin
    away = lz * eye.pitch_cos - ly * eye.pitch_sin
    world_x, world_z = lx * eye.sin - away * eye.cos, lx * eye.cos + away * eye.sin
    return (
        (world_x * thing.cos - world_z * thing.sin) / norm,
        level / norm,
        (world_x * thing.sin + world_z * thing.cos) / norm,
    )


@lean_kernel
def _detail(meshes: Meshes, thing: Thing, lens: Projection, v: int, eye: Eye) -> int:
    """The coarsest version of a mesh that still looks right, or -1 if all of it is behind the camera."""
    k, scale = thing.mesh, thing.scale
    low, high = meshes.bounds[k, 0], meshes.bounds[k, 1]
    reach = math.sqrt(max(-low[0], high[0]) ** 2 + high[1] ** 2 + max(-low[2], high[2]) ** 2) * scale
    _, _, ahead = to_eye(eye, thing.x, thing.y, thing.z)
    if ahead + reach < NEAR_M:
        return -1
    nearest = max(NEAR_M, _distance(low, high, thing, eye))
    allowed = COARSE_PIXELS * nearest * lens.pixel[v] * eye.tangent / scale
    detail = 0
    while detail + 1 < meshes.cell.shape[1] and meshes.cell[k, detail + 1] <= allowed:
        detail += 1
    return detail


@lean_kernel
def _distance(low: NDArray[np.float32], high: NDArray[np.float32], thing: Thing, eye: Eye) -> float:
    """From the camera to a thing's box, metres."""
    cos, sin, scale = thing.cos, thing.sin, thing.scale
    dx, dz = eye.x + FORWARD_M * eye.cos - thing.x, eye.z - FORWARD_M * eye.sin - thing.z
    px, py, pz = (dx * cos - dz * sin) / scale, (eye.height - thing.y) / scale, (dx * sin + dz * cos) / scale
    gap_x, gap_y, gap_z = (
        max(low[0] - px, px - high[0], 0.0),
        max(py - high[1], 0.0),
        max(low[2] - pz, pz - high[2], 0.0),
    )
    return math.sqrt(gap_x**2 + gap_y**2 + gap_z**2) * scale


@lean_kernel
def _reserve(
    meshes: Meshes, thing: Thing, lens: Projection, v: int, eye: Eye, canvas: Canvas, thread: int
) -> bool:
    """Wipe the canvas where the thing may be; False if that is nowhere on the image."""
    height, width = canvas.spans.shape[1], canvas.depth.shape[2] // SUBPIXELS
    left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
    bounds = meshes.bounds[thing.mesh]
    for corner in range(8):
        r, u, a = _mesh_to_eye(
            eye, thing, bounds[corner & 1, 0], bounds[(corner >> 1) & 1, 1], bounds[corner >> 2, 2]
        )
        column, row = project(lens, v, eye.tangent, r, u, max(a, NEAR_M))
        left, right, top, bottom = min(left, column), max(right, column), min(top, row), max(bottom, row)
    # the lens bends the box's edges outwards
    first, end = max(0, int(max(left - 2, -1.0))), min(width, int(min(right + 3, 1e6)))
    above, below = max(0, int(max(top - 2, -1.0))), min(height, int(min(bottom + 3, 1e6)))
    if first >= end or above >= below:
        return False
    for row in range(above, below):
        _widen(canvas, thread, row, first, end)
    return True


@lean_kernel
def _widen(canvas: Canvas, thread: int, row: int, first: int, end: int) -> None:
    """Add pixels [first, end) to what is drawn on in a row, and wipe what is new."""
    span = canvas.spans[thread, row]
    if span[0] >= span[1]:
        span[0], span[1] = first, first
    for subrow in range(row * SUBPIXELS, (row + 1) * SUBPIXELS):
        depth, color = canvas.depth[thread, subrow], canvas.color[thread, subrow]
        if first < span[0]:
            depth[first * SUBPIXELS : span[0] * SUBPIXELS] = 0
            color[first * SUBPIXELS : span[0] * SUBPIXELS] = 0
        if end > span[1]:
            depth[span[1] * SUBPIXELS : end * SUBPIXELS] = 0
            color[span[1] * SUBPIXELS : end * SUBPIXELS] = 0
    span[0], span[1] = min(span[0], first), max(span[1], end)


@lean_kernel
def _place_corners(
    meshes: Meshes,
    thing: Thing,
    detail: int,
    lens: Projection,
    v: int,
    eye: Eye,
    canvas: Canvas,
    thread: int,
) -> None:
    first = meshes.first_vertex[thing.mesh, detail]
    vertices = meshes.vertices[first : meshes.first_vertex[thing.mesh, detail + 1]]
    out = canvas.corners[thread]
    near, one, points = np.float32(NEAR_M), np.float32(1), np.float32(SUBPIXELS)
    tangent = np.float32(eye.tangent)
    right_0, up_0, ahead_0 = _single(_mesh_to_eye(eye, thing, 0.0, 0.0, 0.0))
    right_x, up_x, ahead_x = _single(_step(eye, thing, 1.0, 0.0, 0.0))
    right_y, up_y, ahead_y = _single(_step(eye, thing, 0.0, 1.0, 0.0))
    right_z, up_z, ahead_z = _single(_step(eye, thing, 0.0, 0.0, 1.0))
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        right = right_0 + right_x * x + right_y * y + right_z * z
        up = up_0 + up_x * x + up_y * y + up_z * z
        ahead = ahead_0 + ahead_x * x + ahead_y * y + ahead_z * z
        distance = max(ahead, near)
        column, row = project(lens, v, tangent, right, up, distance)
        out[i, 0], out[i, 1] = column * points, row * points
        out[i, 2] = one / distance if ahead >= near else np.float32(0)


@inner_kernel
def _step(eye: Eye, thing: Thing, x: float, y: float, z: float) -> tuple[float, float, float]:
    """How far apart two points of a thing's mesh are for the camera."""
    right_0, up_0, ahead_0 = _mesh_to_eye(eye, thing, 0.0, 0.0, 0.0)
    right, up, ahead = _mesh_to_eye(eye, thing, x, y, z)
    return right - right_0, up - up_0, ahead - ahead_0


@inner_kernel
def _single(point: tuple[float, float, float]) -> tuple[np.float32, np.float32, np.float32]:
    return np.float32(point[0]), np.float32(point[1]), np.float32(point[2])
