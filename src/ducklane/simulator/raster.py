"""Things on the map, drawn over the ground triangle by triangle.

Corners are projected through the camera and its lens straight to the image's pixels, where triangles are
drawn at SUBPIXELS x SUBPIXELS points a pixel with a depth each; a pixel's points are averaged in the end.
Light is OpenGL's, one value for each triangle; a skin is read at the resolution that fits the triangle.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.appearance import SKIN_LEVELS, Meshes
from ducklane.simulator.camera import FORWARD_M, SUBPIXELS, Number, Projection
from ducklane.simulator.kernel import inner_kernel, lean_kernel

NEAR_M = 0.04
"""Nothing nearer than this is drawn, as in the stock simulator."""
COARSE_PIXELS = 0.7
"""How far a coarse version of a mesh may be off, in pixels."""


class Canvas(NamedTuple):
    """Room to draw in, for each of T threads."""

    depth: NDArray[np.float32]
    """(T, rows, columns) of points: one over the distance, 0 for none"""
    color: NDArray[np.uint32]
    """(T, rows, columns) red, green, blue, and 1 where there is something, a byte each"""
    spans: NDArray[np.int32]
    """(T, image rows, 2) first and behind the last pixel drawn on"""
    corners: NDArray[np.float32]
    """(T, vertices, 3) of one mesh on the image: column, row, one over the distance"""


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


def new_canvas(threads: int, height: int, width: int, meshes: Meshes) -> Canvas:
    """Room for images of `height` x `width` pixels with these meshes."""
    points = (threads, height * SUBPIXELS, width * SUBPIXELS)
    vertices = int(np.diff(meshes.first_vertex).max())
    return Canvas(
        np.zeros(points, np.float32),
        np.zeros(points, np.uint32),
        np.zeros((threads, height, 2), np.int32),
        np.zeros((threads, vertices, 3), np.float32),
    )


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
        _draw_triangle(
            meshes, t, light_x, light_y, light_z, ambient, diffuse, closed, pattern, canvas, thread
        )
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
    """Colour of a triangle under a lamp in the direction (x, y, z) of its mesh."""
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
    """Brightness in the middle of a triangle: OpenGL lights the corners, none brighter than 1."""
    return (
        weights[0] * min(1.0, color * (ambient + diffuse * a))
        + weights[1] * min(1.0, color * (ambient + diffuse * b))
        + weights[2] * min(1.0, color * (ambient + diffuse * c))
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


@inner_kernel
def _draw_triangle(
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
    corners, depth = canvas.corners[thread], canvas.depth[thread]
    i, j, k = meshes.corners[t, 0], meshes.corners[t, 1], meshes.corners[t, 2]
    ax, ay, az = corners[i, 0], corners[i, 1], corners[i, 2]
    bx, by, bz = corners[j, 0], corners[j, 1], corners[j, 2]
    cx, cy, cz = corners[k, 0], corners[k, 1], corners[k, 2]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    behind = az <= 0 or bz <= 0 or cz <= 0
    # what faces away lies behind the rest of a closed mesh
    if behind or area == 0 or (closed and area > 0):
        return
    # points lie in the middle of their squares
    column0, column1 = (
        max(0, int(min(ax, bx, cx) + 0.5)),
        min(depth.shape[1], int(max(ax, bx, cx, -0.5) + 0.5)),
    )
    row0, row1 = max(0, int(min(ay, by, cy) + 0.5)), min(depth.shape[0], int(max(ay, by, cy, -0.5) + 0.5))
    if column0 >= column1 or row0 >= row1:
        return
    red, green, blue = _lit(meshes, t, light_x, light_y, light_z, ambient, diffuse)
    one = 1 / area
    dx, dy = column0 + 0.5 - ax, row0 + 0.5 - ay
    # weights of b and c at the first point, and how they change from column to column and from row to row
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


class Plane(NamedTuple):
    """A number that changes evenly over the image."""

    here: float
    """at the first point of a box"""
    across: float
    """from a column to the next"""
    along: float
    """from a row to the next"""


class Box(NamedTuple):
    """Points of the image: columns [column0, column1) of rows [row0, row1)."""

    column0: int
    column1: int
    row0: int
    row1: int


@inner_kernel
def _mixed(at_a: float, at_b: float, at_c: float, b: Plane, c: Plane) -> Plane:
    """The plane through three values at a triangle's corners."""
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
    """The resolution at which a texel is about as large as a pixel."""
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
    rows, columns = meshes.skin_size[skin, level, 0], meshes.skin_size[skin, level, 1]
    row = min(rows - 1, int((w - math.floor(w)) * rows))
    column = min(columns - 1, int((u - math.floor(u)) * columns))
    return meshes.texels[meshes.skin_start[skin, level] + row * columns + column]


