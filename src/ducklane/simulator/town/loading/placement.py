"""Where the objects of a map stand, and the shapes with which they collide, as gym-duckietown computes them.

Single and double precision mix as they do there: corners and radii then agree to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAFETY = 1.8
"""An object's safety radius, over that of the circle around its mesh."""

_SLOTS = (
    (0.09, 0.035),
    (0.035, 0.09),
    (-0.035, 0.09),
    (-0.09, 0.035),
    (-0.09, -0.035),
    (-0.035, -0.09),
    (0.035, -0.09),
    (0.09, -0.035),
)
"""(x, y) of the eight places around the corner of a tile where signs stand, in tiles; y points up the map."""


class Placed(NamedTuple):
    """An object where it stands; metres and radians."""

    position: tuple[float, float, float]
    """(x, y, z)"""
    angle: float
    scale: float
    """metres per unit of its mesh; np.float32 if it follows from a height"""
    corners: Floats
    """(4, 2) (x, z) of its box on the ground"""
    safety_radius: np.float32
    spawn_radius: float
    """half of the mesh's largest coordinate, scaled"""


def place(thing: Mapping[str, Any], bounds: NDArray[np.float32], content: Mapping[str, Any]) -> Placed:
    """Place an object of a map.

    Args:
        thing: its description in the map's file.
        bounds: (2, 3) smallest and largest coordinates of its mesh.
        content: of the map's file.
    """
    size = content["tile_size"]
    (x, y), turn = _pose(thing, len(content["tiles"][0]), size)
    angle = _wrapped(turn)
    position = (x, 0.0, len(content["tiles"]) * size - y)
    lowest, highest = bounds
    scale = thing["height"] / highest[1] if "height" in thing else thing.get("scale", 1.0)
    far_x, _, far_z = np.max([abs(lowest), abs(highest)], axis=0)
    return Placed(
        position,
        angle,
        scale,
        _corners(position, angle, (lowest * scale, highest * scale)),
        SAFETY * (np.linalg.norm([far_x, far_z]) * scale),
        max(highest) * 0.5 * scale,
    )


def box_axes(corners: Floats) -> Floats:
    """(2, 2) the axes of a box: the eigenvectors of its corners' covariance, one in each row.

    Where a box is square, these depend on rounding: so do the stock simulator's collisions.
    """
    _, vectors = np.linalg.eig(np.cov(corners, rowvar=False, bias=True))
    return vectors.T


def _pose(thing: Mapping[str, Any], columns: int, size: float) -> tuple[Floats, float]:
    """((x, y), angle): y points up the map from its lower edge."""
    turn = np.deg2rad(thing.get("rotate", 0))
    if "pos" in thing:
        column, row = thing["pos"]
        # rows are counted up from the last but one, as if there were as many as columns: see `as_written`
        return np.array([float(column) * size, float(columns - 1 - row) * size]), -turn
    if "pose" in thing:
        return _transform(thing["pose"])
    if "place" in thing:
        (i, j), (offset, turn) = thing["place"]["tile"], _transform(thing["place"]["relative"])
        return np.array([(i + 0.5) * size + offset[0], (j + 0.5) * size + offset[1]]), turn
    (i, j), (x, y) = thing["attach"]["tile"], _SLOTS[thing["attach"]["slot"]]
    return np.array([(x + i) * size, (y + j) * size]), _wrapped(turn)


def _transform(pose: Mapping[str, Any]) -> tuple[Floats, float]:
    content = pose["~SE2Transform"] or {}
    turn = content["theta"] if "theta" in content else np.deg2rad(content.get("theta_deg", 0.0))
    return np.array(content.get("p", [0.0, 0.0]), float), float(turn)


def _wrapped(angle: float) -> float:
    """The same direction within [-pi, pi), by way of its sine and cosine, which costs the last bits."""
    wrapped = np.arctan2(np.sin(angle), np.cos(angle))
    return float(-np.pi if wrapped == np.pi else wrapped)


def _corners(
    position: tuple[float, float, float], angle: float, bounds: tuple[NDArray[Any], NDArray[Any]]
) -> Floats:
    x, _, z = position
    (left, _, near), (right, _, far) = bounds
    sides = [(left, near), (right, near), (right, far), (left, far)]
    return np.array([_turned(along + x, across + z, x, z, angle) for along, across in sides])


def _turned(px: float, pz: float, x: float, z: float, angle: float) -> tuple[float, float]:
    dx, dz = px - x, pz - z
    cosine, sine = math.cos(angle), math.sin(angle)
    return x + (dx * cosine + dz * sine), z + (dz * cosine - dx * sine)
