"""Arrays that are used again once nobody holds them."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

_KEPT = 4
"""Most arrays that are kept: more than a caller needs who compares one step's images with the next one's."""

_UNUSED = 3
"""References to an array that only `Buffers` holds: in its list, in the loop, and the one that is counted."""


class Buffers:
    """Gives arrays of one shape, each like a new one; or always the same, if the caller brings it.

    The system clears the memory of every large new array, page by page, which takes as long as drawing half
    of a picture.

    Args:
        shape: of the arrays, uint8.
        out: the array to give every time, or None.

    Raises:
        ValueError: `out` does not have this shape and type, or cannot be written in one piece.
    """

    def __init__(self, shape: tuple[int, ...], out: NDArray[np.uint8] | None = None) -> None:
        self._shape = shape
        self._out = None if out is None else _checked(out, shape)
        self._kept: list[NDArray[np.uint8]] = []

    def take(self) -> NDArray[np.uint8]:
        """An array that no one else refers to, nor to a part of it, or `out`; its content is arbitrary."""
        if self._out is not None:
            return self._out
        for array in self._kept:
            if sys.getrefcount(array) == _UNUSED:
                return array
        array = np.empty(self._shape, np.uint8)
        if len(self._kept) < _KEPT:
            self._kept.append(array)
        return array


def _checked(out: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if out.shape != shape or out.dtype != np.uint8 or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(
            f"out must be a writeable, C-contiguous uint8 array {shape}; got {out.dtype} {out.shape}"
        )
    return out
