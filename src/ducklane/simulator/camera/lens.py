"""The real camera's wide-angle lens, as gym-duckietown puts its pictures through it.

OpenCV says where a pixel of the picture without the lens lies in the one with it. The stock simulator needs
the inverse, which it takes numerically, by loops over pixels; here it is the same to the last bit, in arrays.
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
    """OpenCV's camera model for frames of 640 x 480 pixels."""

    matrix: NDArray[np.float64]
    """(3, 3)"""
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
    """A lens like the Duckiebot's, each number up to 5 % more or less, as the stock `camera_rand` has it."""
    matrix, coefficients = (part * generator.uniform(0.95, 1.05, part.shape) for part in DUCKIEBOT_LENS)
    matrix[2, 2] = 1.0
    return Lens(matrix, coefficients)


def inverse_maps(lens: Lens, height: int, width: int) -> tuple[Floats, Floats]:
    """gym-duckietown's `Distortion.rmapx` and `rmapy`.

    Returns:
        (column, row), float32 [height, width]: the pixel that the lens shows at each pixel of the frame.
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
    """gym-duckietown's `Distortion._invert_map`, as `inverse_maps`.

    Args:
        bent_x, bent_y: float32 [height, width], the column and row with the lens of each pixel without it.
    """
    columns, rows = _scattered(bent_x, bent_y)
    _fill_holes(columns, rows)
    return columns, rows


def straightened(lens: Lens, height: int, width: int) -> NDArray[np.float64]:
    """Camera matrix (3, 3) of the frame without the lens, such that all of it is covered."""
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
"""(down, right, weight) of the pixels that a moved pixel is spread over."""


def _scattered(bent_x: Floats, bent_y: Floats) -> tuple[Floats, Floats]:
    height, width = bent_x.shape
    row, column = np.indices((height, width), dtype=np.int32)
    to_row = np.clip(bent_y.astype(np.int32), 2, height - 2)
    to_column = np.clip(bent_x.astype(np.int32), 2, width - 2)
    total = np.zeros((height, width), np.float32)
    columns, rows = total.copy(), total.copy()
    for down, right, weight in _SPREAD:
        # where several pixels meet the last one counts, as in the original
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
_NEARBY = sorted(
    (
        (down, right)
        for down, right in itertools.product(range(-_HOLE_REACH - 1, _HOLE_REACH), repeat=2)
        if math.hypot(down, right) <= _HOLE_REACH
    ),
    key=lambda offset: math.hypot(*offset),
)


def _fill_holes(columns: Floats, rows: Floats) -> None:
    """Give pixels that nothing was moved to the value of a neighbour, in the original's order."""
    height, width = columns.shape
    # the order in which a set gives its members is the original's too
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
