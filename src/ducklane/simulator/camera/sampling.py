"""How a camera samples the ground, planned once per camera.

Far away, a pixel's footprint on the ground is long and narrow. Several samples cover it, one behind the
other, each about as wide as the footprint: anisotropic filtering of mipmaps. How many samples and which level
of the tiles' pictures depends only on the camera's height, pitch and field of view, so it is planned once
(`aim`), and pixels with equal plans are stored together (`Rays`) to be drawn many at a time.

Ground: metres forward and to the right of the robot's centre of rotation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.view import Ints, Number, View
from ducklane.simulator.duckiebot import FORWARD_M
from ducklane.simulator.town.road import LEVELS, TILE_TEXELS

GROUND_DEPTH_M = 0.008
"""How far the ground beside the road lies below the road: upstream's quad at -0.8, scaled by 0.01."""

GROUND_REACH_M = 50.0
"""Where the ground ends and the sky begins: half the side of upstream's quad, here around the camera."""

FINEST_TEXEL_M = 0.585 / TILE_TEXELS
"""Width of a texel of the finest level on nearly all maps; a texel averages a square twice as wide."""

SAMPLES = (1, 2, 3, 4, 6, 8)
"""Numbers of samples a pixel may have; few choices, so that groups of pixels are large."""

SAMPLES_PER_SQUARE = 1.25
"""Samples per footprint width along the footprint's length; more would follow the length more closely."""

BLUR = 0.8
"""Width that a texel should average, as a fraction of a sample's: neighbouring samples overlap."""

FINEST_FOR_TEXELS = 1.4
"""The finest level is read only where a sample averages at most this many of its texels: frames larger than a
policy's. It does not fit a processor's caches: at 84 x 84 pixels it would gain 1 dB of PSNR against the stock
simulator and take half as long again."""

GROUPS = LEVELS * len(SAMPLES)
"""Groups of pixels drawn in the same way: by level and number of samples."""


class Rays(NamedTuple):
    """How C cameras sample the ground through P pixels."""

    group: Ints
    """(C, P) group of each pixel: level * len(SAMPLES) + index in SAMPLES; pixels on the horizon take the
    last level, and GROUPS means nothing but sky"""
    pixels: Ints
    """(C, P) pixels that see ground, group by group, then the others"""
    group_end: Ints
    """(C, GROUPS) index in `pixels` after the last pixel of each group"""


def new_rays(cameras: int, pixels: int) -> Rays:
    """Memory for the rays of this many cameras."""
    return Rays(
        group=np.zeros((cameras, pixels), np.int32),
        pixels=np.zeros((cameras, pixels), np.int32),
        group_end=np.zeros((cameras, GROUPS), np.int32),
    )


@lean_kernel
def horizon(height: float, pitch: float, tangent: float) -> float:
    """y on the image plane at which the ground ends: the ray meets the ground GROUND_REACH_M ahead."""
    depth = height + GROUND_DEPTH_M
    down, ahead = math.sin(pitch), math.cos(pitch)
    return (GROUND_REACH_M * down - depth * ahead) / (GROUND_REACH_M * ahead + depth * down) / tangent


@lean_kernel
def on_ground(x: float, y: float, height: float, pitch: float, tangent: float) -> tuple[float, float, float]:
    """Where the ray through (x, y) of the image plane meets the road: (depth, forward, right), metres.

    Depth is along the camera's axis; see `_gaze` in ground.py for the ray's direction.
    """
    # metres down per metre of depth
    down = math.sin(pitch) - y * tangent * math.cos(pitch)
    depth = height / max(down, 1e-6)
    forward = FORWARD_M + depth * (y * tangent * math.sin(pitch) + math.cos(pitch))
    return depth, forward, depth * x * tangent


@lean_kernel
def aim(view: View, v: int, rays: Rays, c: int, height: float, pitch: float, tangent: float) -> None:
    """Plan how camera `c` samples the ground.

    Args:
        view: of all images.
        v: the image's index.
        rays: of all cameras; those of camera c are output.
        c: the camera's index.
        height: of the camera above the road, metres.
        pitch: downwards, radians.
        tangent: of half the vertical field of view.
    """
    # a counting sort of the pixels by group
    end = horizon(height, pitch, tangent)
    ends, groups, pixels = rays.group_end[c], rays.group[c], rays.pixels[c]
    ends[:] = 0
    for p in range(groups.shape[0]):
        group = _plan(view, v, p, end, height, pitch, tangent)
        groups[p] = group
        if group < GROUPS:
            ends[group] += 1
    first = 0
    for group in range(GROUPS):
        ends[group], first = first, first + ends[group]
    for p in range(groups.shape[0]):
        group = groups[p]
        if group < GROUPS:
            pixels[ends[group]] = p
            ends[group] += 1
        else:
            pixels[first] = p
            first += 1


@inner_kernel
def sky_share(y: Number, down_y: Number, end: Number) -> Any:
    """Fraction of a pixel above the horizon, in the precision of the arguments.

    Args:
        y: of the pixel's centre on the image plane.
        down_y: from there to its lower edge, negative.
        end: y of the horizon.
    """
    none, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    return min(one, max(none, half + half * (y - end) / max(-down_y, np.float32(1e-9))))


@lean_kernel
def _plan(view: View, v: int, p: int, end: float, height: float, pitch: float, tangent: float) -> int:
    """Group of pixel p, as in `Rays.group`."""
    sky = sky_share(view.y[v, p], view.down_y[v, p], end)
    if sky >= 1.0:
        return GROUPS
    x, y = view.x[v, p], view.y[v, p]
    dx, dy = view.down_x[v, p], view.down_y[v, p]
    # along the pixel's height, from -1 at its upper edge to 1 at its lower: where its ground begins
    top = 2 * sky - 1
    middle = (top + 1) / 2
    depth, _, _ = on_ground(x, y + middle * dy, height, pitch, tangent)
    width = 2 * view.half_width[v, p] * tangent * depth
    _, far_forward, far_right = on_ground(x + top * dx, y + top * dy, height, pitch, tangent)
    _, near_forward, near_right = on_ground(x + dx, y + dy, height, pitch, tangent)
    length = math.hypot(far_forward - near_forward, far_right - near_right)
    needed = math.ceil(SAMPLES_PER_SQUARE * min(length / width, 100.0) - 0.2)
    choice = 0
    while choice + 1 < len(SAMPLES) and SAMPLES[choice] < needed:
        choice += 1
    blur = BLUR * max(width, 0.5 * length / SAMPLES[choice])
    finest = 0 if blur <= FINEST_FOR_TEXELS * FINEST_TEXEL_M else 1
    level = min(LEVELS - 1, max(finest, round(math.log2(min(blur, 10.0) / (2 * FINEST_TEXEL_M)))))
    return (LEVELS - 1 if sky > 0 else level) * len(SAMPLES) + choice
