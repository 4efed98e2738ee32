"""From the camera's frame to what the policy sees: crop, area average, colour, stack.

The average is a sum of integers with integer weights, rounded half up. As long as it stays below 2**24
(`settings` rejects sizes for which it would not), every float32 sum is exact, so numpy, torch and ONNX
Runtime give the same bytes whatever the order of additions.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ducklane.settings import ObservationSettings

GRAY_WEIGHTS = (77, 150, 29)
"""ITU-R BT.601 luma in 1/256: gray = (77 R + 150 G + 29 B + 128) // 256."""

Frames = NDArray[np.uint8]


def area_weights(size: int, output_size: int) -> NDArray[np.float32]:
    """Integer weights, shape (output_size, size), that average `size` pixels down to `output_size`.

    Pixel i overlaps output j by weights[j, i]; every row sums to size / gcd(size, output_size).
    """
    # in a common unit of length an input pixel is `target` long, and an output pixel `source`
    unit = math.gcd(size, output_size)
    source, target = size // unit, output_size // unit
    start = np.maximum(np.arange(output_size)[:, None] * source, np.arange(size)[None, :] * target)
    end = np.minimum(
        np.arange(1, output_size + 1)[:, None] * source, np.arange(1, size + 1)[None, :] * target
    )
    return np.maximum(end - start, 0).astype(np.float32)


class FrameTransform:
    """Crops, averages and converts camera frames, one at a time or in batches.

    Args:
        settings: crop, size and colour of observations.
        camera_height, camera_width: size of the camera's frame in pixels.
    """

    def __init__(self, settings: ObservationSettings, camera_height: int, camera_width: int) -> None:
        self.settings = settings
        self.rows = slice(settings.crop_top, camera_height - settings.crop_bottom)
        self.row_weights = area_weights(self.rows.stop - self.rows.start, settings.height)
        self.column_weights = area_weights(camera_width, settings.width)
        self.weight_sum = float(self.row_weights[0].sum() * self.column_weights[0].sum())
        self._block = _even_block(settings, self.rows.stop - self.rows.start, camera_width)

    def __call__(self, frames: Frames) -> Frames:
        """Map uint8 frames [..., camera_height, camera_width, 3] to uint8 [..., height, width, channels]."""
        cropped = frames[..., self.rows, :, :]
        sums = self._weighted(cropped) if self._block is None else _block_sums(cropped, *self._block)
        averaged = np.floor((2 * sums + self.weight_sum) / (2 * self.weight_sum)).astype(np.uint8)
        return self.colored(averaged)

    def _weighted(self, cropped: Frames) -> NDArray[np.float32]:
        """Sums for any size: each pixel is weighted by its overlap with the output."""
        *batch, rows, columns, colors = cropped.shape
        as_floats = cropped.astype(np.float32).reshape(*batch, rows, columns * colors)
        by_row = (self.row_weights @ as_floats).reshape(*batch, self.settings.height, columns, colors)
        return self.column_weights @ by_row

    def colored(self, averaged: Frames) -> Frames:
        """Map averaged RGB images [..., height, width, 3] to RGB or gray, as set: [..., channels]."""
        return averaged if self.settings.color == "rgb" else _gray(averaged)


def _even_block(settings: ObservationSettings, rows: int, columns: int) -> tuple[int, int] | None:
    """(height, width) of the block of pixels averaged to one, or None if blocks are not of whole pixels."""
    if rows % settings.height or columns % settings.width:
        return None
    return rows // settings.height, columns // settings.width


def _block_sums(frames: Frames, height: int, width: int) -> NDArray[np.float32]:
    """Sums over blocks of pixels, in a third of the time that `_weighted` spends on weights mostly 0."""
    *batch, rows, columns, colors = frames.shape
    strips = frames.reshape(*batch, rows // height, height, columns * colors)
    by_row = strips.sum(axis=-2, dtype=np.float32)
    adds_up = np.tile(np.eye(colors, dtype=np.float32), (width, 1))
    return by_row.reshape(*batch, rows // height, columns // width, width * colors) @ adds_up


def _gray(frames: Frames) -> Frames:
    red, green, blue = (weight * frames[..., i].astype(np.uint16) for i, weight in enumerate(GRAY_WEIGHTS))
    # at most 255 * 256 + 128, which fits 16 bits
    return ((red + green + blue + 128) >> 8).astype(np.uint8)[..., None]


class FrameStack:
    """Concatenates the latest frames along the channels, oldest first; the first frame fills the stack."""

    def __init__(self, size: int) -> None:
        self._frames: deque[Frames] = deque(maxlen=size)

    def clear(self) -> None:
        """Forget all frames, as at the start of an episode."""
        self._frames.clear()

    def push(self, frame: Frames) -> Frames:
        """Add a frame [..., height, width, channels]; return a new [..., height, width, channels * size]."""
        missing = (self._frames.maxlen or 1) - len(self._frames)
        self._frames.extend([frame] * max(1, missing))
        return np.concatenate(self._frames, axis=-1)
