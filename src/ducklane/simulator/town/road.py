"""What lies on the ground of a map: its tiles seen from above, filtered for pictures of any distance.

The stock simulator draws its textures at one resolution and lets them flicker far away. Here every tile is
kept at several, each averaged from the one before, so that one sample of the right one is the average over
what a pixel sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.textures import Image, packed, read_texture

TILE_TEXELS = 512
"""Along a tile's side, in the finest of its pictures: as many as the stock textures have."""

LEVELS = 6
"""Pictures of a tile, each half as fine as the one before."""
SEAMLESS = 3
"""Levels from this on are averaged across the edges of tiles. In finer ones, where that would hardly be seen,
tiles that look the same share a picture, which keeps the texels few and near to the processor."""


class Road(NamedTuple):
    """What lies on the ground of M maps: tiles, seen from above, at LEVELS resolutions."""

    texels: NDArray[np.uint32]
    """pictures of tiles at all levels, each row by row along z: red, green, blue and how much of it is road,
    a byte each"""
    first: NDArray[np.uint32]
    """(M, LEVELS, J + 2, I + 2) where the picture of each tile begins; around the map lie empty tiles"""
    size: NDArray[np.int32]
    """(M, 2) tiles along z and x, with those around the map"""
    tile_size: NDArray[np.float32]
    """(M,) metres"""


def bake_road(upstream: Any) -> Road:
    """Photograph the tiles of one map.

    Args:
        upstream: gym-duckietown's simulator, freshly reset.
    """
    album = _Album()
    lying, pictures = _kinds(upstream)
    first = np.zeros((LEVELS, *lying.shape), np.uint32)
    for level in range(LEVELS):
        halves = (_halves(picture, TILE_TEXELS >> level) for picture in pictures)
        tiles = _joined(lying, halves) if level >= SEAMLESS else _apart(lying, halves)
        first[level] = np.array([album.add(tile) for tile in tiles]).reshape(lying.shape)
    return Road(
        album.texels(),
        first[None],
        np.array([lying.shape], np.int32),
        np.array([upstream.road_tile_size], np.float32),
    )


def stack_roads(roads: Sequence[Road]) -> Road:
    """One road of M maps from M of one."""
    album = _Album()
    most = np.max([road.size[0] for road in roads], axis=0)
    first = np.zeros((len(roads), LEVELS, *most), np.uint32)
    for m, road in enumerate(roads):
        rows, columns = road.size[0]
        for level in range(LEVELS):
            known, which = np.unique(road.first[0, level], return_inverse=True)
            moved = [album.add(road.texels[begin:][: (TILE_TEXELS >> level) ** 2]) for begin in known]
            first[m, level, :rows, :columns] = np.array(moved)[which].reshape(rows, columns)
    return Road(
        album.texels(),
        first,
        np.concatenate([road.size for road in roads]),
        np.concatenate([road.tile_size for road in roads]),
    )


class _Album:
    """Pictures, one after the other, each kept once."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._kept: list[NDArray[np.uint32]] = []
        self._end = 0

    def add(self, picture: NDArray[np.uint32]) -> int:
        """Where the picture begins."""
        key = picture.tobytes()
        if key not in self._first:
            self._first[key] = self._end
            self._kept.append(picture.ravel())
            self._end += picture.size
        return self._first[key]

    def texels(self) -> NDArray[np.uint32]:
        return np.concatenate(self._kept)


def _kinds(upstream: Any) -> tuple[NDArray[np.int64], list[Image]]:
    """Which picture lies where, [J + 2, I + 2], and the pictures; the first is empty."""
    pictures = [np.zeros((1, 1, 4), np.uint8)]
    known: dict[tuple[int, int], int] = {}
    lying = np.zeros((upstream.grid_height + 2, upstream.grid_width + 2), np.int64)
    for tile in (tile for tile in upstream.grid if tile is not None):
        texture, angle = tile["texture"].tex, tile["angle"]
        if (texture.id, angle) not in known:
            known[texture.id, angle] = len(pictures)
            # texture rows run upwards, and tiles are drawn turned by angle * 90 + 180 degrees
            picture = np.rot90(read_texture(texture)[::-1], angle + 2)
            pictures.append(np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))
        i, j = tile["coords"]
        lying[j + 1, i + 1] = known[texture.id, angle]
    return lying, pictures


def _apart(lying: NDArray[np.int64], halves: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint32]]:
    """Pictures of all tiles, row by row, each averaged by itself."""
    blurred = [_blurred(half) for half in halves]
    return (blurred[number] for number in lying.ravel())


def _joined(lying: NDArray[np.int64], halves: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint32]]:
    """Pictures of all tiles, row by row, averaged with what lies beside them."""
    known = list(halves)

    def line(numbers: NDArray[np.int64], rows: slice) -> NDArray[np.float32]:
        return np.concatenate([known[number][rows] for number in numbers], axis=1)

    around = np.pad(lying, ((1, 1), (0, 0)))
    # a row at a time, for the whole of a large map takes gigabytes
    for above, row, below in zip(around, around[1:], around[2:], strict=False):
        parts = line(above, slice(-1, None)), line(row, slice(None)), line(below, slice(1))
        wide = np.pad(np.concatenate(parts), ((0, 0), (1, 1), (0, 0)))
        yield from np.split(_averaged(wide), lying.shape[1], axis=1)


def _halves(picture: Image, side: int) -> NDArray[np.float32]:
    """(2 * side, 2 * side, 4): a picture at twice the resolution."""
    fine = cv2.resize(picture.astype(np.float32), (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.float32)


def _blurred(halves: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Texels of half the resolution, those at the edge averaged with themselves."""
    return _averaged(np.pad(halves, ((1, 1), (1, 1), (0, 0)), mode="edge"))


def _averaged(wide: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Texels of half the resolution, each the average of a square of two by two and of what lies about it.

    Args:
        wide: the picture, and one more pixel on each side.
    """
    height, width = wide.shape[0] - 2, wide.shape[1] - 2
    rows = np.sum([wide[k : k + height : 2] for k in range(4)], axis=0)
    squares = np.sum([rows[:, k : k + width : 2] for k in range(4)], axis=0)
    return packed(squares / 16)
