"""Road, ground and sky of a picture.

Each pixel's samples are projected onto the ground, read from the tiles there at a fitting resolution
(`sampling.Rays`), averaged and lit; the ground beside the road and the sky fill the rest. Pixels with the
same plan are drawn in chunks that fit the processor's L1 cache, in plain loops that the compiler can
vectorise: hence the single precision, the 32-bit integers and the passes over separate arrays.

Frames: the image plane of view.py; the ground in texels along the map's columns (x) and rows (z), shifted by
one tile, for empty tiles surround the map (`Road`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.conditions import Conditions
from ducklane.simulator.camera.sampling import GROUPS, SAMPLES, Rays, horizon, on_ground, sky_share
from ducklane.simulator.camera.view import View
from ducklane.simulator.duckiebot import FORWARD_M
from ducklane.simulator.town.road import LEVELS, TILE_TEXELS, Road

CHUNK = 512
"""Pixels drawn at a time."""
_TILE_BITS = TILE_TEXELS.bit_length() - 1
"""log2 of a tile's side in texels: shifts and masks take the place of divisions"""


class Chunk(NamedTuple):
    """Working memory of T threads for the pixels of one chunk.

    The first two hold one quantity after another, each for all pixels of the chunk.
    """

    sights: NDArray[np.float32]
    """(T, 5 * CHUNK): x and y of the footprint's middle on the image plane; x and y from there to its near
    edge; fraction of the pixel that is sky"""
    places: NDArray[np.uint32]
    """(T, 2 * CHUNK): tile under a sample of each pixel; texel within that tile"""
    sums: NDArray[np.uint32]
    """(T, 2, CHUNK) sums over a pixel's texels, 16 bits each: red (low) and blue (high); green and road"""
    colors: NDArray[np.uint8]
    """(T, 3, CHUNK) red, green, blue"""


class Gaze(NamedTuple):
    """Projection from a point (x, y) of the image plane to a texel on the ground, for one robot and one
    level.

    The ray through (x, y) meets the road at depth = height / (sink - sink_y * y), in metres along the
    camera's axis, at texel column + depth * (column_ahead + column_y * y + column_x * x); likewise for the
    row.
    """

    height: np.float32
    sink: np.float32
    sink_y: np.float32
    column: np.float32
    column_ahead: np.float32
    column_y: np.float32
    column_x: np.float32
    row: np.float32
    row_ahead: np.float32
    row_y: np.float32
    row_x: np.float32


def new_chunk(threads: int) -> Chunk:
    """Working memory for this many threads."""
    return Chunk(
        np.zeros((threads, 5 * CHUNK), np.float32),
        np.zeros((threads, 2 * CHUNK), np.uint32),
        np.zeros((threads, 2, CHUNK), np.uint32),
        np.zeros((threads, 3, CHUNK), np.uint8),
    )


@lean_kernel
def draw_ground(
    road: Road,
    m: int,
    view: View,
    v: int,
    rays: Rays,
    c: int,
    x: float,
    z: float,
    angle: float,
    lit: NDArray[np.float32],
    conditions: Conditions,
    i: int,
    chunk: Chunk,
    thread: int,
    image: NDArray[np.uint8],
) -> None:
    """Draw all pixels of one picture.

    Args:
        road: the ground of all maps.
        m: the map.
        view: of all images.
        v: the image's index in `view`.
        rays: of all cameras.
        c: the camera's index in `rays`.
        x, z, angle: pose of the robot, with the camera's noise; metres, radians.
        lit: (P,) diffuse light on the road, in the order of the rays (`light_up`).
        conditions: of all robots.
        i: the robot.
        chunk: working memory of all threads.
        thread: the one that draws.
        image: (P, 3), output.
    """
    sights, places = chunk.sights[thread], chunk.places[thread]
    sums, colors = chunk.sums[thread], chunk.colors[thread]
    end = np.float32(horizon(conditions.height[i], conditions.pitch[i], conditions.tangent[i]))
    first = 0
    for level in range(LEVELS):
        side = TILE_TEXELS >> level
        gaze = _gaze(conditions, i, x, z, angle, side, side / road.tile_size[m])
        for choice in range(len(SAMPLES)):
            samples, behind = SAMPLES[choice], rays.group_end[c, level * len(SAMPLES) + choice]
            while first < behind:
                stop = min(first + CHUNK, behind)
                pixels = rays.pixels[c, first:stop]
                _follow(view, v, pixels, level == LEVELS - 1, end, sights)
                sums[:, : stop - first] = 0
                for n in range(samples):
                    _place_samples(
                        road, m, level, gaze, stop - first, (2 * n + 1) / samples - 1, sights, places
                    )
                    _add_samples(road, m, level, stop - first, places, sums)
                _shade(pixels, samples, sights, sums, lit[first:stop], conditions, i, colors, image)
                first = stop
    _fill_sky(rays.pixels[c, first:], conditions, i, image)


