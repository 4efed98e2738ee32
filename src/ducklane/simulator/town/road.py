"""The ground of a map: pictures of its tiles seen from above, at several resolutions (mipmaps).

The stock simulator samples its textures at full resolution, so that they alias and flicker far away, and the
observation then averages them. Here one sample at the right resolution is the average over what a pixel sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.map_format import kind_of, quarter_turns
from ducklane.simulator.town.textures import Image, packed

TILE_TEXELS = 512
"""Texels along a tile's side at the finest level: as many as the stock textures have."""

LEVELS = 6
"""Resolutions of a tile's picture, each half of the one before."""
SEAMLESS = 3
"""First level that is averaged across the edges of tiles. At finer levels, where this would hardly show,
tiles that look the same share one picture, so that the texels fit a processor's cache."""


class Road(NamedTuple):
    """The ground of M maps: tiles, seen from above, at LEVELS resolutions."""

    texels: NDArray[np.uint32]
    """pictures of tiles at all levels, each row by row along z; a byte each for red, green, blue and the
    share of the texel that is road"""
    first: NDArray[np.uint32]
    """(M, LEVELS, J + 2, I + 2) index of the first texel of each tile; a border of empty tiles surrounds the
    map"""
    size: NDArray[np.int32]
    """(M, 2) tiles along z and along x, the border included"""
    tile_size: NDArray[np.float32]
    """(M,) metres"""


class TileLevels(NamedTuple):
    """A tile's picture at LEVELS resolutions, one after the other, each row by row; not turned."""

    texels: NDArray[np.uint32]
    """of the levels below SEAMLESS: as in `Road`"""
    halves: NDArray[np.float32]
    """[pixels, 4] of the others, at twice their resolution, not yet averaged with the tiles around it"""

    def at(self, level: int) -> NDArray[Any]:
        """(side, side) texels, or from level SEAMLESS on (2 * side, 2 * side, 4) pixels."""
        side = TILE_TEXELS >> level
        if level < SEAMLESS:
            return self.texels[_before(0, level) :][: side**2].reshape(side, side)
        return self.halves[4 * _before(SEAMLESS, level) :][: 4 * side**2].reshape(2 * side, 2 * side, 4)


def _before(first: int, level: int) -> int:
    """Texels of the levels from the first to the one before this."""
    return sum((TILE_TEXELS >> before) ** 2 for before in range(first, level))


def bake_tile(picture: Image) -> TileLevels:
    """Shrink a tile's picture; row 0 is the topmost."""
    opaque = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    halves = [_halves(opaque, TILE_TEXELS >> level) for level in range(LEVELS)]
    return TileLevels(
        np.concatenate([_blurred(half).ravel() for half in halves[:SEAMLESS]]),
        np.concatenate([half.reshape(-1, 4) for half in halves[SEAMLESS:]]),
    )


_NO_TILE = TileLevels(
    np.zeros(_before(0, SEAMLESS), np.uint32), np.zeros((4 * _before(SEAMLESS, LEVELS), 4), np.float32)
)


def join_tiles(content: Mapping[str, Any], pictures: Mapping[str, TileLevels]) -> Road:
    """The road of one map.

    Args:
        content: of the map's file, which `check_map` accepts.
        pictures: of its tiles, by kind.
    """
    album = _Album()
    lying, kinds = _kinds(content["tiles"])
    tiles = {"": _NO_TILE, **pictures}
    first = np.zeros((LEVELS, *lying.shape), np.uint32)
    for level in range(LEVELS):
        turned = [np.rot90(tiles[kind].at(level), turns) for kind, turns in kinds]
        if level < SEAMLESS:
            first[level] = np.array([album.add(picture) for picture in turned])[lying]
        else:
            joined = [album.add(tile) for tile in _joined(lying, turned)]
            first[level] = np.array(joined).reshape(lying.shape)
    return Road(
        album.texels(),
        first[None],
        np.array([lying.shape], np.int32),
        np.array([content["tile_size"]], np.float32),
    )


def stack_roads(roads: Sequence[Road]) -> Road:
    """One road of M maps from M of one."""
    album = _Album()
    most = np.max([road.size[0] for road in roads], axis=0)
    first = np.zeros((len(roads), LEVELS, *most), np.uint32)
    for m, road in enumerate(roads):
        rows, columns = road.size[0]
        for level in range(LEVELS):
            starts, which = np.unique(road.first[0, level], return_inverse=True)
            moved = [album.add(road.texels[begin:][: (TILE_TEXELS >> level) ** 2]) for begin in starts]
            first[m, level, :rows, :columns] = np.array(moved)[which].reshape(rows, columns)
    return Road(
        album.texels(),
        first,
        np.concatenate([road.size for road in roads]),
        np.concatenate([road.tile_size for road in roads]),
    )


class _Album:
    """Pictures, one after the other, without duplicates."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._kept: list[NDArray[np.uint32]] = []
        self._end = 0

    def add(self, picture: NDArray[np.uint32]) -> int:
        """Add a picture; return the index of its first texel."""
        key = picture.tobytes()
        if key not in self._first:
            self._first[key] = self._end
            self._kept.append(picture.ravel())
            self._end += picture.size
        return self._first[key]

    def texels(self) -> NDArray[np.uint32]:
        return np.concatenate(self._kept)


def _kinds(rows: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], list[tuple[str, int]]]:
    """The index of each tile's picture, [J + 2, I + 2], and the pictures: kind of tile, quarter turns.

    The first one is empty.
    """
    numbers = {("", 0): 0}
    lying = np.zeros((len(rows) + 2, len(rows[0]) + 2), np.int64)
    for j, row in enumerate(rows):
        for i, tile in enumerate(row):
            # upstream draws tiles turned by half a turn more
            which = kind_of(tile), (quarter_turns(tile) + 2) % 4
            lying[j + 1, i + 1] = numbers.setdefault(which, len(numbers))
    return lying, list(numbers)


def _joined(
    lying: NDArray[np.int64], pictures: Sequence[NDArray[np.float32]]
) -> Iterator[NDArray[np.uint32]]:
    """Pictures of all tiles, row by row, averaged across their edges."""

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
    rows = reduce(np.add, (wide[k : k + height : 2] for k in range(4)))
    squares = reduce(np.add, (rows[:, k : k + width : 2] for k in range(4)))
    return packed(squares / 16)
