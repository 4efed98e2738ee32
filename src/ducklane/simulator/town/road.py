"""The ground of a map: pictures of its tiles seen from above, at several resolutions (mipmaps).

The stock simulator samples its textures at full resolution, so that they alias and flicker far away, and the
observation then averages them. Here one sample at the right resolution is the average over what a pixel sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.textures import COLORS, in_palette
from ducklane.simulator.town.textures import Image, packed, read_texture

TILE_TEXELS = 512
"""Texels along a tile's side at the finest level: as many as the stock textures have."""

LEVELS = 6
"""Resolutions of a tile's picture, each half of the one before."""
SEAMLESS = 3
"""First level that is averaged across the edges of tiles: there a map is one picture. At finer levels, where
this would hardly show, tiles that look the same share one picture, so that the texels fit a processor's
cache."""


class Road(NamedTuple):
    """The ground of M maps, seen from above, at LEVELS resolutions, each picture row by row along z.

    A colour has a byte each for red, green, blue and the share of the texel that is road.
    """

    texels: NDArray[np.uint8]
    """pictures of tiles at the levels below SEAMLESS, and of whole maps at the others: numbers of colours in
    their palettes"""
    colors: NDArray[np.uint32]
    """palettes, one after the other"""
    first: NDArray[np.uint32]
    """(M, SEAMLESS, J + 2, I + 2) index of the first texel of each tile; a border of empty tiles surrounds
    the map"""
    palette: NDArray[np.uint32]
    """(M, J + 2, I + 2) index of the first colour of each tile's palette"""
    whole: NDArray[np.uint32]
    """(M, LEVELS - SEAMLESS) index of the first texel of the map's picture, the border included"""
    whole_palette: NDArray[np.uint32]
    """(M,) index of the first colour of these pictures' palette"""
    size: NDArray[np.int32]
    """(M, 2) tiles along z and along x, the border included"""
    tile_size: NDArray[np.float32]
    """(M,) metres"""


def bake_road(upstream: Any) -> Road:
    """Read the pictures of a map's tiles.

    Args:
        upstream: gym-duckietown's simulator, freshly reset.
    """
    lying, pictures = _kinds(upstream)
    texels, colors = _Album(np.uint8), _Album(np.uint32)
    first = np.zeros((SEAMLESS, *lying.shape), np.uint32)
    palette = np.zeros(lying.shape, np.uint32)
    for number, picture in enumerate(pictures):
        levels = [_blurred(_halves(picture, TILE_TEXELS >> level)) for level in range(SEAMLESS)]
        own, indexed = in_palette(levels)
        palette[lying == number] = colors.add(own)
        for level in range(SEAMLESS):
            first[level, lying == number] = texels.add(indexed[level])
    own, indexed = in_palette([_whole(lying, pictures, level) for level in range(SEAMLESS, LEVELS)])
    whole = [texels.add(picture) for picture in indexed]
    whole_palette = colors.add(own)
    return Road(
        texels=texels.joined(),
        colors=colors.joined(),
        first=first[None],
        palette=palette[None],
        whole=np.array([whole], np.uint32),
        whole_palette=np.array([whole_palette], np.uint32),
        size=np.array([lying.shape], np.int32),
        tile_size=np.array([upstream.road_tile_size], np.float32),
    )


def stack_roads(roads: Sequence[Road]) -> Road:
    """One road of M maps from M of one."""
    texels, colors = _Album(np.uint8), _Album(np.uint32)
    most = np.max([road.size[0] for road in roads], axis=0)
    first = np.zeros((len(roads), SEAMLESS, *most), np.uint32)
    palette = np.zeros((len(roads), *most), np.uint32)
    whole = np.zeros((len(roads), LEVELS - SEAMLESS), np.uint32)
    whole_palette = np.zeros(len(roads), np.uint32)
    for m, road in enumerate(roads):
        rows, columns = road.size[0]
        for level in range(LEVELS):
            side = TILE_TEXELS >> level
            if level < SEAMLESS:
                first[m, level, :rows, :columns] = _moved(road.first[0, level], road.texels, side**2, texels)
            else:
                area = side**2 * rows * columns
                whole[m, level - SEAMLESS] = texels.add(road.texels[road.whole[0, level - SEAMLESS] :][:area])
        palette[m, :rows, :columns] = _moved(road.palette[0], road.colors, COLORS, colors)
        whole_palette[m] = colors.add(road.colors[road.whole_palette[0] :][:COLORS])
    return Road(
        texels.joined(),
        colors.joined(),
        first,
        palette,
        whole,
        whole_palette,
        np.concatenate([road.size for road in roads]),
        np.concatenate([road.tile_size for road in roads]),
    )


