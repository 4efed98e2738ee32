"""How a camera samples the ground, planned once per camera.

Each pixel's footprint is cut into equal parts, on the image; what is in the middle of each is read from the
tiles' pictures at one of several resolutions (`filtering`). Where these points lie from the robot depends
only on the camera's height, pitch and field of view. They are projected once (`aim`), and pixels with equal
plans are stored together (`Rays`) to be drawn many at a time.

Ground: metres forward and to the right of the robot's centre of rotation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel
from ducklane.simulator.camera.filtering import CHOICES, FINEST_TEXEL_M, SIZES, SMALLEST, STEP, best_plans
from ducklane.simulator.camera.view import Floats, Ints, Number, View
from ducklane.simulator.duckiebot import FORWARD_M
from ducklane.simulator.town.road import LEVELS

GROUND_DEPTH_M = 0.008
"""How far the ground beside the road lies below the road: upstream's quad at -0.8, scaled by 0.01."""

GROUND_REACH_M = 50.0
"""Where the ground ends and the sky begins: half the side of upstream's quad, here around the camera."""

SAMPLES = tuple(along * across for along, across in CHOICES)
"""Numbers of samples a pixel may have."""

GROUPS = LEVELS * len(CHOICES)
"""Groups of pixels drawn in the same way: by level and choice of samples."""


PARTS = 8
"""Places of samples that are distinguished along a texel's side. 16 bits then reach 4.7 m at the finest
level, twice as far as its texels are read in the largest pictures, and further at the others."""

Places = NDArray[np.float32] | NDArray[np.int16]


class Rays(NamedTuple):
    """How C cameras sample the ground through P pixels, S samples at most."""

    plans: Ints
    """as `filtering.best_plans` gives them, the same for all cameras"""
    group: Ints
    """(C, P) group of each pixel: level * len(CHOICES) + index in CHOICES; GROUPS means nothing but sky"""
    pixels: Ints
    """(C, P) pixels that see ground, group by group, then the others"""
    group_end: Ints
    """(C, GROUPS) index in `pixels` after the last pixel of each group"""
    sky: Floats
    """(C, P) share of each pixel that is above the horizon, in the order of `pixels`"""
    meets_sky: NDArray[np.bool_]
    """(C, GROUPS) whether any of the group's pixels does"""
    ahead: Places
    """(C, S) forward places of samples: group by group, in each first one sample of all its pixels, then the
    next"""
    right: Places
    """(C, S) to the right, likewise"""
    unit: NDArray[np.float64]
    """(LEVELS,) metres of 1 in `ahead` and `right`; 0: they are in metres, not whole numbers"""


def new_rays(cameras: int, pixels: int, compact: bool) -> Rays:
    """Memory for the rays of this many cameras; what is never written takes up none.

    Args:
        cameras: C.
        pixels: P.
        compact: round the samples' places to a fraction of a texel. Rays that all robots share stay in a
            processor's cache; each robot's own come from the memory, half as many bytes in less time.
    """
    samples = pixels * max(SAMPLES)
    places: type[np.generic] = np.int16 if compact else np.float32
    return Rays(
        plans=best_plans(),
        group=np.zeros((cameras, pixels), np.int32),
        pixels=np.zeros((cameras, pixels), np.int32),
        group_end=np.zeros((cameras, GROUPS), np.int32),
        sky=np.zeros((cameras, pixels), np.float32),
        meets_sky=np.zeros((cameras, GROUPS), np.bool_),
        ahead=np.zeros((cameras, samples), places),
        right=np.zeros((cameras, samples), places),
        unit=np.ldexp(compact * FINEST_TEXEL_M / PARTS, np.arange(LEVELS)),
    )


class Mount(NamedTuple):
    """How a camera stands above the road, and how widely it sees."""

    height: float
    """above the road, metres"""
    down: float
    """sine of the pitch, downwards"""
    ahead: float
    """cosine of the pitch"""
    tangent: float
    """of half the vertical field of view"""
    horizon: float
    """y on the image plane at which the ground ends: the ray meets the ground GROUND_REACH_M ahead"""


@inner_kernel
def mounted(height: float, pitch: float, tangent: float) -> Mount:
    """The mount of a camera this high, metres, and pitched downwards by so much, radians."""
    depth = height + GROUND_DEPTH_M
    down, ahead = math.sin(pitch), math.cos(pitch)
    end = (GROUND_REACH_M * down - depth * ahead) / (GROUND_REACH_M * ahead + depth * down) / tangent
    return Mount(height, down, ahead, tangent, end)


