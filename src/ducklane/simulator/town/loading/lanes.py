"""The lanes of a tile, where gym-duckietown has them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Lane = tuple[tuple[float, float], ...]

_DOWN: _Lane = ((-0.2, -0.5), (-0.2, -0.25), (-0.2, 0.25), (-0.2, 0.5))
_UP: _Lane = ((0.2, 0.5), (0.2, 0.25), (0.2, -0.25), (0.2, -0.5))
_DOWN_TO_RIGHT: _Lane = ((-0.2, -0.5), (-0.2, 0.0), (0.0, 0.2), (0.5, 0.2))
_DOWN_TO_LEFT: _Lane = ((-0.2, -0.5), (-0.2, -0.2), (-0.3, -0.2), (-0.5, -0.2))

_LANES: dict[str, tuple[_Lane, ...]] = {
    "straight": (_DOWN, _UP),
    "curve_left": (_DOWN_TO_RIGHT, ((0.5, -0.2), (0.3, -0.2), (0.2, -0.3), (0.2, -0.5))),
    "curve_right": (_DOWN_TO_LEFT, ((-0.5, 0.2), (-0.3, 0.2), (0.3, 0.0), (0.2, -0.5))),
    "3way": (
        _DOWN,
        _DOWN_TO_RIGHT,
        _UP,
        ((0.5, -0.2), (0.3, -0.2), (0.2, -0.2), (0.2, -0.5)),
        ((0.2, 0.5), (0.2, 0.2), (0.3, 0.2), (0.5, 0.2)),
        ((0.5, -0.2), (0.3, -0.2), (-0.2, 0.0), (-0.2, 0.5)),
    ),
    "4way": (_DOWN_TO_RIGHT, _DOWN, _DOWN_TO_LEFT),
}
"""Bezier control points (x, z) of each lane in driving direction, in tiles from the middle of a tile that is
not turned; seen from above, with z down the page. A 4-way crossing has its three lanes from each side."""

_ALIASES = {"3way_left": "3way", "3way_right": "3way"}


def lane_curves(kind: str, quarter_turns: int, column: int, row: int, tile_size: float) -> Floats:
    """Bezier control points of a tile's lanes, [lanes, 4, (x, y, z)] in metres, in driving direction.

    Args:
        kind: of a tile with a road.
        quarter_turns: how far the tile is turned anticlockwise.
    """
    lanes = np.array(_LANES[_ALIASES.get(kind, kind)])
    # three dimensions and this order of operations, as in gym-duckietown: else the last bits differ
    points = np.insert(lanes, 1, 0.0, axis=2) * tile_size
    middle = np.array([(column + 0.5) * tile_size, 0, (row + 0.5) * tile_size])
    turns = range(4) if kind == "4way" else (quarter_turns,)
    return np.concatenate([np.matmul(points, _turned(turn)) + middle for turn in turns])


def _turned(quarter_turns: int) -> Floats:
    """The matrix that turns row vectors anticlockwise, seen from above."""
    half = quarter_turns * math.pi / 2 / 2.0
    a, c = math.cos(half), math.sin(half)
    cosine, sine = a * a - c * c, 2 * (a * c)
    return np.array([[cosine, 0, -sine], [0, a * a + c * c, 0], [sine, 0, cosine]])
