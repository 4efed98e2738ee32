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
from ducklane.simulator.town.textures import COLORS, Image, in_palette, packed

TILE_TEXELS = 512
"""Texels along a tile's side at the finest level: as many as the stock textures have."""
TILE_BITS = TILE_TEXELS.bit_length() - 1
"""Their log2: in kernels, shifts and masks take the place of divisions."""

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


class FullTiles(NamedTuple):
    """The tiles of M maps at full resolution, as the stock simulator has them; colours as in `Road`."""

    texels: NDArray[np.uint32]
    """pictures of tiles, one after the other, each row by row along z"""
    first: NDArray[np.uint32]
    """(M, J + 2, I + 2) index of each tile's first texel, the border of empty tiles included"""


NO_TILES = FullTiles(np.zeros(0, np.uint32), np.zeros((0, 0, 0), np.uint32))
"""For those who draw no exact pictures."""


class TileLevels(NamedTuple):
    """A tile's picture at LEVELS resolutions, one after the other, each row by row; not turned."""

    texels: NDArray[np.uint8]
    """of the levels below SEAMLESS: as in `Road`"""
    colors: NDArray[np.uint32]
    """their palette"""
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
    opaque = _opaque(picture)
    halves = [_halves(opaque, TILE_TEXELS >> level) for level in range(LEVELS)]
    colors, texels = in_palette([_blurred(half) for half in halves[:SEAMLESS]])
    return TileLevels(
        np.concatenate([level.ravel() for level in texels]),
        colors,
        np.concatenate([half.reshape(-1, 4) for half in halves[SEAMLESS:]]),
    )


_NO_TILE = TileLevels(
    np.zeros(_before(0, SEAMLESS), np.uint8),
    np.zeros(COLORS, np.uint32),
    np.zeros((4 * _before(SEAMLESS, LEVELS), 4), np.float32),
)


class Whole(NamedTuple):
    """A whole map at the levels from SEAMLESS on, one after the other, each row by row."""

    texels: NDArray[np.uint8]
    colors: NDArray[np.uint32]
    """their palette"""


def bake_whole(content: Mapping[str, Any], pictures: Mapping[str, TileLevels]) -> Whole:
    """Join a map's tiles, at the resolutions at which they are averaged across their edges.

    Args:
        content: of the map's file, which `check_map` accepts.
        pictures: of its tiles, by kind.
    """
    lying, kinds = _kinds(content["tiles"])
    tiles = {"": _NO_TILE, **pictures}
    levels = []
    for level in range(SEAMLESS, LEVELS):
        turned = [np.rot90(tiles[kind].at(level), turns) for kind, turns in kinds]
        levels.append(np.vstack(list(_joined(lying, turned))))
    colors, texels = in_palette(levels)
    return Whole(np.concatenate([level.ravel() for level in texels]), colors)


def join_tiles(content: Mapping[str, Any], pictures: Mapping[str, TileLevels], whole: Whole) -> Road:
    """The road of one map.

    Args:
        content: of the map's file, which `check_map` accepts.
        pictures: of its tiles, by kind.
        whole: what `bake_whole` makes of them.
    """
    texels, colors = _Album(np.uint8), _Album(np.uint32)
    lying, kinds = _kinds(content["tiles"])
    tiles = {"": _NO_TILE, **pictures}
    first = [
        np.array([texels.add(np.rot90(tiles[kind].at(level), turns)) for kind, turns in kinds])[lying]
        for level in range(SEAMLESS)
    ]
    palette = np.array([colors.add(tiles[kind].colors) for kind, _ in kinds])[lying]
    begin = texels.add(whole.texels)
    whole_palette = colors.add(whole.colors)
    return Road(
        texels=texels.joined(),
        colors=colors.joined(),
        first=np.array([first], np.uint32),
        palette=palette[None].astype(np.uint32),
        whole=np.array(
            [[begin + lying.size * _before(SEAMLESS, level) for level in range(SEAMLESS, LEVELS)]], np.uint32
        ),
        whole_palette=np.array([whole_palette], np.uint32),
        size=np.array([lying.shape], np.int32),
        tile_size=np.array([content["tile_size"]], np.float32),
    )


def full_tiles(contents: Sequence[Mapping[str, Any]], pictures: Mapping[str, Image]) -> FullTiles:
    """The tiles of some maps at full resolution.

    Args:
        contents: of the maps' files, which `check_map` accepts.
        pictures: of their tiles, by kind.
    """
    texels = _Album(np.uint32)
    opaque = {kind: packed(_halves(_opaque(picture), TILE_TEXELS // 2)) for kind, picture in pictures.items()}
    opaque[""] = np.zeros((TILE_TEXELS, TILE_TEXELS), np.uint32)
    laid = [_kinds(content["tiles"]) for content in contents]
    first = np.zeros((len(laid), *np.max([lying.shape for lying, _ in laid], axis=0)), np.uint32)
    for of_map, (lying, kinds) in zip(first, laid, strict=True):
        found = [texels.add(np.rot90(opaque[kind], turns)) for kind, turns in kinds]
        of_map[: lying.shape[0], : lying.shape[1]] = np.array(found)[lying]
    return FullTiles(texels.joined(), first)


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
    """The picture of each row of tiles, averaged across their edges."""

    def line(numbers: NDArray[np.int64], rows: slice) -> NDArray[np.float32]:
        return np.concatenate([pictures[number][rows] for number in numbers], axis=1)

    around = np.pad(lying, ((1, 1), (0, 0)))
    # one row at a time: a large map as a whole takes gigabytes
    for above, row, below in zip(around, around[1:], around[2:], strict=False):
        parts = line(above, slice(-1, None)), line(row, slice(None)), line(below, slice(1))
        yield _averaged(np.pad(np.concatenate(parts), ((0, 0), (1, 1), (0, 0))))


def _opaque(picture: Image) -> Image:
    """With a fourth channel: all of it is road."""
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])


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