@inner_kernel
def _gaze(
    conditions: Conditions, i: int, x: float, z: float, angle: float, margin: float, per_metre: float
) -> Gaze:
    """The projection for robot i.

    With f, r, u for forward, right and up in the robot's frame, the ray through (x, y) of the image plane has
    the direction f: cos(pitch) + t y sin(pitch), r: t x, u: -(sin(pitch) - t y cos(pitch)), where t is the
    tangent of half the field of view. The heading is (cos, -sin) in (x, z), the right-hand side (sin, cos).

    Args:
        conditions: of all robots.
        i: the robot.
        x, z, angle: its pose.
        margin: texels of the empty tiles before the map.
        per_metre: texels per metre.
    """
    pitch, tangent = conditions.pitch[i], conditions.tangent[i]
    cos, sin = math.cos(angle) * per_metre, math.sin(angle) * per_metre
    ahead, up = math.cos(pitch), tangent * math.sin(pitch)
    return Gaze(
        np.float32(conditions.height[i]),
        np.float32(math.sin(pitch)),
        np.float32(tangent * math.cos(pitch)),
        np.float32(margin + x * per_metre + cos * FORWARD_M),
        np.float32(cos * ahead),
        np.float32(cos * up),
        np.float32(sin * tangent),
        np.float32(margin + z * per_metre - sin * FORWARD_M),
        np.float32(-sin * ahead),
        np.float32(-sin * up),
        np.float32(cos * tangent),
    )


@inner_kernel
def _follow(
    view: View,
    v: int,
    pixels: NDArray[np.int32],
    horizon_near: bool,
    end: np.float32,
    sights: NDArray[np.float32],
) -> None:
    """Write `sights`: the footprints of a chunk's pixels on the image plane, cut off at the horizon.

    Args:
        view: of all images.
        v: the image's index.
        pixels: the chunk's.
        horizon_near: some of them may reach above the horizon.
        end: y of the horizon on the image plane.
        sights: as in `Chunk`, output.
    """
    xs, ys, dxs, dys = view.x[v], view.y[v], view.down_x[v], view.down_y[v]
    one = np.float32(1)
    for k in range(pixels.shape[0]):
        p = pixels[k]
        sights[k], sights[k + CHUNK] = xs[p], ys[p]
        sights[k + 2 * CHUNK], sights[k + 3 * CHUNK] = dxs[p], dys[p]
    sights[4 * CHUNK : 4 * CHUNK + pixels.shape[0]] = 0
    if not horizon_near:
        return
    for k in range(pixels.shape[0]):
        dx, dy = sights[k + 2 * CHUNK], sights[k + 3 * CHUNK]
        sky = sky_share(sights[k + CHUNK], dy, end)
        # the footprint's lower part remains: its middle moves down, and its half shrinks
        sights[k] += sky * dx
        sights[k + CHUNK] += sky * dy
        sights[k + 2 * CHUNK], sights[k + 3 * CHUNK] = (one - sky) * dx, (one - sky) * dy
        sights[k + 4 * CHUNK] = sky


@inner_kernel
def _place_samples(
    road: Road,
    m: int,
    level: int,
    gaze: Gaze,
    pixels: int,
    part: float,
    sights: NDArray[np.float32],
    places: NDArray[np.uint32],
) -> None:
    """Write `places`: tile and texel under one sample of each pixel.

    `part` is the sample's position along the footprint, from -1 at its far edge to 1 at its near edge.
    """
    here = np.float32(part)
    bits = np.uint32(_TILE_BITS - level)
    mask = np.uint32((1 << bits) - 1)
    last_row = np.uint32((road.size[m, 0] << bits) - 1)
    last_column = np.uint32((road.size[m, 1] << bits) - 1)
    stride = np.uint32(road.first.shape[3])
    for k in range(pixels):
        x = sights[k] + here * sights[k + 2 * CHUNK]
        y = sights[k + CHUNK] + here * sights[k + 3 * CHUNK]
        depth = gaze.height / (gaze.sink - gaze.sink_y * y)
        left = gaze.column + depth * (gaze.column_ahead + gaze.column_y * y + gaze.column_x * x)
        top = gaze.row + depth * (gaze.row_ahead + gaze.row_y * y + gaze.row_x * x)
        # Beyond the map, clamp to the last row or column of empty tiles. A negative coordinate wraps to a
        # huge unsigned one, so a single `min` serves all sides.
        column = min(np.uint32(np.int32(left)), last_column)
        row = min(np.uint32(np.int32(top)), last_row)
        places[k] = np.uint32((row >> bits) * stride + (column >> bits))
        places[k + CHUNK] = np.uint32(((row & mask) << bits) + (column & mask))


