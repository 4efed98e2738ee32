"""Road, ground and sky of a picture.

Each pixel's samples, whose places before the robot are known (`sampling.Rays`), are turned and moved with it
onto the map, read from the pictures there, averaged and lit; the ground beside the road and the sky fill the
rest. Pixels with the same plan are drawn in chunks that fit the processor's L1 cache, in plain loops that the
compiler can vectorise: hence the single precision, the 32-bit integers and the passes over separate arrays.

Frames: the ground in texels along the map's columns (x) and rows (z), shifted by one tile, for empty tiles
surround the map (`Road`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.conditions import Conditions, is_sun
from ducklane.simulator.camera.filtering import CHOICES
from ducklane.simulator.camera.sampling import (
    GROUPS,
    SAMPLES,
    Places,
    Rays,
)
from ducklane.simulator.camera.view import Number
from ducklane.simulator.town.road import SEAMLESS, TILE_BITS, TILE_TEXELS, Road

CHUNK = 512
"""Pixels drawn at a time."""

_MOST = max(SAMPLES)


class Chunk(NamedTuple):
    """Working memory of T threads for the pixels of one chunk."""

    tiles: NDArray[np.uint32]
    """(T, most samples * CHUNK) tile under each sample"""
    texels: NDArray[np.uint32]
    """(T, most samples * CHUNK) texel under each sample, within its picture"""
    sums: NDArray[np.uint32]
    """(T, 2, CHUNK) sums over a pixel's texels, 16 bits each: red (low) and blue (high); green and road"""
    colors: NDArray[np.uint32]
    """(T, CHUNK) red, green, blue, a byte each"""
    no_sky: NDArray[np.float32]
    """(CHUNK,) zeros: the share of the sky in most chunks"""
    picture: NDArray[np.uint32]
    """(T, P) the same for all pixels of a picture: small enough for a cache, where results of many steps are
    not"""


class Gaze(NamedTuple):
    """From a place before the robot, metres ahead and to the right, to a texel, for one robot and one level.

    A point lies at texel column + ahead * column_ahead + right * column_right; likewise for the row.
    """

    column: np.float32
    column_ahead: np.float32
    column_right: np.float32
    row: np.float32
    row_ahead: np.float32
    row_right: np.float32


def new_chunk(threads: int, pixels: int) -> Chunk:
    """Working memory for this many threads, for pictures of this many pixels."""
    return Chunk(
        np.zeros((threads, _MOST * CHUNK), np.uint32),
        np.zeros((threads, _MOST * CHUNK), np.uint32),
        np.zeros((threads, 2, CHUNK), np.uint32),
        np.zeros((threads, CHUNK), np.uint32),
        np.zeros(CHUNK, np.float32),
        np.zeros((threads, pixels), np.uint32),
    )


@lean_kernel
def draw_ground(
    road: Road,
    m: int,
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
) -> None:
    """Draw all pixels of one picture into `Chunk.picture`.

    Args:
        road: the ground of all maps.
        m: the map.
        rays: of all cameras.
        c: the camera's index in `rays`.
        x, z, angle: pose of the robot, with the camera's noise; metres, radians.
        lit: (P,) diffuse light on the road, in the order of the rays (`light_up`).
        conditions: of all robots.
        i: the robot.
        chunk: working memory of all threads.
        thread: the one that draws.
    """
    picture, colors, sums = chunk.picture[thread], chunk.colors[thread], chunk.sums[thread]
    no_sky = chunk.no_sky
    first, begin = 0, 0
    for group in range(GROUPS):
        level, choice = group // len(CHOICES), group % len(CHOICES)
        samples, behind, size = SAMPLES[choice], rays.group_end[c, group], 0
        pixels_of_group = behind - first
        if pixels_of_group > 0:
            side = TILE_TEXELS >> level
            gaze = _gaze(x, z, angle, side, side / road.tile_size[m], rays.unit[level])
            for start in range(first, behind, CHUNK):
                stop = min(start + CHUNK, behind)
                size = stop - start
                for n in range(samples):
                    at = begin + n * pixels_of_group + start - first
                    ahead, right = rays.ahead[c, at : at + size], rays.right[c, at : at + size]
                    _find(road, m, level, gaze, ahead, right, n * size, chunk, thread)
                _add(road, m, level, samples, size, chunk, thread)
                sky = rays.sky[c, start:stop] if rays.meets_sky[c, group] else no_sky[:size]
                share = lit[:size] if is_sun(conditions.light[i]) else lit[start:stop]
                _shade(samples, sky, share, sums, conditions, i, colors)
                for k in range(size):
                    picture[rays.pixels[c, start + k]] = colors[k]
        begin, first = begin + samples * pixels_of_group, behind
    sky_color = _sky(conditions, i)
    for k in range(first, rays.pixels.shape[1]):
        picture[rays.pixels[c, k]] = sky_color


