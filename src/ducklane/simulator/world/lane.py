"""Where a pose is on the road: its tile, and the nearest point of the lane it heads along.

Lanes are cubic Bezier curves, one or more per tile. The functions follow gym-duckietown's
`Simulator.closest_curve_point` and `get_lane_pos2`, and `bezier_point`, `bezier_tangent` and `bezier_closest`
of its graphics.py. Frame: that of `State`, metres and radians, heading (cos a, -sin a) in (x, z).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.simulator.town.layout import Floats, Layout

_HALVINGS = 8
"""as in `bezier_closest`: the curve's parameter is exact to 1/512"""

Four = tuple[float, float, float, float]
"""one coordinate, x or z, of a lane's four control points"""


@lean_kernel
def on_road(tiles: NDArray[Any], tile_size: Floats, m: int, x: float, z: float) -> bool:
    """Whether (x, z) is on a drivable tile of map m; `tiles` and `tile_size` are those of `Layout`."""
    i, j = math.floor(x / tile_size[m]), math.floor(z / tile_size[m])
    inside = 0 <= i < tiles.shape[2] and 0 <= j < tiles.shape[1]
    return inside and tiles[m, j, i].drivable


@lean_kernel
def lane_point(
    layout: Layout, m: int, x: float, z: float, angle: float
) -> tuple[bool, float, float, float, float]:
    """The point of the lane that is nearest to (x, z).

    Of the tile's lanes, the one whose direction from start to end has the largest dot product with the
    heading is taken. Upstream divides these directions by one common norm, so a longer lane has the
    advantage.

    Returns:
        whether there is a lane, (x, z) of the point, and (x, z) of the lane's unit direction there.
    """
    if not on_road(layout.tiles, layout.tile_size, m, x, z):
        return False, np.nan, np.nan, np.nan, np.nan
    i, j = math.floor(x / layout.tile_size[m]), math.floor(z / layout.tile_size[m])
    tile = layout.tiles[m, j, i]
    curve = _best_curve(tile.curve_headings, tile.curve_count, angle)
    xs, zs = _control_points(tile.curves, curve)
    t = _nearest(xs, zs, x, z)
    along_x, along_z = _slope(xs, t), _slope(zs, t)
    length = math.sqrt(along_x * along_x + along_z * along_z)
    return True, _along(xs, t), _along(zs, t), along_x / length, along_z / length


@lean_kernel
def lane_position(layout: Layout, m: int, x: float, z: float, angle: float) -> tuple[float, float, float]:
    """Position in the lane: (distance, angle, cosine of the angle) as in `State`; NaN outside any lane.

    Distance and angle are positive to the right of the lane: this is what upstream's `get_lane_pos2`
    computes, although its comments claim the opposite.
    """
    found, point_x, point_z, along_x, along_z = lane_point(layout, m, x, z, angle)
    if not found:
        return np.nan, np.nan, np.nan
    heading_x, heading_z = math.cos(angle), -math.sin(angle)
    right_x, right_z = -along_z, along_x
    dot = min(max(heading_x * along_x + heading_z * along_z, -1.0), 1.0)
    distance = (x - point_x) * right_x + (z - point_z) * right_z
    # acos gives the size of the angle only
    turn = math.acos(dot)
    if heading_x * right_x + heading_z * right_z < 0:
        turn = -turn
    return distance, turn, dot


@lean_kernel
def lane_ahead(
    layout: Layout, m: int, x: float, z: float, angle: float, step_m: float, directions: Floats
) -> None:
    """How the lane turns ahead of a pose; the lane is the one `lane_point` finds.

    Each step goes straight along the lane's direction and then back to the nearest point of the lane.

    Args:
        layout: the maps.
        m: the map.
        x, z, angle: the pose.
        step_m: metres from one point of the lane to the next.
        directions: (points, 2), output: cosine and sine of the angle, positive to the right, by which the
            lane has turned after one step, two steps and so on from the point nearest to the pose. All 0
            outside any lane. A lane that ends is continued straight.
    """
    directions[:] = 0.0
    found, x, z, first_x, first_z = lane_point(layout, m, x, z, angle)
    along_x, along_z = first_x, first_z
    for ahead in range(len(directions) if found else 0):
        x, z = x + step_m * along_x, z + step_m * along_z
        found, next_x, next_z, next_along_x, next_along_z = lane_point(
            layout, m, x, z, math.atan2(-along_z, along_x)
        )
        if found:
            x, z, along_x, along_z = next_x, next_z, next_along_x, next_along_z
        directions[ahead, 0] = first_x * along_x + first_z * along_z
        directions[ahead, 1] = first_x * along_z - first_z * along_x


@lean_kernel
def _best_curve(headings: Floats, count: int, angle: float) -> int:
    heading_x, heading_z = math.cos(angle), -math.sin(angle)
    best, best_dot = 0, -np.inf
    for curve in range(count):
        dot = headings[curve, 0] * heading_x + headings[curve, 1] * heading_z
        if dot > best_dot:
            best, best_dot = curve, dot
    return best


@lean_kernel
def _control_points(curves: Floats, curve: int) -> tuple[Four, Four]:
    xs = (
        curves[curve, 0, 0],
        curves[curve, 1, 0],
        curves[curve, 2, 0],
        curves[curve, 3, 0],
    )
    zs = (
        curves[curve, 0, 1],
        curves[curve, 1, 1],
        curves[curve, 2, 1],
        curves[curve, 3, 1],
    )
    return xs, zs


@lean_kernel
def _nearest(xs: Four, zs: Four, x: float, z: float) -> float:
    """Parameter in [0, 1] of the curve's point nearest to (x, z), by bisection.

    Each round keeps the half whose end is nearer. Upstream's method: it need not find the true minimum.
    """
    low, high = 0.0, 1.0
    low_distance, high_distance = _distance(xs, zs, low, x, z), _distance(xs, zs, high, x, z)
    for _ in range(_HALVINGS):
        middle = (low + high) * 0.5
        distance = _distance(xs, zs, middle, x, z)
        if low_distance < high_distance:
            high, high_distance = middle, distance
        else:
            low, low_distance = middle, distance
    return (low + high) * 0.5


@lean_kernel
def _distance(xs: Four, zs: Four, t: float, x: float, z: float) -> float:
    dx, dz = _along(xs, t) - x, _along(zs, t) - z
    # upstream compares distances, which may round to the same number where their squares do not
    return math.sqrt(dx * dx + dz * dz)


@lean_kernel
def _along(p: Four, t: float) -> float:
    """B(t) = (1-t)^3 P0 + 3t (1-t)^2 P1 + 3t^2 (1-t) P2 + t^3 P3"""
    u = 1.0 - t
    return u * u * u * p[0] + 3.0 * t * (u * u) * p[1] + 3.0 * (t * t) * u * p[2] + t * t * t * p[3]


@lean_kernel
def _slope(p: Four, t: float) -> float:
    """B'(t) = 3(1-t)^2 (P1-P0) + 6(1-t)t (P2-P1) + 3t^2 (P3-P2)"""
    u = 1.0 - t
    return 3.0 * (u * u) * (p[1] - p[0]) + 6.0 * u * t * (p[2] - p[1]) + 3.0 * (t * t) * (p[3] - p[2])