@inner_kernel
def on_ground(x: float, y: float, mount: Mount) -> tuple[float, float, float]:
    """Where the ray through (x, y) of the image plane meets the road: (depth, forward, right), metres.

    Depth is along the camera's axis. With f, r, u for forward, right and up in the robot's frame, the ray
    through (x, y) has the direction f: cos(pitch) + t y sin(pitch), r: t x,
    u: -(sin(pitch) - t y cos(pitch)), where t is the tangent of half the field of view.
    """
    # metres down per metre of depth
    down = mount.down - y * mount.tangent * mount.ahead
    depth = mount.height / max(down, 1e-6)
    forward = FORWARD_M + depth * (y * mount.tangent * mount.down + mount.ahead)
    return depth, forward, depth * x * mount.tangent


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
    mount = mounted(height, pitch, tangent)
    _sort(view, v, rays, c, mount)
    begin, first = 0, 0
    for group in range(GROUPS):
        behind = rays.group_end[c, group]
        _place(view, v, rays, c, first, behind, begin, group, mount)
        begin, first = begin + (behind - first) * SAMPLES[group % len(CHOICES)], behind


@lean_kernel
def _sort(view: View, v: int, rays: Rays, c: int, mount: Mount) -> None:
    """Sort the pixels by group: a counting sort."""
    ends, groups, pixels = rays.group_end[c], rays.group[c], rays.pixels[c]
    ends[:] = 0
    for p in range(groups.shape[0]):
        group = _plan(view, v, p, rays.plans, mount)
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


@lean_kernel
def _place(
    view: View, v: int, rays: Rays, c: int, first: int, behind: int, begin: int, group: int, mount: Mount
) -> None:
    """Write the places of the samples of one group: pixels [first, behind), samples from `begin` on."""
    along, across = CHOICES[group % len(CHOICES)]
    unit = rays.unit[group // len(CHOICES)]
    rays.meets_sky[c, group] = False
    for k in range(first, behind):
        p = rays.pixels[c, k]
        x, y, dx, dy, sky = below_horizon(view, v, p, mount.horizon)
        rays.sky[c, k] = sky
        rays.meets_sky[c, group] |= sky > 0
        length = max(math.sqrt(dx * dx + dy * dy), 1e-9)
        # a quarter turn from the footprint's length
        side_x, side_y = -dy / length * view.half_width[v, p], dx / length * view.half_width[v, p]
        at = begin + k - first
        for n in range(along):
            ahead = (2 * n + 1) / along - 1
            for m in range(across):
                aside = (2 * m + 1) / across - 1
                _, forward, right = on_ground(
                    x + ahead * dx + aside * side_x, y + ahead * dy + aside * side_y, mount
                )
                rays.ahead[c, at], rays.right[c, at] = _in_units(forward, unit), _in_units(right, unit)
                at += behind - first


@inner_kernel
def _in_units(place: float, unit: float) -> float:
    """Metres in whole units, or as they are if there are none."""
    return math.floor(place / unit + 0.5) if unit > 0 else place


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


@inner_kernel
def below_horizon(view: View, v: int, p: int, end: float) -> tuple[float, float, float, float, float]:
    """The part of pixel p's footprint that is ground, on the image plane.

    Returns:
        x and y of its middle, x and y from there to its lower edge, and the share of the pixel that is sky.
    """
    dx, dy = view.down_x[v, p], view.down_y[v, p]
    sky = sky_share(view.y[v, p], dy, end)
    return view.x[v, p] + sky * dx, view.y[v, p] + sky * dy, (1 - sky) * dx, (1 - sky) * dy, sky


@lean_kernel
def _plan(view: View, v: int, p: int, plans: Ints, mount: Mount) -> int:
    """Group of pixel p, as in `Rays.group`."""
    x, y, dx, dy, sky = below_horizon(view, v, p, mount.horizon)
    if sky >= 1.0:
        return GROUPS
    depth, _, _ = on_ground(x, y, mount)
    _, far_forward, far_right = on_ground(x - dx, y - dy, mount)
    _, near_forward, near_right = on_ground(x + dx, y + dy, mount)
    length = math.hypot(far_forward - near_forward, far_right - near_right)
    return plans[_size(2 * view.half_width[v, p] * mount.tangent * depth), _size(length)]


@inner_kernel
def _size(side_m: float) -> int:
    """Index in `best_plans` of a footprint's side."""
    octaves = math.log2(max(side_m, 1e-6) / (FINEST_TEXEL_M * SMALLEST))
    return min(max(int(octaves / STEP + 0.5), 0), SIZES - 1)