@inner_kernel
def _gaze(x: float, z: float, angle: float, margin: float, per_metre: float, unit: float = 0.0) -> Gaze:
    """The projection for a robot. Its heading is (cos, -sin) in (x, z), the right-hand side (sin, cos).

    Args:
        x, z, angle: its pose.
        margin: texels of the empty tiles before the map.
        per_metre: texels per metre.
        unit: as in `Rays`.
    """
    per_unit = per_metre * unit if unit > 0 else per_metre
    cos, sin = math.cos(angle) * per_unit, math.sin(angle) * per_unit
    return Gaze(
        np.float32(margin + x * per_metre),
        np.float32(cos),
        np.float32(sin),
        np.float32(margin + z * per_metre),
        np.float32(-sin),
        np.float32(cos),
    )


@inner_kernel
def _find(
    road: Road,
    m: int,
    level: int,
    gaze: Gaze,
    ahead: Places,
    right: Places,
    first: int,
    chunk: Chunk,
    thread: int,
) -> None:
    """Write tiles and texels, from `first` on, under one sample of each pixel; without tiles in a map's whole
    picture.

    Beyond the map, samples lie in the last row or column of empty tiles. A negative coordinate wraps to a
    huge unsigned one, so a single `min` serves all sides.
    """
    size = ahead.shape[0]
    tiles, texels = chunk.tiles[thread, first : first + size], chunk.texels[thread, first : first + size]
    bits = np.uint32(TILE_BITS - level)
    mask = np.uint32((1 << bits) - 1)
    last_row = np.uint32((road.size[m, 0] << bits) - 1)
    last_column = np.uint32((road.size[m, 1] << bits) - 1)
    if level >= SEAMLESS:
        stride = np.uint32(road.size[m, 1] << bits)
        for k in range(size):
            column, row = _texel(gaze, ahead[k], right[k], last_column, last_row)
            texels[k] = row * stride + column
        return
    in_row = np.uint32(road.first.shape[3])
    for k in range(size):
        column, row = _texel(gaze, ahead[k], right[k], last_column, last_row)
        tiles[k] = (row >> bits) * in_row + (column >> bits)
        texels[k] = ((row & mask) << bits) + (column & mask)


@inner_kernel
def _texel(
    gaze: Gaze, ahead: Number, right: Number, last_column: np.uint32, last_row: np.uint32
) -> tuple[np.uint32, np.uint32]:
    forward, aside = np.float32(ahead), np.float32(right)
    column = gaze.column + gaze.column_ahead * forward + gaze.column_right * aside
    row = gaze.row + gaze.row_ahead * forward + gaze.row_right * aside
    return (
        min(np.uint32(np.int32(column)), last_column),
        min(np.uint32(np.int32(row)), last_row),
    )


@inner_kernel
def _add(road: Road, m: int, level: int, samples: int, size: int, chunk: Chunk, thread: int) -> None:
    """Write `sums`: a loop for each number of samples, which the compiler can then unroll."""
    if samples == 1:
        _add_samples(road, m, level, 1, size, chunk, thread)
    elif samples == 2:
        _add_samples(road, m, level, 2, size, chunk, thread)
    elif samples == 3:
        _add_samples(road, m, level, 3, size, chunk, thread)
    elif samples == 4:
        _add_samples(road, m, level, 4, size, chunk, thread)
    elif samples == 6:
        _add_samples(road, m, level, 6, size, chunk, thread)
    else:
        _add_samples(road, m, level, 8, size, chunk, thread)


