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
    """Gives arrays of one shape, each like a new one.

    The system clears the memory of every large new array, page by page, which takes as long as drawing half
    of a picture.

    Args:
        shape: of the arrays, uint8.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._kept: list[NDArray[np.uint8]] = []

    def take(self) -> NDArray[np.uint8]:
        """An array that no one else refers to, nor to a part of it; its content is arbitrary."""
        for array in self._kept:
            if sys.getrefcount(array) == _UNUSED:
                return array
        array = np.empty(self._shape, np.uint8)
        if len(self._kept) < _KEPT:
            self._kept.append(array)
        return array