@inner_kernel
def _add_samples(
    road: Road,
    m: int,
    level: int,
    pixels: int,
    places: NDArray[np.uint32],
    sums: NDArray[np.uint32],
) -> None:
    """Add the texels under one sample of each pixel, two channels at a time in one integer.

    8 samples of 255 fit 16 bits, so the sum of one channel never carries into the other.
    """
    tiles, texels = road.first[m, level].reshape(-1), road.texels
    evens, odds = sums[0], sums[1]
    for k in range(pixels):
        texel = texels[np.uint32(tiles[places[k]] + places[k + CHUNK])]
        evens[k] += texel & np.uint32(0xFF00FF)
        odds[k] += (texel >> np.uint32(8)) & np.uint32(0xFF00FF)


@inner_kernel
def _shade(
    pixels: NDArray[np.int32],
    samples: int,
    sights: NDArray[np.float32],
    sums: NDArray[np.uint32],
    lit: NDArray[np.float32],
    conditions: Conditions,
    i: int,
    colors: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:
    """Light a chunk's pixels, blend them with ground and sky, and write them into the image."""
    none, high, skies = np.uint32(0), np.uint32(16), sights[4 * CHUNK :]
    _shade_channel(samples, skies, sums[0], none, sums[1], lit, conditions, i, 0, colors[0])
    _shade_channel(samples, skies, sums[1], none, sums[1], lit, conditions, i, 1, colors[1])
    _shade_channel(samples, skies, sums[0], high, sums[1], lit, conditions, i, 2, colors[2])
    flat = image.reshape(-1)
    for k in range(pixels.shape[0]):
        place = np.uint32(3) * np.uint32(pixels[k])
        flat[place] = colors[0, k]
        flat[np.uint32(place + np.uint32(1))] = colors[1, k]
        flat[np.uint32(place + np.uint32(2))] = colors[2, k]


@inner_kernel
def _shade_channel(
    samples: int,
    skies: NDArray[np.float32],
    sums: NDArray[np.uint32],
    shift: np.uint32,
    road: NDArray[np.uint32],
    lit: NDArray[np.float32],
    conditions: Conditions,
    i: int,
    channel: int,
    color: NDArray[np.uint8],
) -> None:
    """Write one channel of a chunk's pixels, rounded.

    Texels are premultiplied with how much of them is road. OpenGL multiplies a texture (GL_MODULATE) with the
    white tile's lit colour, which it clamps to 1.

    Args:
        samples: texels per pixel.
        skies: fraction of each pixel that is sky.
        sums: those that hold the channel.
        shift: bits below the channel in `sums`.
        road: the sums that hold the road's share in the upper 16 bits.
        lit: diffuse light of each pixel.
        conditions: of all robots.
        i: the robot.
        channel: 0, 1 or 2.
        color: output.
    """
    one, half = np.float32(1), np.float32(0.5)
    share, part = np.float32(1 / samples), np.float32(1 / (255 * samples))
    ambient, diffuse = conditions.ambient[i, channel], conditions.diffuse[i, channel]
    ground, sky = conditions.ground[i, channel], conditions.sky[i, channel]
    for k in range(lit.shape[0]):
        total = np.float32(np.int32((sums[k] >> shift) & np.uint32(0xFFFF))) * share
        covered = np.float32(np.int32(road[k] >> np.uint32(16))) * part
        below = total * min(one, ambient + diffuse * lit[k]) + ground * (one - covered)
        color[k] = np.uint8(np.int32(below * (one - skies[k]) + sky * skies[k] + half))


@inner_kernel
def _fill_sky(pixels: NDArray[np.int32], conditions: Conditions, i: int, image: NDArray[np.uint8]) -> None:
    """Write pixels that show nothing but sky."""
    half = np.float32(0.5)
    red = np.uint8(conditions.sky[i, 0] + half)
    green = np.uint8(conditions.sky[i, 1] + half)
    blue = np.uint8(conditions.sky[i, 2] + half)
    for k in range(pixels.shape[0]):
        p = pixels[k]
        image[p, 0], image[p, 1], image[p, 2] = red, green, blue


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
        lit: (P,) output: cosine between the road's normal and the direction to the lamp, 0 or more.
    """
    height, pitch, tangent = conditions.height[i], conditions.pitch[i], conditions.tangent[i]
    light = conditions.light[i]
    end = horizon(height, pitch, tangent)
    # the road's normal, straight up on the map, in eye coordinates
    normal_up, normal_back = math.cos(pitch), math.sin(pitch)
    for k in range(rays.group_end[c, GROUPS - 1]):
        p = rays.pixels[c, k]
        sky = sky_share(view.y[v, p], view.down_y[v, p], end)
        x, y = view.x[v, p] + sky * view.down_x[v, p], view.y[v, p] + sky * view.down_y[v, p]
        depth, _, _ = on_ground(x, y, height, pitch, tangent)
        right = light[0] - light[3] * depth * tangent * x
        up = light[1] - light[3] * depth * tangent * y
        back = light[2] + light[3] * depth
        distance = math.sqrt(right * right + up * up + back * back)
        lit[k] = max(0.0, (up * normal_up + back * normal_back) / distance)
