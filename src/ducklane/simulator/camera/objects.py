"""Objects on the map, from the vertices of their meshes to triangles on the image.

Vertices are projected through camera and lens straight to the image's pixels; raster.py fills the triangles
between them. Light is OpenGL's, one colour per triangle.

Frames: the map's (x, y, z), metres, y upwards; the camera's (right, up, ahead), metres, tilted by its pitch,
as in OpenGL's eye coordinates but for the sign of the third; a mesh's own, which `Thing.scale` turns into
metres.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.raster import Canvas, draw_triangle
from ducklane.simulator.camera.view import SUBPIXELS, Number, Projection
from ducklane.simulator.duckiebot import FORWARD_M
from ducklane.simulator.town.meshes import Meshes

NEAR_M = 0.04
"""Nearest depth that is drawn: the near plane of upstream's gluPerspective."""

COARSE_PIXELS = 0.7
"""Largest error of a coarse version of a mesh, in pixels. Together with culling and cheaper sums it more than
halved the time for objects (147 to 60 us per frame on loop_obstacles at 84 x 84), at a loss of 0.16 dB of
PSNR against the stock simulator."""


class Eye(NamedTuple):
    """A camera's pose and its light."""

    x: float
    """metres, of the robot's centre of rotation, on the map"""
    z: float
    height: float
    """metres, of the camera above the road"""
    cos: float
    """of the robot's heading"""
    sin: float
    pitch_cos: float
    pitch_sin: float
    tangent: float
    """of half the vertical field of view"""
    light_x: float
    """the lamp as in `Conditions.light`: right, up, backwards"""
    light_y: float
    light_z: float
    light_w: float
    """1 for a position, 0 for a direction"""


class Thing(NamedTuple):
    """One object as it stands on the map."""

    mesh: int
    """index in `Meshes`"""
    x: float
    """metres, on the map"""
    y: float
    z: float
    cos: float
    """of its rotation about the upright axis"""
    sin: float
    scale: float
    """metres per unit of the mesh"""
    pattern: int
    """1 for the second of a traffic light's skins, else 0"""


@inner_kernel
def to_eye(eye: Eye, x: float, y: float, z: float) -> tuple[float, float, float]:
    """(right, up, ahead) in the camera's frame of a point on the map, metres."""
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
    """(column, row) on the image of a point ahead of the camera; pixel (0, 0) spans 0 to 1.

    With a lens, OpenCV's model: for normalised coordinates x, y and r^2 = x^2 + y^2,
    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2),
    y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y.
    """
    # float32 throughout: one double would keep the loop over vertices from being vectorised well
    half, one, two = np.float32(0.5), np.float32(1), np.float32(2)
    scale = one / (ahead * tangent)
    # a pixel's index is that of its centre in OpenCV, hence half a pixel off here and back again at the end
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
        # half a pixel up and to the left: upstream rounds down
        column = lens.bent[v, 0] * bent_x + lens.bent[v, 2] - half
        row = lens.bent[v, 1] * bent_y + lens.bent[v, 3] - half
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
    """Draw one object on a thread's canvas.

    Args:
        meshes: all meshes.
        thing: the object.
        lens: projections of all images.
        v: the image's index in `lens`.
        eye: the camera.
        ambient, diffuse: (3,) factors of light.
        canvas: of all threads.
        thread: the one that draws.

    Returns:
        whether any of it may be on the image.
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
    """Vector towards the lamp, in the mesh's frame, for the dot product with its normals.

    It is shorter by `scale`: OpenGL transforms normals by the inverse transpose of the modelview matrix,
    which shrinks them as the mesh grows, and upstream does not enable GL_NORMALIZE.
    """
    right, up, ahead = to_eye(eye, thing.x, thing.y, thing.z)
    lx, ly, lz = (
        eye.light_x - eye.light_w * right,
        eye.light_y - eye.light_w * up,
        eye.light_z + eye.light_w * ahead,
    )
    # back through the camera's pitch and heading to the map, then through the object's rotation to its mesh
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
    """The coarsest version of a mesh whose error stays below COARSE_PIXELS; -1 if it is behind the camera."""
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
    """Distance from the camera to an object's bounding box, metres."""
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
    """Clear the canvas where the object may be; False if that is nowhere on the image."""
    height, width = canvas.spans.shape[1], canvas.depth.shape[2] // SUBPIXELS
    left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
    bounds = meshes.bounds[thing.mesh]
    for corner in range(8):
        r, u, a = _mesh_to_eye(
            eye, thing, bounds[corner & 1, 0], bounds[(corner >> 1) & 1, 1], bounds[corner >> 2, 2]
        )
        column, row = project(lens, v, eye.tangent, r, u, max(a, NEAR_M))
        left, right, top, bottom = min(left, column), max(right, column), min(top, row), max(bottom, row)
    # a margin of 2 pixels: the lens bends the box's edges outwards
    first, end = max(0, int(max(left - 2, -1.0))), min(width, int(min(right + 3, 1e6)))
    above, below = max(0, int(max(top - 2, -1.0))), min(height, int(min(bottom + 3, 1e6)))
    if first >= end or above >= below:
        return False
    for row in range(above, below):
        _widen(canvas, thread, row, first, end)
    return True


@lean_kernel
def _widen(canvas: Canvas, thread: int, row: int, first: int, end: int) -> None:
    """Extend a row's span to include pixels [first, end), and clear what is new."""
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
    """Write `Canvas.corners`: the vertices of an object's mesh on the image.

    The map from the mesh's frame to the camera's is affine: computed once in double precision, applied to all
    vertices in single.
    """
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
    """(right, up, ahead) of a vector of an object's mesh: a column of the affine map's matrix."""
    right_0, up_0, ahead_0 = _mesh_to_eye(eye, thing, 0.0, 0.0, 0.0)
    right, up, ahead = _mesh_to_eye(eye, thing, x, y, z)
    return right - right_0, up - up_0, ahead - ahead_0


@inner_kernel
def _single(point: tuple[float, float, float]) -> tuple[np.float32, np.float32, np.float32]:
    return np.float32(point[0]), np.float32(point[1]), np.float32(point[2])
