"""Pictures as textures: decoded, and packed into one integer a texel, as kernels read them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from ducklane.errors import reason
from ducklane.simulator.town.resources import MapError

Image = NDArray[np.uint8]
"""[rows, columns, 3 or 4]"""


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
