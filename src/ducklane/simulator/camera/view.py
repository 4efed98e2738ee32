"""The camera's geometry: between the pixels of an image and the image plane, through the lens.

The stock simulator draws a rectified frame, moves its pixels to where the lens would put them, and the
observation then averages blocks of them. Here each block is traced back through the lens once (`View`), so
that only what an observation shows is ever drawn; `Projection` is the opposite way, for objects.

Image plane: at depth 1 along the camera's axis, which its pitch tilts down; x right, y up, in units of the
tangent of half the vertical field of view, so that an undistorted frame spans -1 to 1 in y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.camera.lens import DUCKIEBOT_LENS, Lens, inverse_maps, maps, straightened

Floats = NDArray[np.float32]

Ints = NDArray[np.int32]

Number = float | np.float32

HEIGHT_M = 0.108
"""Of the camera above the road: upstream's CAMERA_FLOOR_DIST."""

PITCH_RAD = math.radians(19.15)
"""Downwards: upstream's CAMERA_ANGLE."""

FIELD_OF_VIEW_RAD = math.radians(75.0)
"""Vertical, of the whole rectified frame: upstream's CAMERA_FOV_Y."""

SUBPIXELS = 3
"""Points along each side of a pixel at which objects are drawn."""


class Blocks(NamedTuple):
    """Which pixels of the camera's frame an image's pixel averages, as weights."""

    first_row: int
    """rows cut off the top of the frame"""
    row_weights: Floats
    """(image height, frame rows used); rows have equal sums"""
    column_weights: Floats
    """(image width, frame width); rows have equal sums"""


def whole_frame(height: int, width: int) -> Blocks:
    """The image is the camera's frame itself."""
    return Blocks(0, np.eye(height, dtype=np.float32), np.eye(width, dtype=np.float32))


def pixels_of(blocks: Blocks) -> Blocks:
    """The image is the part of the camera's frame that these blocks average."""
    return whole_frame(blocks.row_weights.shape[1], blocks.column_weights.shape[1])._replace(
        first_row=blocks.first_row
    )


class View(NamedTuple):
    """Where the pixels of V images lie on the image plane; P = image height * width, row by row."""

    x: Floats
    """(V, P) centre, to the right"""
    y: Floats
    """(V, P) centre, up"""
    half_width: Floats
    """(V, P) distance from the centre to the pixel's right edge"""
    down_x: Floats
    """(V, P) from the centre to the middle of the pixel's lower edge, to the right"""
    down_y: Floats
    """(V, P) the same, up: negative"""


class Projection(NamedTuple):
    """From the image plane to the pixels of V images, through OpenCV's lens model (`objects.project`)."""

    frame_width: Floats
    """(V,) pixels of the camera's frame"""
    frame_height: Floats
    """(V,)"""
    aspect: Floats
    """(V,) width over height"""
    bends: NDArray[np.bool_]
    """(V,) whether there is a lens"""
    straight: Floats
    """(V, 4) fx, fy, cx, cy of the rectified frame, pixels"""
    bent: Floats
    """(V, 4) fx, fy, cx, cy of the distorted frame, pixels"""
    bend: Floats
    """(V, 5) distortion coefficients k1, k2, p1, p2, k3"""
    first_row: Floats
    """(V,) rows of the frame above the image"""
    rows: Floats
    """(V,) rows of the image per row of the frame"""
    columns: Floats
    """(V,) columns of the image per column of the frame"""
    pixel: Floats
    """(V,) larger side of a pixel on the image plane"""
    is_smeared: NDArray[np.bool_]
    """(V, P) whether a pixel lies where the lens sees beyond the rectified frame: upstream's inverse of the
    lens (`_fill_holes`) repeats pixels from elsewhere there"""
    smeared: NDArray[np.int32]
    """(V, Q) indices of those pixels; -1 for none"""
    smeared_at: NDArray[np.int32]
    """(V, Q, 2) row and column of the pixel that each of them roughly repeats; -1 for none"""
    smeared_from: NDArray[np.int32]
    """(V, Q, SUBPIXELS * SUBPIXELS) for each point of a smeared pixel, the point of the image it repeats"""


