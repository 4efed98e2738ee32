"""Maps as plain arrays: tiles, lanes, and objects at their initial positions.

The numbers are read from a stock simulator that has loaded the map, so that whatever it computes at load time
is exactly its own: control points of lanes, corners of objects, and the axes of their boxes, which come from
an eigenvalue solver and are arbitrary where a box is square.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.duckiebot import SAFETY_RADIUS

SPAWN_DISTANCE_M = 0.25
"""Least distance from an object's bounding circle to a start; upstream's MIN_SPAWN_OBJ_DIST."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LANES = 12
"""Largest number of lanes on a tile: those of a 4-way crossing."""

OTHER, DUCKIEBOT, DUCKIE, CHECKERBOARD, TRAFFIC_LIGHT = range(5)
"""Codes of `ObjectRecord.kind`: the kinds that behave differently."""

_KINDS = {
    "duckiebot": DUCKIEBOT,
    "duckie": DUCKIE,
    "checkerboard": CHECKERBOARD,
    "trafficlight": TRAFFIC_LIGHT,
}


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


_OBJECT = record_type(ObjectRecord, position=3, corners=(4, 2), norms=(2, 2), safety_rims=3)
_TILE = record_type(TileRecord, curves=(LANES, 4, 2), curve_headings=(LANES, 2))


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


def bake_layout(upstream: Any) -> Layout:
    """The map of a stock simulator whose objects have not moved yet.

    Returns:
        M = 1.
    """
    fields = {**_tiles(upstream), **_starts(upstream), **_objects(upstream)}
    return Layout(**{name: np.asarray(value)[np.newaxis] for name, value in fields.items()})


def stack_layouts(layouts: list[Layout]) -> Layout:
    """One layout with the maps of all of them, in order."""
    return Layout(*(_stacked(arrays) for arrays in zip(*layouts, strict=True)))


def _stacked(arrays: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    shape = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
    padded = [_padded(array, shape) for array in arrays]
    return np.ascontiguousarray(np.concatenate(padded))


def _padded(array: NDArray[Any], shape: NDArray[np.int_]) -> NDArray[Any]:
    return np.pad(array, [(0, 0), *((0, more) for more in shape - array.shape[1:])])


def _tiles(upstream: Any) -> dict[str, Any]:
    tiles = np.zeros((upstream.grid_height, upstream.grid_width), _TILE)
    for tile in upstream.drivable_tiles:
        i, j = tile["coords"]
        curves = tile["curves"]
        # as upstream's `closest_curve_point`: one norm for all lanes of the tile
        headings = curves[:, -1, :] - curves[:, 0, :]
        headings = headings / np.linalg.norm(headings).reshape(1, -1)
        record = tiles[j, i]
        record["drivable"] = True
        record["curve_count"] = len(curves)
        record["curves"][: len(curves)] = curves[:, :, [0, 2]]
        record["curve_headings"][: len(curves)] = headings[:, [0, 2]]
    return {
        "tile_size": float(upstream.road_tile_size),
        "grid_width": upstream.grid_width,
        "grid_height": upstream.grid_height,
        "tiles": tiles,
        "drivable_tiles": np.array([tile["coords"] for tile in upstream.drivable_tiles], dtype=np.int64),
        "drivable_count": len(upstream.drivable_tiles),
    }


def _starts(upstream: Any) -> dict[str, Any]:
    tile, pose = upstream.start_tile, upstream.start_pose
    return {
        "start_tile": np.array((-1, -1) if tile is None else tile["coords"], dtype=np.int64),
        "has_start_pose": pose is not None,
        "start_pose": np.zeros(3)
        if pose is None
        else np.array([pose[0][0], pose[0][2], pose[1]], dtype=float),
    }


def _objects(upstream: Any) -> dict[str, Any]:
    things = upstream.objects
    objects = np.zeros(len(things), _OBJECT)
    for record, thing in zip(objects, things, strict=True):
        record["kind"] = _KINDS.get(thing.kind, OTHER)
        record["position"] = thing.pos
        record["angle"] = thing.angle
        record["corners"] = thing.obj_corners
        record["norms"] = thing.obj_norm
        record["reach"] = _reach(thing)
        record["safety_radius"] = thing.safety_radius
        record["safety_rims"] = _safety_rims(thing)
        record["spawn_radius"] = _spawn_radius(thing)
        record["walk_distance"] = getattr(thing, "walk_distance", 0.0)
        record["static"] = thing.static
        record["optional"] = thing.optional
        record["collidable"] = thing.static and record["kind"] != TRAFFIC_LIGHT
    return {
        "object_count": len(things),
        "objects": objects,
        "scale": np.array([thing.scale for thing in things], dtype=float),
    }


def _reach(thing: Any) -> float:
    x, _, z = thing.pos
    return float(np.max(np.linalg.norm(thing.obj_corners - np.array([x, z]), axis=1)))


def _safety_rims(thing: Any) -> list[float]:
    radius = thing.safety_radius  # float32; so are the results
    less, more = SAFETY_RADIUS - radius, SAFETY_RADIUS + radius
    return [float(np.power(less, 2)), float(np.power(more, 2)), float(abs(less))]


def _spawn_radius(thing: Any) -> float:
    return float(max(thing.max_coords) * 0.5 * thing.scale + SPAWN_DISTANCE_M)
