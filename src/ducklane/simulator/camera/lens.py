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

from ducklane.kernel import inner_kernel, lean_kernel

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
    return inverted(*maps(lens, height, width))


def maps(lens: Lens, height: int, width: int) -> tuple[Floats, Floats]:
    """gym-duckietown's `Distortion.mapx` and `mapy`.

    Returns:
        (column, row), float32 [height, width]: where on the distorted frame each rectified pixel belongs.
    """
    columns, rows = cv2.initUndistortRectifyMap(
        cameraMatrix=lens.matrix,
        distCoeffs=lens.coefficients,
        R=np.eye(3),
        newCameraMatrix=straightened(lens, height, width),
        size=(width, height),
        m1type=cv2.CV_32FC1,
    )
    return np.asarray(columns, np.float32), np.asarray(rows, np.float32)


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


_SPREAD = np.array(
    [
        (-1, -1, 7),
        (-1, 0, 10),
        (-1, 1, 7),
        (0, -1, 10),
        (0, 0, 20),
        (0, 1, 10),
        (1, -1, 7),
        (1, 0, 10),
        (1, 1, 7),
    ]
)
"""(down, right, weight) of the pixels over which upstream spreads each moved pixel."""


def _scattered(bent_x: Floats, bent_y: Floats) -> tuple[Floats, Floats]:
    """Weighted means of the columns and rows that land on each pixel; NaN where none does."""
    landed = np.full((2, *bent_x.shape), -1, np.int32)
    columns, rows = np.empty_like(bent_x), np.empty_like(bent_y)
    _land(bent_x, bent_y, landed)
    _spread(landed, _SPREAD, columns, rows)
    return columns, rows


@lean_kernel
def _land(bent_x: Floats, bent_y: Floats, landed: NDArray[np.int32]) -> None:
    """Write the row and the column of the last pixel that lands on each.

    Upstream adds to an array with repeated indices, of which numpy counts the last only.
    """
    height, width = bent_x.shape
    for i in range(height):
        for j in range(width):
            to_row = min(max(np.int32(bent_y[i, j]), 2), height - 2)
            to_column = min(max(np.int32(bent_x[i, j]), 2), width - 2)
            landed[0, to_row, to_column] = i
            landed[1, to_row, to_column] = j


@lean_kernel
def _spread(landed: NDArray[np.int32], spread: NDArray[np.int64], columns: Floats, rows: Floats) -> None:
    height, width = columns.shape
    for i in range(height):
        for j in range(width):
            total, column, row = 0, 0, 0
            for n in range(len(spread)):
                u, v, weight = i - spread[n, 0], j - spread[n, 1], spread[n, 2]
                if 0 <= u < height and 0 <= v < width and landed[0, u, v] >= 0:
                    total += weight
                    row += weight * landed[0, u, v]
                    column += weight * landed[1, u, v]
            columns[i, j], rows[i, j] = np.nan, np.nan
            if total > 0:
                columns[i, j] = np.float32(column) / np.float32(total)
                rows[i, j] = np.float32(row) / np.float32(total)


_HOLE_REACH = 2
# Upstream's offsets run from -3 to 1, not from -2 to 2. The sort is stable, so their order is upstream's too.
_NEARBY = np.array(
    sorted(
        (
            (down, right)
            for down, right in itertools.product(range(-_HOLE_REACH - 1, _HOLE_REACH), repeat=2)
            if math.hypot(down, right) <= _HOLE_REACH
        ),
        key=lambda offset: math.hypot(*offset),
    )
)


def _fill_holes(columns: Floats, rows: Floats) -> None:
    """Fill each NaN with the value of a neighbour, in upstream's order, on which the result depends."""
    # built like upstream's set, so that iterating over it gives upstream's order; what upstream removes from
    # its set in the meantime does not change the order of the others
    holes = set(zip(*(axis.tolist() for axis in np.nonzero(np.isnan(columns))), strict=True))
    places = np.fromiter(itertools.chain.from_iterable(holes), np.int64).reshape(-1, 2)
    _fill(places, _NEARBY, columns, rows)


@lean_kernel
def _fill(holes: NDArray[np.int64], nearby: NDArray[np.int64], columns: Floats, rows: Floats) -> None:
    """Fill these places, (row, column) each, [H, 2], again and again until no more can be."""
    left, before = len(holes), len(holes) + 1
    while left < before:
        before, left = left, 0
        for k in range(before):
            i, j = holes[k, 0], holes[k, 1]
            if not _filled(i, j, nearby, columns, rows):
                holes[left, 0], holes[left, 1] = i, j
                left += 1


@inner_kernel
def _filled(i: int, j: int, nearby: NDArray[np.int64], columns: Floats, rows: Floats) -> bool:
    """Copy the first of the places nearby that is no hole itself; tell whether there is one."""
    for n in range(len(nearby)):
        u, v = i + nearby[n, 0], j + nearby[n, 1]
        if 0 <= u < columns.shape[0] and 0 <= v < columns.shape[1] and not math.isnan(columns[u, v]):
            columns[i, j], rows[i, j] = columns[u, v], rows[u, v]
            return True
    return False