def view(height: int, width: int, lens: Lens | None, blocks: Blocks) -> View:
    """Trace an image's pixels back through the lens.

    A pixel's footprint is described by its centre, half width and half height, fitted to all frame pixels it
    averages.

    Args:
        height, width: of the camera's frame, pixels.
        lens: of the camera, or None for rectified frames.
        blocks: which of the frame's pixels an image's pixel averages.
    """
    columns, rows = _undistorted(height, width, lens)
    used = slice(blocks.first_row, blocks.first_row + blocks.row_weights.shape[1])
    aspect = width / height
    x = (2 * (columns[used] + 0.5) / width - 1) * aspect
    y = 1 - 2 * (rows[used] + 0.5) / height
    rows_of, columns_of = windows_of(blocks.row_weights), windows_of(blocks.column_weights)
    mean_x, by_row_x, by_column_x = _fitted(x, rows_of, columns_of)
    mean_y, by_row_y, by_column_y = _fitted(y, rows_of, columns_of)
    half_width, down_x, down_y = np.hypot(by_column_x, by_column_y), by_row_x, by_row_y
    # a block of a single pixel of the frame has no slope; half a frame pixel is 1 / height on the image plane
    if len(blocks.column_weights) == width:
        half_width = half_width + 1 / height
    if len(blocks.row_weights) == x.shape[0]:
        down_y = down_y - 1 / height
    parts = (mean_x, mean_y, half_width, down_x, down_y)
    return View(*(part.reshape(1, -1).astype(np.float32) for part in parts))


def projection(height: int, width: int, lens: Lens | None, blocks: Blocks) -> Projection:
    """How points ahead of the camera fall onto the image: the inverse of `view`; same arguments."""
    rows = blocks.row_weights.shape[0] / blocks.row_weights.shape[1]
    columns = blocks.column_weights.shape[0] / blocks.column_weights.shape[1]
    bent, coefficients = DUCKIEBOT_LENS if lens is None else lens
    straight = straightened(Lens(bent, coefficients), height, width)
    mask, smeared, smeared_from = _smeared(height, width, lens, blocks)
    focal = [straight[0, 0], straight[1, 1], straight[0, 2], straight[1, 2]]
    bent_focal = [bent[0, 0], bent[1, 1], bent[0, 2], bent[1, 2]]
    return Projection(
        frame_width=np.array([width], np.float32),
        frame_height=np.array([height], np.float32),
        aspect=np.array([width / height], np.float32),
        bends=np.array([lens is not None]),
        straight=np.array([focal], np.float32),
        bent=np.array([bent_focal], np.float32),
        bend=np.array([coefficients.ravel()], np.float32),
        first_row=np.array([blocks.first_row], np.float32),
        rows=np.array([rows], np.float32),
        columns=np.array([columns], np.float32),
        pixel=np.array([2 / height / min(rows, columns)], np.float32),
        is_smeared=mask[None],
        smeared=smeared[None],
        smeared_at=_pixel_of(smeared_from[:, 0], len(blocks.column_weights))[None],
        smeared_from=smeared_from[None],
    )


Part = TypeVar("Part", View, Projection)


def stack_views(parts: Sequence[Part]) -> Part:
    """One part of V images from V parts of one image each; shorter arrays are padded with -1."""

    def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        most = np.max([array.shape for array in arrays], axis=0)
        return np.concatenate(
            [
                np.pad(array, [(0, more) for more in most - array.shape], constant_values=-1)
                if (most != array.shape).any()
                else array
                for array in arrays
            ]
        )

    return type(parts[0])(*map(joined, zip(*parts, strict=True)))


class Windows(NamedTuple):
    """The pixels, along one side of the frame, that each of B blocks averages: K of them at most."""

    places: NDArray[np.int64]
    """(B, K) indices of the pixels"""
    weights: NDArray[np.float64]
    """(2, B, K) of the block's mean; then of the change over half the block, by linear regression, 0 for a
    block of one pixel"""


def windows_of(weights: Floats) -> Windows:
    """Windows from weights as in `Blocks`, most of which are 0: products of whole matrices take long."""
    used = weights > 0
    length = int(used.sum(axis=1).max())
    first = np.minimum(used.argmax(axis=1), weights.shape[1] - length)
    places = first[:, None] + np.arange(length)
    mean = np.take_along_axis(weights, places, axis=1).astype(np.float64)
    mean /= mean.sum(axis=1, keepdims=True)
    apart = places - (mean * places).sum(axis=1, keepdims=True)
    variance = (mean * apart**2).sum(axis=1, keepdims=True)
    # a uniform distribution's variance is a third of the square of half its width
    scale = np.divide(np.sqrt(3), np.sqrt(variance), out=np.zeros_like(variance), where=variance > 1e-9)
    return Windows(places, np.stack([mean, mean * apart * scale]))


