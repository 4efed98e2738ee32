"""How a camera samples the ground: from the image plane to points on it, planned once.

A pixel's footprint on the ground is long and narrow far away: several samples cover it, one behind the other,
each as wide as the footprint. How many, and of which texture, is planned once for a camera's height,
pitch and field of view (`aim`), and pixels with equal plans lie together (`Rays`), so that they can be drawn
many at a time.

Ground: metres forward and to the right of the robot's centre of rotation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.view import Ints, Number, View
from ducklane.simulator.town.road import LEVELS, TILE_TEXELS
from ducklane.simulator.world.obstacles import FORWARD_M

GROUND_DEPTH_M = 0.008
"""Of the ground beside the road below the road."""

GROUND_REACH_M = 50.0
"""The ground ends there, and the sky begins."""

FINEST_TEXEL_M = 0.585 / TILE_TEXELS
"""Width of a texel of the finest level on nearly all maps; each averages a square twice as wide."""

SAMPLES = (1, 2, 3, 4, 6, 8)
"""How many a pixel may have: few choices, so that many pixels have the same."""

SAMPLES_PER_SQUARE = 1.25
"""Samples for a footprint as long as it is wide; more follow its length more closely."""

BLUR = 0.8
"""What a texel averages, of a sample's width: samples beside one another share some of it."""

FINEST_FOR_TEXELS = 1.4
"""The finest pictures are read where a sample averages no more of their texels than this. They do not fit a
processor's caches: at 84 x 84 pixels they would bring 1 dB and take half as long again."""

GROUPS = LEVELS * len(SAMPLES)
"""Pixels that are drawn alike: by level, and by the number of samples."""


class Rays(NamedTuple):
    """How C cameras sample the ground."""

    group: Ints
    """(C, P) of each pixel: level * len(SAMPLES) + place in SAMPLES; pixels on the horizon are of the last
    level, and GROUPS stands for sky alone"""
    pixels: Ints
    """(C, P) those that see ground, group by group; then the others"""
    group_end: Ints
    """(C, GROUPS) behind the last pixel of each group"""


def new_rays(cameras: int, pixels: int) -> Rays:
    """Room for the rays of that many cameras."""
    return Rays(
        group=np.zeros((cameras, pixels), np.int32),
        pixels=np.zeros((cameras, pixels), np.int32),
        group_end=np.zeros((cameras, GROUPS), np.int32),
    )


@lean_kernel
def horizon(height: float, pitch: float, tangent: float) -> float:
    """Where on the image plane, upwards, the ground ends."""
    depth = height + GROUND_DEPTH_M
    down, ahead = math.sin(pitch), math.cos(pitch)
    return (GROUND_REACH_M * down - depth * ahead) / (GROUND_REACH_M * ahead + depth * down) / tangent


@lean_kernel
def on_ground(x: float, y: float, height: float, pitch: float, tangent: float) -> tuple[float, float, float]:
    """Where a ray meets the road's plane: (depth, forward, right); depth along the camera's axis."""
    down = math.sin(pitch) - y * tangent * math.cos(pitch)
    depth = height / max(down, 1e-6)
    forward = FORWARD_M + depth * (y * tangent * math.sin(pitch) + math.cos(pitch))
    return depth, forward, depth * x * tangent


@lean_kernel
def aim(view: View, v: int, rays: Rays, c: int, height: float, pitch: float, tangent: float) -> None:
    """Plan how camera `c` samples the ground.

    Args:
        view: of the images.
        v: which of them.
        rays: to be filled.
        c: which camera.
        height: of the camera above the road, metres.
        pitch: downwards, radians.
        tangent: of half the vertical field of view.
    """
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
    """Fraction of a pixel above the horizon, in the precision of its arguments."""
    none, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    return min(one, max(none, half + half * (y - end) / max(-down_y, np.float32(1e-9))))


@lean_kernel
def _plan(view: View, v: int, p: int, end: float, height: float, pitch: float, tangent: float) -> int:
    """Group of a pixel."""
    sky = sky_share(view.y[v, p], view.down_y[v, p], end)
    if sky >= 1.0:
        return GROUPS
    x, y = view.x[v, p], view.y[v, p]
    dx, dy = view.down_x[v, p], view.down_y[v, p]
    top = 2 * sky - 1
    middle = (top + 1) / 2
    depth, _, _ = on_ground(x, y + middle * dy, height, pitch, tangent)
    width = 2 * view.half_width[v, p] * tangent * depth
    _, far_forward, far_right = on_ground(x + top * dx, y + top * dy, height, pitch, tangent)
    _, near_forward, near_right = on_ground(x + dx, y + dy, height, pitch, tangent)
    length = math.hypot(far_forward - near_forward, far_right - near_right)
    wanted = math.ceil(SAMPLES_PER_SQUARE * min(length / width, 100.0) - 0.2)
    choice = 0
    while choice + 1 < len(SAMPLES) and SAMPLES[choice] < wanted:
        choice += 1
    blur = BLUR * max(width, 0.5 * length / SAMPLES[choice])
    finest = 0 if blur <= FINEST_FOR_TEXELS * FINEST_TEXEL_M else 1
    level = min(LEVELS - 1, max(finest, round(math.log2(min(blur, 10.0) / (2 * FINEST_TEXEL_M)))))
    return (LEVELS - 1 if sky > 0 else level) * len(SAMPLES) + choice
