"""Fixed start poses, spread evenly over the lanes of a map.

Nothing is random: the same map and settings give the same starts, so that all policies get the same task.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ducklane.errors import UserError

LATERAL_SPREAD_M = 0.04
"""Starts lie at most this far from the lane's centre, as in the AI Driving Olympics."""

PLACES_PER_TILE = 12
"""Minimum number of candidate places per tile length of lane."""

PLACES_PER_START = 4
"""Minimum number of candidate places per start."""

JOINT_TOLERANCE = 0.02
"""Curves whose ends are at most this share of a tile apart belong to one lane."""

CROSSINGS = ("3way", "4way")
"""Prefixes of the kinds of tiles on which several lanes overlap."""

Floats = NDArray[np.float64]
ValidPose = Callable[[float, float, float], bool]
"""Whether a robot may stand at (x, z, angle): metres, metres, radians."""

_CURVE_SAMPLES = 65


class LaneGeometry(Protocol):
    """A map as curves, in the simulator's frame: x to the right, z down the map."""

    @property
    def tile_size(self) -> float:
        """Edge of a tile in metres."""

    @property
    def drivable_tiles(self) -> Sequence[tuple[int, int, str]]:
        """(i, j, kind) of each tile with road."""

    def lane_curves(self, i: int, j: int) -> Floats:
        """(lanes, 4, 2) control points of a tile's lanes as cubic Bezier curves, (x, z) in metres."""


def fixed_starts(
    geometry: LaneGeometry,
    count: int,
    max_angle_rad: float,
    valid: ValidPose,
    *,
    lanes: Sequence[Floats] | None = None,
    map_name: str = "this map",
) -> Floats:
    """Start poses for an evaluation.

    They are evenly spaced along the lanes, by default in both directions, on straight and curved tiles
    alike; crossings, where several lanes overlap, are left out unless there is nothing else. Headings cover
    -max_angle_rad to max_angle_rad relative to the lane, and positions LATERAL_SPREAD_M to either side of its
    centre, in the order of a Hammersley set, so that any number of starts covers both. A pose that is not
    valid is replaced by the nearest valid one along the lanes.

    Args:
        geometry: the map's lanes.
        count: number of starts, at least 1; all together are well spread, the first few of many are not.
        max_angle_rad: largest angle between a start and its lane, radians, >= 0.
        valid: which poses a robot may start from, with any margin included.
        lanes: those of `lanes_of` to start on; all by default.
        map_name: the map's name for the error.

    Returns:
        float64 (count, 3): (x, z, angle) in metres and radians.

    Raises:
        UserError: the map has too few valid places.
        ValueError: `count` or `max_angle_rad` is out of range.
    """
    if count < 1 or not max_angle_rad >= 0:
        raise ValueError(f"need count >= 1 and max_angle_rad >= 0, not {count} and {max_angle_rad}")
    places = _places(lanes_of(geometry) if lanes is None else lanes, geometry.tile_size, count)
    free = places[[valid(*place) for place in places.tolist()]]
    starts = _valid_starts(free, _offsets(count, max_angle_rad), valid)
    if len(starts) < count:
        raise UserError(
            f"evaluate.episodes: {map_name} has room for {len(starts)} valid starts, not {count}; "
            "use fewer episodes, a smaller start_angle_deg or another map"
        )
    return starts


def lanes_of(geometry: LaneGeometry) -> list[Floats]:
    """The lanes of a map, each followed from tile to tile: (curves, 4, 2) control points, metres."""
    return _joined(_curves(geometry), JOINT_TOLERANCE * geometry.tile_size)


def _places(lanes: Sequence[Floats], tile_size: float, count: int) -> Floats:
    """(places, 3) evenly spaced (x, z, angle) on the lanes' centres, lane after lane."""
    if not lanes:
        return np.zeros((0, 3))
    curves = np.concatenate(lanes)
    points, directions = _sampled(curves)
    lengths = np.linalg.norm(np.diff(points, axis=1), axis=2)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    candidates = max(int(PLACES_PER_TILE * along[-1] / tile_size), PLACES_PER_START * count)
    distances = (np.arange(candidates) + 0.5) / candidates * along[-1]
    piece = np.searchsorted(along, distances, side="right") - 1
    curve, sample = np.divmod(piece, lengths.shape[1])
    share = ((distances - along[piece]) / lengths[curve, sample])[:, None]
    xz = (1 - share) * points[curve, sample] + share * points[curve, sample + 1]
    ahead = (1 - share) * directions[curve, sample] + share * directions[curve, sample + 1]
    return np.column_stack([xz, np.arctan2(-ahead[:, 1], ahead[:, 0])])


