"""Road, ground and sky of a picture.

A pixel's samples (`camera.Rays`) are moved to where the robot stands, read off the map at the resolution that
fits them, averaged, lit, and laid before the ground and the sky. It goes in chunks of pixels that stay in the
processor's nearest cache, and in plain loops that it can do many at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.appearance import FRINGE, Road
from ducklane.simulator.camera import LEVELS, MAX_SAMPLES, Rays
from ducklane.simulator.conditions import Conditions
from ducklane.simulator.kernel import inner_kernel, lean_kernel

CHUNK = 512
"""Pixels."""


class Chunk(NamedTuple):
    """Room for the samples and pixels that each of T threads works on."""

    places: NDArray[np.uint32]
    """(T, samples) texel of each"""
    sums: NDArray[np.uint32]
    """(T, 2, CHUNK) sums over a pixel's texels: red and blue; green and road; 16 bits each"""
    colors: NDArray[np.uint8]
    """(T, 3, CHUNK)"""


def new_chunk(threads: int) -> Chunk:
    """Room for that many threads."""
    return Chunk(
        np.zeros((threads, CHUNK * MAX_SAMPLES), np.uint32),
        np.zeros((threads, 2, CHUNK), np.uint32),
        np.zeros((threads, 3, CHUNK), np.uint8),
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
    image: NDArray[np.uint8],
) -> None:
    """Draw all pixels of one picture.

    Args:
        road: of all maps.
        m: the map.
        rays: of all cameras.
        c: the camera.
        x, z, angle: of the robot, with the camera's noise; metres, radians.
        lit: (P,) light from the lamp on the road, in the order of the rays.
        conditions: of all robots.
        i: the robot.
        chunk: room to work in.
        thread: whose.
        image: (P, 3), all of it is written.
    """
    places, sums, colors = chunk.places[thread], chunk.sums[thread], chunk.colors[thread]
    first = 0
    for level in range(LEVELS):
        end = rays.level_end[c, level]
        texels = road.texels[road.start[m, level] :]
        while first < end:
            stop = min(first + CHUNK, end)
            _place_samples(road, m, level, rays, c, first, stop, x, z, angle, places)
            _sum_samples(texels, rays, c, first, stop, places, sums)
            _shade(rays, c, first, stop, sums, lit, conditions, i, colors, image)
            first = stop
    _fill_sky(rays, c, conditions, i, image)


@inner_kernel
def _place_samples(
    road: Road,
    m: int,
    level: int,
    rays: Rays,
    c: int,
    first: int,
    stop: int,
    x: float,
    z: float,
    angle: float,
    places: NDArray[np.uint32],
) -> None:
    """Find the texel under each sample of pixels [first, stop), of one level; beside the map, its fringe."""
    per_metre = road.per_metre[m, level]
    middle = np.float32(FRINGE + 0.5)
    left, top = np.float32(x) * per_metre + middle, np.float32(z) * per_metre + middle
    cos, sin = np.float32(math.cos(angle)) * per_metre, np.float32(math.sin(angle)) * per_metre
    rows, columns = road.size[m, level, 0], road.size[m, level, 1]
    begin, end = rays.first_sample[c, first], rays.first_sample[c, stop]
    forward, right = rays.forward[c, begin:end], rays.right[c, begin:end]
    for s in range(forward.shape[0]):
        column = np.int32(left + cos * forward[s] + sin * right[s])
        row = np.int32(top - sin * forward[s] + cos * right[s])
        column = min(max(column, np.int32(0)), columns - np.int32(1))
        row = min(max(row, np.int32(0)), rows - np.int32(1))
        places[s] = np.uint32(row * columns + column)


@inner_kernel
def _sum_samples(
    texels: NDArray[np.uint32],
    rays: Rays,
    c: int,
    first: int,
    stop: int,
    places: NDArray[np.uint32],
    sums: NDArray[np.uint32],
) -> None:
    """Add up the texels of each pixel, two colours at a time in one number."""
    firsts = rays.first_sample[c, first : stop + 1]
    sample = np.uint32(0)
    for k in range(firsts.shape[0] - 1):
        even, odd = np.uint32(0), np.uint32(0)
        for _ in range(firsts[k + 1] - firsts[k]):
            texel = texels[places[sample]]
            sample = np.uint32(sample + np.uint32(1))
            even += texel & np.uint32(0xFF00FF)
            odd += (texel >> np.uint32(8)) & np.uint32(0xFF00FF)
        sums[0, k], sums[1, k] = even, odd