def _fitted(
    values: NDArray[np.float64], rows: Windows, columns: Windows
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the values of each block, and their changes over half its rows and over half its columns."""
    by_rows = np.einsum("sbk,bkw->sbw", rows.weights, values[rows.places])
    mean, by_column = np.einsum("sck,bck->sbc", columns.weights, by_rows[0][:, columns.places])
    by_row = np.einsum("ck,bck->bc", columns.weights[0], by_rows[1][:, columns.places])
    return mean, by_row, by_column


def _undistorted(
    height: int, width: int, lens: Lens | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(column, row), each [height, width]: which rectified pixel each pixel of the frame shows."""
    if lens is None:
        row, column = np.indices((height, width), dtype=np.float64)
        return column, row
    columns, rows = _inverse_maps(lens.matrix.tobytes(), lens.coefficients.tobytes(), height, width)
    # upstream remaps with INTER_NEAREST
    return np.rint(columns).astype(np.float64), np.rint(rows).astype(np.float64)


# `view` and `projection` of one lens need the same maps; keeping those of many lenses would fill the memory
@lru_cache(maxsize=2)
def _inverse_maps(matrix: bytes, coefficients: bytes, height: int, width: int) -> tuple[Floats, Floats]:
    return inverse_maps(
        Lens(np.frombuffer(matrix).reshape(3, 3), np.frombuffer(coefficients).reshape(1, 5)), height, width
    )


_SMEAR_PIXELS = 1.5
"""Error of the numerical inverse of the lens; a pixel farther off than this was filled from elsewhere."""


def _smeared(
    height: int, width: int, lens: Lens | None, blocks: Blocks
) -> tuple[NDArray[np.bool_], Ints, Ints]:
    """`is_smeared`, `smeared` and `smeared_from` of one image."""
    rows, columns = len(blocks.row_weights), len(blocks.column_weights)
    if lens is None:
        nothing = np.zeros((0, SUBPIXELS**2), np.int32)
        return np.zeros(rows * columns, np.bool_), np.zeros(0, np.int32), nothing
    # the frame's pixel under each of the image's points, SUBPIXELS x SUBPIXELS per pixel
    row_scale = blocks.row_weights.shape[1] / (rows * SUBPIXELS)
    column_scale = width / (columns * SUBPIXELS)
    row, column = np.indices((rows * SUBPIXELS, columns * SUBPIXELS))
    frame_row = ((row + 0.5) * row_scale).astype(int) + blocks.first_row
    frame_column = ((column + 0.5) * column_scale).astype(int)
    from_row, from_column = _belonging(lens, height, width, frame_row, frame_column)
    moved = np.hypot(from_row - frame_row, from_column - frame_column) > _SMEAR_PIXELS
    point_row = ((from_row + 0.5 - blocks.first_row) / row_scale).astype(int).clip(0, row.shape[0] - 1)
    point_column = ((from_column + 0.5) / column_scale).astype(int).clip(0, row.shape[1] - 1)
    source = np.where(moved, point_row * row.shape[1] + point_column, row * row.shape[1] + column)

    def by_pixel(points: NDArray[Any]) -> NDArray[Any]:
        apart = points.reshape(rows, SUBPIXELS, columns, SUBPIXELS).transpose(0, 2, 1, 3)
        return apart.reshape(rows * columns, SUBPIXELS**2)

    mask = np.asarray(by_pixel(moved).any(axis=1), np.bool_)
    return mask, np.flatnonzero(mask).astype(np.int32), by_pixel(source)[mask].astype(np.int32)


def _pixel_of(points: Ints, columns: int) -> Ints:
    """(row, column), [Q, 2], of the pixels in which these points of an image lie."""
    row, column = np.divmod(points, columns * SUBPIXELS)
    return np.stack([row, column], axis=-1).astype(np.int32) // SUBPIXELS


def _belonging(
    lens: Lens, height: int, width: int, row: NDArray[np.int64], column: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """(row, column) on the distorted frame where the content of these of its pixels truly belongs.

    OpenCV's exact model applied to what the numerical inverse shows there, half a pixel up and to the left:
    upstream rounds down.
    """
    columns, rows = _undistorted(height, width, lens)
    rectified = rows[row, column].astype(np.int64), columns[row, column].astype(np.int64)
    to_column, to_row = maps(lens, height, width)
    return to_row[rectified] - 0.5, to_column[rectified] - 0.5