@inner_kernel
def _add_samples(road: Road, m: int, level: int, samples: int, size: int, chunk: Chunk, thread: int) -> None:
    """Add the texels under each pixel's samples, two channels at a time in one integer.

    8 samples of 255 fit 16 bits, so the sum of one channel never carries into the other. Two loops: one that
    asks in each turn whether there are tiles takes an eighth longer.
    """
    texels, colors = road.texels, road.colors
    places, sums = chunk.texels[thread], chunk.sums[thread]
    low, byte = np.uint32(0xFF00FF), np.uint32(8)
    if level >= SEAMLESS:
        first, palette = road.whole[m, level - SEAMLESS], road.whole_palette[m]
        for k in range(size):
            even, odd = np.uint32(0), np.uint32(0)
            for n in range(samples):
                texel = texels[np.uint32(first + places[n * size + k])]
                color = colors[np.uint32(palette + texel)]
                even += color & low
                odd += (color >> byte) & low
            sums[0, k], sums[1, k] = even, odd
        return
    tiles, of_tile, palettes = (
        chunk.tiles[thread],
        road.first[m, level].reshape(-1),
        road.palette[m].reshape(-1),
    )
    for k in range(size):
        even, odd = np.uint32(0), np.uint32(0)
        for n in range(samples):
            tile = tiles[n * size + k]
            texel = texels[np.uint32(of_tile[tile] + places[n * size + k])]
            color = colors[np.uint32(palettes[tile] + texel)]
            even += color & low
            odd += (color >> byte) & low
        sums[0, k], sums[1, k] = even, odd


@inner_kernel
def _shade(
    samples: int,
    skies: NDArray[np.float32],
    lit: NDArray[np.float32],
    sums: NDArray[np.uint32],
    conditions: Conditions,
    i: int,
    colors: NDArray[np.uint32],
) -> None:
    """Write a chunk's `colors`: light its pixels, and blend them with ground and sky."""
    none, high = np.uint32(0), np.uint32(16)
    colors[: lit.shape[0]] = 0
    _shade_channel(samples, skies, sums[0], none, sums[1], lit, conditions, i, 0, colors)
    _shade_channel(samples, skies, sums[1], none, sums[1], lit, conditions, i, 1, colors)
    _shade_channel(samples, skies, sums[0], high, sums[1], lit, conditions, i, 2, colors)


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
    colors: NDArray[np.uint32],
) -> None:
    """Add one channel of a chunk's pixels to their colours.

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
        colors: output.
    """
    share, part = np.float32(1 / samples), np.float32(1 / (255 * samples))
    ambient, diffuse = conditions.ambient[i, channel], conditions.diffuse[i, channel]
    ground, sky = conditions.ground[i, channel], conditions.sky[i, channel]
    for k in range(lit.shape[0]):
        total = np.float32(np.int32((sums[k] >> shift) & np.uint32(0xFFFF))) * share
        covered = np.float32(np.int32(road[k] >> np.uint32(16))) * part
        color = shaded(total, covered, lit[k], ambient, diffuse, ground, sky, skies[k])
        colors[k] |= packed_channel(color, channel)


@inner_kernel
def shaded(
    road: np.float32,
    covered: np.float32,
    lit: np.float32,
    ambient: np.float32,
    diffuse: np.float32,
    ground: np.float32,
    sky: np.float32,
    sky_share: np.float32,
) -> np.float32:
    """One channel of a pixel, 0 to 255: lit road, the ground beside it, and the sky.

    OpenGL multiplies a texture (GL_MODULATE) with the white tile's lit colour, which it clamps to 1.

    Args:
        road: premultiplied with `covered`.
        covered: share of the ground that is road.
        lit: diffuse light.
        ambient, diffuse, ground, sky: as in `Conditions`.
        sky_share: fraction of the pixel that is sky.
    """
    one = np.float32(1)
    below = road * min(one, ambient + diffuse * lit) + ground * (one - covered)
    return below * (one - sky_share) + sky * sky_share


@inner_kernel
def packed_channel(value: np.float32, channel: int) -> np.uint32:
    """One channel, 0 to 255, rounded and in its place in a colour."""
    return np.uint32(np.int32(value + np.float32(0.5))) << np.uint32(8 * channel)


@inner_kernel
def _sky(conditions: Conditions, i: int) -> np.uint32:
    """The sky's colour."""
    color = np.uint32(0)
    for channel in range(3):
        color |= packed_channel(conditions.sky[i, channel], channel)
    return color