@inner_kernel
def _shade(
    rays: Rays,
    c: int,
    first: int,
    stop: int,
    sums: NDArray[np.uint32],
    lit: NDArray[np.float32],
    conditions: Conditions,
    i: int,
    colors: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:
    """Light pixels [first, stop), put ground and sky behind them, and write them into the image."""
    none, high = np.uint32(0), np.uint32(16)
    _shade_channel(rays, c, first, stop, sums[0], none, sums[1], lit, conditions, i, 0, colors[0])
    _shade_channel(rays, c, first, stop, sums[1], none, sums[1], lit, conditions, i, 1, colors[1])
    _shade_channel(rays, c, first, stop, sums[0], high, sums[1], lit, conditions, i, 2, colors[2])
    pixels, flat = rays.pixels[c, first:stop], image.reshape(-1)
    for k in range(pixels.shape[0]):
        place = np.uint32(3) * np.uint32(pixels[k])
        flat[place] = colors[0, k]
        flat[np.uint32(place + np.uint32(1))] = colors[1, k]
        flat[np.uint32(place + np.uint32(2))] = colors[2, k]


@inner_kernel
def _shade_channel(
    rays: Rays,
    c: int,
    first: int,
    stop: int,
    sums: NDArray[np.uint32],
    shift: np.uint32,
    road: NDArray[np.uint32],
    lit: NDArray[np.float32],
    conditions: Conditions,
    i: int,
    channel: int,
    color: NDArray[np.uint8],
) -> None:
    one, half, part = np.float32(1), np.float32(0.5), np.float32(1 / 255)
    ambient, diffuse = conditions.ambient[i, channel], conditions.diffuse[i, channel]
    ground, sky = conditions.ground[i, channel], conditions.sky[i, channel]
    shares, skies, lights = rays.share[c, first:stop], rays.sky[c, first:stop], lit[first:stop]
    for k in range(shares.shape[0]):
        total = np.float32(np.int32((sums[k] >> shift) & np.uint32(0xFFFF))) * shares[k]
        covered = np.float32(np.int32(road[k] >> np.uint32(16))) * shares[k] * part
        light = min(one, ambient + diffuse * lights[k])
        seen = total * light + ground * (one - skies[k] - covered) + sky * skies[k]
        color[k] = np.uint8(np.int32(seen + half))


@inner_kernel
def _fill_sky(rays: Rays, c: int, conditions: Conditions, i: int, image: NDArray[np.uint8]) -> None:
    """Write the pixels that see nothing but sky."""
    half = np.float32(0.5)
    red = np.uint8(conditions.sky[i, 0] + half)
    green = np.uint8(conditions.sky[i, 1] + half)
    blue = np.uint8(conditions.sky[i, 2] + half)
    for k in range(rays.num_pixels[c], rays.pixels.shape[1]):
        p = rays.pixels[c, k]
        image[p, 0], image[p, 1], image[p, 2] = red, green, blue


@lean_kernel
def light_up(rays: Rays, c: int, pitch: float, light: NDArray[np.float64], lit: NDArray[np.float32]) -> None:
    """Find how the lamp falls onto the road, which does not change while the camera keeps its place.

    Args:
        rays: of all cameras.
        c: the camera.
        pitch: of the camera, radians.
        light: (4,) of `Conditions`.
        lit: (P,) to be filled: cosine between the road's normal and the lamp's direction, 0 or more.
    """
    normal_up, normal_back = math.cos(pitch), math.sin(pitch)
    for k in range(rays.num_pixels[c]):
        right = light[0] - light[3] * rays.eye[c, k, 0]
        up = light[1] - light[3] * rays.eye[c, k, 1]
        back = light[2] - light[3] * rays.eye[c, k, 2]
        distance = math.sqrt(right * right + up * up + back * back)
        lit[k] = max(0.0, (up * normal_up + back * normal_back) / distance)