def _moved(first: NDArray[np.uint32], kept: NDArray[Any], size: int, album: _Album) -> NDArray[Any]:
    """Where an album puts the parts, of this size, that begin at these indices."""
    starts, which = np.unique(first, return_inverse=True)
    return np.array([album.add(kept[start:][:size]) for start in starts])[which].reshape(first.shape)


def _whole(lying: NDArray[np.int64], pictures: Sequence[Image], level: int) -> NDArray[np.uint32]:
    """The picture of a whole map, averaged across the edges of tiles."""
    halves = (_halves(picture, TILE_TEXELS >> level) for picture in pictures)
    tiles = list(_joined(lying, halves))
    columns = lying.shape[1]
    return np.vstack([np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)])


class _Album:
    """Arrays of one type, one after the other, without duplicates."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._first: dict[bytes, int] = {}
        self._kept: list[NDArray[Any]] = [np.zeros(0, dtype)]
        self._end = 0

    def add(self, array: NDArray[Any]) -> int:
        """Add an array; return the index of its first element."""
        key = array.tobytes()
        if key not in self._first:
            self._first[key] = self._end
            self._kept.append(array.ravel())
            self._end += array.size
        return self._first[key]

    def joined(self) -> NDArray[Any]:
        return np.concatenate(self._kept)


def _kinds(upstream: Any) -> tuple[NDArray[np.int64], list[Image]]:
    """The index of each tile's picture, [J + 2, I + 2], and the pictures; the first one is empty."""
    pictures = [np.zeros((1, 1, 4), np.uint8)]
    numbers: dict[tuple[int, int], int] = {}
    lying = np.zeros((upstream.grid_height + 2, upstream.grid_width + 2), np.int64)
    for tile in (tile for tile in upstream.grid if tile is not None):
        texture, angle = tile["texture"].tex, tile["angle"]
        if (texture.id, angle) not in numbers:
            numbers[texture.id, angle] = len(pictures)
            # texture rows run upwards, and upstream draws tiles rotated by angle * 90 + 180 degrees
            picture = np.rot90(read_texture(texture)[::-1], angle + 2)
            pictures.append(np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))
        i, j = tile["coords"]
        lying[j + 1, i + 1] = numbers[texture.id, angle]
    return lying, pictures


def _joined(lying: NDArray[np.int64], halves: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint32]]:
    """Pictures of all tiles, row by row, averaged across their edges."""
    pictures = list(halves)

    def line(numbers: NDArray[np.int64], rows: slice) -> NDArray[np.float32]:
        return np.concatenate([pictures[number][rows] for number in numbers], axis=1)

    around = np.pad(lying, ((1, 1), (0, 0)))
    # one row at a time: a large map as a whole takes gigabytes
    for above, row, below in zip(around, around[1:], around[2:], strict=False):
        parts = line(above, slice(-1, None)), line(row, slice(None)), line(below, slice(1))
        wide = np.pad(np.concatenate(parts), ((0, 0), (1, 1), (0, 0)))
        yield from np.split(_averaged(wide), lying.shape[1], axis=1)


def _halves(picture: Image, side: int) -> NDArray[np.float32]:
    """(2 * side, 2 * side, 4): a picture at twice the resolution."""
    fine = cv2.resize(picture.astype(np.float32), (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.float32)


def _blurred(halves: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Texels of half the resolution; the picture's edge is repeated beyond it."""
    return _averaged(np.pad(halves, ((1, 1), (1, 1), (0, 0)), mode="edge"))


def _averaged(wide: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Texels of half the resolution, each the average of 4 x 4 pixels: its own 2 x 2 and those around them.

    Args:
        wide: the picture, with one more pixel on each side.
    """
    height, width = wide.shape[0] - 2, wide.shape[1] - 2
    rows = np.sum([wide[k : k + height : 2] for k in range(4)], axis=0)
    squares = np.sum([rows[:, k : k + width : 2] for k in range(4)], axis=0)
    return packed(squares / 16)
