"""Pictures as textures, as kernels read them: decoded, and packed into one integer a texel or a byte.

A byte is the number of a colour in a palette. What a camera sees of the road then fits a processor's caches,
and reading it takes half as long.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from ducklane.errors import reason
from ducklane.simulator.town.resources import MapError

Image = NDArray[np.uint8]
"""[rows, columns, 3 or 4]"""

COLORS = 256
"""In a palette: as many as a byte can number."""

_ROUNDS = 10
"""Of Lloyd's algorithm; more change next to nothing."""

_FINE_BITS = 6
"""Bits a channel to which colours are grouped before a palette is chosen: thousands are left."""

Packed = NDArray[np.uint32]
"""Colours: four bytes each, the first channel in the lowest one."""

Indexed = NDArray[np.uint8]
"""Texels: each the number of a colour in a palette."""


def packed(image: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Round [rows, columns, 4] to bytes, and pack them into [rows, columns], the first in the lowest byte."""
    whole = np.ascontiguousarray(np.floor(image + 0.5).astype(np.uint8))
    return whole.view("<u4")[..., 0].astype(np.uint32)


def decoded(content: bytes, path: Path) -> Image:
    """RGB pixels of a picture, without its transparency; row 0 is the topmost.

    The stock simulator shows the same, except for JPEG pictures whose width is not a multiple of 4: these it
    skews, by how much depends on the image libraries that pyglet finds. Of the packaged ones only the circles
    on a Duckiebot's back are of that kind.

    Args:
        content: of its file.
        path: of its file, for the error.

    Raises:
        MapError: it is not a picture, or damaged.
    """
    try:
        # not with OpenCV, which fills up what is missing of a damaged JPEG picture
        with pillow.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # Pillow raises whatever its decoders run into
        raise MapError(f"{path}: is not a picture ({reason(error)}); save it again as PNG or JPEG") from error


def in_palette(pictures: Sequence[Packed]) -> tuple[Packed, list[Indexed]]:
    """Choose one palette for some pictures.

    Colours are chosen by splitting those that occur where they vary most, then by Lloyd's algorithm
    (k-means). All sums are of whole numbers, so that every machine chooses the same.

    Args:
        pictures: of any shapes.

    Returns:
        the palette, (COLORS,), and the pictures in its colours, in the same shapes.
    """
    flat = np.concatenate([picture.ravel() for picture in pictures])
    occurring, which, counts = np.unique(flat, return_inverse=True, return_counts=True)
    colors = _channels(occurring)
    chosen = colors if len(colors) <= COLORS else _chosen(colors, counts)
    numbers = _nearest(colors, chosen).astype(np.uint8)[which.reshape(-1)]
    ends = np.cumsum([picture.size for picture in pictures])[:-1]
    shaped = [
        part.reshape(picture.shape) for part, picture in zip(np.split(numbers, ends), pictures, strict=True)
    ]
    palette = np.zeros(COLORS, np.uint32)
    palette[: len(chosen)] = np.ascontiguousarray(chosen.astype(np.uint8)).view("<u4")[:, 0]
    return palette, shaped


def _channels(colors: Packed) -> NDArray[np.float64]:
    """(n, 4) channels, whole numbers."""
    return np.ascontiguousarray(colors, "<u4").view(np.uint8).reshape(-1, 4).astype(np.float64)


def _chosen(colors: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """COLORS colours, (COLORS, 4) whole numbers, that stand for all of these."""
    colors, weights = _grouped(colors, counts)
    if len(colors) <= COLORS:
        return colors
    boxes = [np.arange(len(colors))]
    spreads = [_spread(colors, weights)]
    while len(boxes) < COLORS:
        widest = int(np.argmax([spread.max() for spread in spreads]))
        box, axis = boxes.pop(widest), int(spreads.pop(widest).argmax())
        values = colors[box, axis]
        low = values <= (values * weights[box]).sum() / weights[box].sum()
        for part in (box[low], box[~low]):
            boxes.append(part)
            spreads.append(_spread(colors[part], weights[part]))
    number = np.empty(len(colors), np.int64)
    for k, box in enumerate(boxes):
        number[box] = k
    chosen = np.zeros((COLORS, 4))
    for _ in range(_ROUNDS):
        total = np.bincount(number, weights, COLORS)
        sums = [np.bincount(number, weights * colors[:, channel], COLORS) for channel in range(4)]
        # one that stands for nothing any more stays
        chosen = np.where(
            total[:, None] > 0, np.rint(np.stack(sums, 1) / np.maximum(total, 1)[:, None]), chosen
        )
        number = _nearest(colors, chosen)
    return chosen


def _grouped(
    colors: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One colour for all that share their upper bits, and how often these occur."""
    step = 2 ** (8 - _FINE_BITS)
    _, cell = np.unique(colors // step @ (256.0 ** np.arange(4)), return_inverse=True)
    cell = cell.reshape(-1)
    weights = np.bincount(cell, counts).astype(np.float64)
    sums = [np.bincount(cell, counts * colors[:, channel]) for channel in range(4)]
    return np.rint(np.stack(sums, axis=1) / weights[:, None]), weights


def _spread(colors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) sum of squared deviations from the mean, of each channel."""
    total = weights.sum()
    mean = weights @ colors / total
    return np.asarray(np.maximum(weights @ colors**2 / total - mean**2, 0.0) * total)


def _nearest(colors: NDArray[np.float64], chosen: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each colour the number of the chosen one that is nearest."""
    # of |a - b|^2 = a^2 - 2 ab + b^2 the first does not matter
    lengths = (chosen**2).sum(axis=1)
    found = [(lengths - 2 * part @ chosen.T).argmin(axis=1) for part in np.array_split(colors, 64)]
    return np.concatenate(found)