@inner_kernel
def _pack(red: float, green: float, blue: float) -> np.uint32:
    """One number, of which the last byte is 1."""
    low = np.uint32(red + 0.5) | (np.uint32(green + 0.5) << np.uint32(8))
    return low | (np.uint32(blue + 0.5) << np.uint32(16)) | np.uint32(1 << 24)


@lean_kernel
def wipe(canvas: Canvas, thread: int) -> None:
    """Begin a new image."""
    canvas.spans[thread] = 0


@lean_kernel
def lay_over(canvas: Canvas, thread: int, lens: Projection, v: int, image: NDArray[np.uint8]) -> None:
    """Put what was drawn over an image.

    Args:
        canvas: what was drawn.
        thread: by which thread.
        lens: of the image.
        v: which view.
        image: (height * width, 3).
    """
    width = canvas.color.shape[2] // SUBPIXELS
    color, spans = canvas.color[thread], canvas.spans[thread]
    for row in range(spans.shape[0]):
        for column in range(spans[row, 0], spans[row, 1]):
            if not lens.is_smeared[v, row * width + column]:
                even, odd = np.uint32(0), np.uint32(0)
                for subrow in range(row * SUBPIXELS, (row + 1) * SUBPIXELS):
                    for subcolumn in range(column * SUBPIXELS, (column + 1) * SUBPIXELS):
                        point = color[subrow, subcolumn]
                        even += point & np.uint32(0xFF00FF)
                        odd += (point >> np.uint32(8)) & np.uint32(0xFF00FF)
                _blend(even, odd, row * width + column, image)
    flat = color.reshape(-1)
    for q in range(lens.smeared.shape[1]):
        row, column = lens.smeared_at[v, q, 0], lens.smeared_at[v, q, 1]
        if row >= 0 and spans[row, 0] <= column < spans[row, 1]:
            even, odd = np.uint32(0), np.uint32(0)
            for n in range(SUBPIXELS * SUBPIXELS):
                point = flat[lens.smeared_from[v, q, n]]
                even += point & np.uint32(0xFF00FF)
                odd += (point >> np.uint32(8)) & np.uint32(0xFF00FF)
            _blend(even, odd, lens.smeared[v, q], image)


@inner_kernel
def _blend(even: np.uint32, odd: np.uint32, p: int, image: NDArray[np.uint8]) -> None:
    """Average the points of pixel p, whose sums are given, with the image where there is nothing."""
    count, low = np.int32(odd >> np.uint32(16)), np.uint32(0xFFFF)
    if count > 0:
        image[p, 0] = _mean(np.int32(even & low), count, image[p, 0])
        image[p, 1] = _mean(np.int32(odd & low), count, image[p, 1])
        image[p, 2] = _mean(np.int32(even >> np.uint32(16)), count, image[p, 2])


@inner_kernel
def _mean(total: np.int32, count: np.int32, behind: int) -> np.int32:
    points = np.int32(SUBPIXELS * SUBPIXELS)
    return np.int32((total + (points - count) * np.int32(behind) + points // np.int32(2)) // points)
