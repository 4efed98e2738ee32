"""The real camera's wide-angle lens, as gym-duckietown applies it to its pictures (its distortion.py).

OpenCV's model maps a pixel of the rectified picture, without the lens, to the distorted one. The stock
simulator needs the inverse, which it computes numerically in loops over pixels; here arrays give the same
result to the last bit.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Lens(NamedTuple):
    """OpenCV's pinhole camera with radial and tangential distortion, for frames of 640 x 480 pixels.

    https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html
    """

    matrix: NDArray[np.float64]
    """(3, 3) focal lengths and principal point, pixels"""
    coefficients: NDArray[np.float64]
    """(1, 5): k1, k2, p1, p2, k3"""


DUCKIEBOT_LENS = Lens(
    np.array(
        [[305.5718893575089, 0, 303.0797142544728], [0, 308.8338858195428, 231.8845403702499], [0, 0, 1]]
    ),
    np.array([[-0.2, 0.0305, 0.0005859930422629722, -0.0006697840226199427, 0]]),
)
"""The lens of gym-duckietown's `Distortion`."""


def random_lens(generator: np.random.Generator) -> Lens:
    """A lens like the Duckiebot's, each number off by up to 5 %, the ranges of the stock `camera_rand`."""
    matrix, coefficients = (part * generator.uniform(0.95, 1.05, part.shape) for part in DUCKIEBOT_LENS)
    matrix[2, 2] = 1.0
    return Lens(matrix, coefficients)


def inverse_maps(lens: Lens, height: int, width: int) -> tuple[Floats, Floats]:
    """gym-duckietown's `Distortion.rmapx` and `rmapy`.

    Returns:
        (column, row), float32 [height, width]: which rectified pixel each pixel of the distorted frame shows.
    """
    straight = straightened(lens, height, width)
    bent_x, bent_y = cv2.initUndistortRectifyMap(
        cameraMatrix=lens.matrix,
        distCoeffs=lens.coefficients,
        R=np.eye(3),
        newCameraMatrix=straight,
        size=(width, height),
        m1type=cv2.CV_32FC1,
    )
    return inverted(np.asarray(bent_x, np.float32), np.asarray(bent_y, np.float32))


def inverted(bent_x: Floats, bent_y: Floats) -> tuple[Floats, Floats]:
    """gym-duckietown's `Distortion._invert_map`; returns what `inverse_maps` does.

    Args:
        bent_x, bent_y: float32 [height, width], distorted column and row of each rectified pixel.
    """
    columns, rows = _scattered(bent_x, bent_y)
    _fill_holes(columns, rows)
    return columns, rows


def straightened(lens: Lens, height: int, width: int) -> NDArray[np.float64]:
    """Camera matrix (3, 3) of the rectified frame; alpha=0 keeps only pixels the distorted frame covers."""
    matrix, _ = cv2.getOptimalNewCameraMatrix(
        cameraMatrix=lens.matrix, distCoeffs=lens.coefficients, imageSize=(width, height), alpha=0
    )
    return np.asarray(matrix, np.float64)


_SPREAD = (
    (-1, -1, 7),
    (-1, 0, 10),
    (-1, 1, 7),
    (0, -1, 10),
    (0, 0, 20),
    (0, 1, 10),
    (1, -1, 7),
    (1, 0, 10),
    (1, 1, 7),
)
"""(down, right, weight) of the pixels over which upstream spreads each moved pixel."""


def _scattered(bent_x: Floats, bent_y: Floats) -> tuple[Floats, Floats]:
    """Weighted means of the columns and rows that land on each pixel; NaN where none does."""
    height, width = bent_x.shape
    row, column = np.indices((height, width), dtype=np.int32)
    to_row = np.clip(bent_y.astype(np.int32), 2, height - 2)
    to_column = np.clip(bent_x.astype(np.int32), 2, width - 2)
    total = np.zeros((height, width), np.float32)
    columns, rows = total.copy(), total.copy()
    for down, right, weight in _SPREAD:
        # `+=` with repeated indices counts the last of them only; upstream relies on numpy in the same way
        to = (to_row + down, to_column + right)
        total[to] += weight
        columns[to] += weight * column
        rows[to] += weight * row
    empty = total == 0
    with np.errstate(invalid="ignore"):
        columns, rows = columns / total, rows / total
    columns[empty] = rows[empty] = np.nan
    return columns, rows


_HOLE_REACH = 2
# Upstream's offsets run from -3 to 1, not from -2 to 2. The sort is stable, so their order is upstream's too.
_NEARBY = sorted(
    (
        (down, right)
        for down, right in itertools.product(range(-_HOLE_REACH - 1, _HOLE_REACH), repeat=2)
        if math.hypot(down, right) <= _HOLE_REACH
    ),
    key=lambda offset: math.hypot(*offset),
)


def _fill_holes(columns: Floats, rows: Floats) -> None:
    """Fill each NaN with the value of a neighbour, in upstream's order, on which the result depends."""
    height, width = columns.shape
    # built like upstream's set, so that iterating over it gives upstream's order
    holes = set(zip(*(places.tolist() for places in np.nonzero(np.isnan(columns))), strict=True))
    while holes:
        before = len(holes)
        for i, j in list(holes):
            for down, right in _NEARBY:
                u, v = i + down, j + right
                if 0 <= u < height and 0 <= v < width and (u, v) not in holes:
                    columns[i, j], rows[i, j] = columns[u, v], rows[u, v]
                    holes.remove((i, j))
                    break
        if len(holes) == before:
            return
