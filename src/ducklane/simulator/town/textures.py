"""Reads OpenGL's textures, and packs texels into one integer each, as kernels read them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""[rows, columns, 3 or 4]"""


def packed(image: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Round [rows, columns, 4] to bytes, and pack them into [rows, columns], the first in the lowest byte."""
    whole = np.ascontiguousarray(np.floor(image + 0.5).astype(np.uint8))
    return whole.view("<u4")[..., 0].astype(np.uint32)


def read_texture(texture: Any) -> Image:
    """RGB pixels of an OpenGL texture; in row 0 the second texture coordinate is 0."""
    from pyglet import gl

    pixels = np.zeros((texture.height, texture.width, 3), np.uint8)
    gl.glBindTexture(texture.target, texture.id)
    gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
    gl.glGetTexImage(
        texture.target, 0, gl.GL_RGB, gl.GL_UNSIGNED_BYTE, pixels.ctypes.data_as(ctypes.POINTER(gl.GLubyte))
    )
    gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 4)
    return pixels