def _curves(geometry: LaneGeometry) -> Floats:
    """(curves, 4, 2) of all tiles but crossings; of all tiles if there are only crossings."""
    tiles = sorted(geometry.drivable_tiles)
    roads = [tile for tile in tiles if not tile[2].startswith(CROSSINGS)] or tiles
    curves = [geometry.lane_curves(i, j) for i, j, _ in roads]
    return np.concatenate([np.zeros((0, 4, 2)), *curves])


def _joined(curves: Floats, tolerance: float) -> list[Floats]:
    """Join the curves to lanes: each is followed by a curve that begins where it ends, if there is one."""
    starts, ends = curves[:, 0], curves[:, 3]
    remaining = list(range(len(curves)))
    lanes = []
    while remaining:
        lane = deque([remaining.pop(0)])
        while (following := _taken(remaining, starts, ends[lane[-1]], tolerance)) is not None:
            lane.append(following)
        while (previous := _taken(remaining, ends, starts[lane[0]], tolerance)) is not None:
            lane.appendleft(previous)
        lanes.append(curves[list(lane)])
    return lanes


def _taken(remaining: list[int], points: Floats, point: Floats, tolerance: float) -> int | None:
    """Remove and return the curve whose point is nearest to `point`; None if none is near enough."""
    if not remaining:
        return None
    apart = np.linalg.norm(points[remaining] - point, axis=1)
    return remaining.pop(int(apart.argmin())) if apart.min() <= tolerance else None


def _sampled(curves: Floats) -> tuple[Floats, Floats]:
    """(curves, _CURVE_SAMPLES, 2) points along cubic Bezier curves, and their directions there."""
    t = np.linspace(0, 1, _CURVE_SAMPLES)[:, None]
    a, b, c, d = (curves[:, None, corner] for corner in range(4))
    points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    slopes = (1 - t) ** 2 * (b - a) + 2 * (1 - t) * t * (c - b) + t**2 * (d - c)
    return points, slopes / np.linalg.norm(slopes, axis=2, keepdims=True)


def _offsets(count: int, max_angle_rad: float) -> Floats:
    """(count, 2) offsets of the starts from their lanes: metres to the right, radians to the left."""
    nth = range(1, count + 1)
    spread = np.array([[_radical_inverse(k, 3), _radical_inverse(k, 2)] for k in nth])
    return (2 * spread - 1) * [LATERAL_SPREAD_M, max_angle_rad]


def _radical_inverse(k: int, base: int) -> float:
    """The digits of k mirrored at the radix point: for k = 1, 2, 3, ... it fills (0, 1) evenly."""
    inverse, digit = 0.0, 1.0
    while k:
        k, remainder = divmod(k, base)
        digit /= base
        inverse += remainder * digit
    return inverse


def _valid_starts(free: Floats, offsets: Floats, valid: ValidPose) -> Floats:
    """One start for each offset, evenly spaced over the free places; fewer if too few are valid."""
    unused = np.ones(len(free), np.bool_)
    starts = []
    for target, (right, left) in zip(_spread(len(free), len(offsets)), offsets.tolist(), strict=True):
        distance = np.abs(np.arange(len(free)) - target)
        for place in np.argsort(distance, kind="stable"):
            start = _shifted(free[place], right, left)
            if unused[place] and valid(*start):
                unused[place] = False
                starts.append(start)
                break
    return np.array(starts).reshape(-1, 3)


def _spread(places: int, count: int) -> Floats:
    """(count,) evenly spaced targets among `places`."""
    return (np.arange(count) + 0.5) / count * places - 0.5


def _shifted(place: Floats, right: float, left: float) -> tuple[float, float, float]:
    """A place moved `right` metres off its lane and turned `left` radians."""
    x, z, angle = place.tolist()
    return x + right * math.sin(angle), z + right * math.cos(angle), angle + left
