"""Maps as plain arrays: tiles, lanes, and objects at their initial positions.

The numbers are those that the stock simulator computes when it loads a map, to the last bit (see `loading`):
control points of lanes, corners of objects, and the axes of their boxes, which come from an eigenvalue solver
and are arbitrary where a box is square.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPAWN_DISTANCE_M = 0.25
"""Least distance from an object's bounding circle to a start; upstream's MIN_SPAWN_OBJ_DIST."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LANES = 12
"""Largest number of lanes on a tile: those of a 4-way crossing."""

OTHER, DUCKIEBOT, DUCKIE, CHECKERBOARD, TRAFFIC_LIGHT = range(5)
"""Codes of `ObjectRecord.kind`: the kinds that behave differently."""


class ObjectRecord(np.record):  # type: ignore[misc] # numpy declares no types for fields
    """An object of a map; metres and radians.

    numba compiles one array of these far faster than an array per field.
    """

    kind: int
    """`OTHER` or another of the codes"""
    position: Floats
    """(3,) (x, y, z)"""
    angle: float
    corners: Floats
    """(4, 2) (x, z) of its box on the ground"""
    norms: Floats
    """(2, 2) (x, z) of the two axes on which the overlap of its box with others is tested"""
    reach: float
    """distance from its position to the farthest corner"""
    safety_radius: float
    safety_rims: Floats
    """(3,) of the robot's and the object's safety circles: squared difference of their radii, squared sum,
    difference; in the single precision in which the stock simulator decides whether they touch"""
    spawn_radius: float
    """no robot starts nearer than this"""
    walk_distance: float
    """how far a duckie walks before it turns back; 0 for others"""
    static: bool
    optional: bool
    """hidden in half of all episodes under domain randomisation"""
    collidable: bool
    """stands still and can be hit; moving objects can always be hit"""


class TileRecord(np.record):  # type: ignore[misc] # as above
    """A tile of a map, metres."""

    curve_count: int
    """number of lanes"""
    curves: Floats
    """(12, 4, 2) (x, z) of each lane's Bezier control points, in driving direction"""
    curve_headings: Floats
    """(12, 2) (x, z) from each lane's start to its end, divided by the common norm of all of them"""
    drivable: bool


def record_type(record: type, *, align: bool = False, **shapes: int | tuple[int, ...]) -> np.dtype[Any]:
    """The numpy type of such a record.

    Args:
        record: a class whose annotations name its fields: int, float, bool or an array of floats.
        align: pad fields to the processor's alignment. Not for records that are saved: numpy does not restore
            an aligned type from disk as the same type.
        shapes: shapes of the fields that are arrays.
    """
    plain = {"int": np.int64, "bool": np.bool_}
    fields = record.__annotations__.items()
    return np.dtype(
        [(name, plain.get(kind, np.float64), shapes.get(name, ())) for name, kind in fields], align=align
    )


OBJECT = record_type(ObjectRecord, position=3, corners=(4, 2), norms=(2, 2), safety_rims=3)
TILE = record_type(TileRecord, curves=(LANES, 4, 2), curve_headings=(LANES, 2))


class Layout(NamedTuple):
    """M maps, padded to a common shape: J rows by I columns of tiles, T drivable tiles, K objects.

    Metres and radians, in the frame of `State`. Tile (i, j) has x in [i, i + 1] and z in [j, j + 1] times
    tile_size. Objects are in the stock simulator's order.
    """

    tile_size: Floats
    """[M]"""
    grid_width: Ints
    """[M] tiles along x"""
    grid_height: Ints
    """[M] tiles along z"""
    tiles: NDArray[Any]
    """[M, J, I] of `TileRecord`"""
    drivable_tiles: Ints
    """[M, T, 2] (i, j)"""
    drivable_count: Ints
    """[M]"""
    start_tile: Ints
    """[M, 2] (i, j) of the map's own start tile; -1 if it has none"""
    has_start_pose: Bools
    """[M]"""
    start_pose: Floats
    """[M, 3] (x, z, angle); x and z relative to the corner of the start tile"""
    object_count: Ints
    """[M]"""
    objects: NDArray[Any]
    """[M, K] of `ObjectRecord`"""
    scale: Floats
    """[M, K] metres per unit of an object's mesh"""


def stack_layouts(layouts: list[Layout]) -> Layout:
    """One layout with the maps of all of them, in order."""
    return Layout(*(_stacked(arrays) for arrays in zip(*layouts, strict=True)))


def _stacked(arrays: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    shape = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
    padded = [_padded(array, shape) for array in arrays]
    return np.ascontiguousarray(np.concatenate(padded))


def _padded(array: NDArray[Any], shape: NDArray[np.int_]) -> NDArray[Any]:
    return np.pad(array, [(0, 0), *((0, more) for more in shape - array.shape[1:])])
