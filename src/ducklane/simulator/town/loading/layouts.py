"""Reads a map's file into a `Layout`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.duckiebot import SAFETY_RADIUS
from ducklane.simulator.town.layout import (
    CHECKERBOARD,
    DUCKIE,
    DUCKIEBOT,
    OBJECT,
    OTHER,
    SPAWN_DISTANCE_M,
    TILE,
    TRAFFIC_LIGHT,
    Layout,
)
from ducklane.simulator.town.loading.lanes import lane_curves
from ducklane.simulator.town.loading.models import drawn
from ducklane.simulator.town.loading.placement import Placed, box_axes, place
from ducklane.simulator.town.map_format import quarter_turns, road_of

_KINDS = {
    "duckiebot": DUCKIEBOT,
    "duckie": DUCKIE,
    "checkerboard": CHECKERBOARD,
    "trafficlight": TRAFFIC_LIGHT,
}


def read_layout(content: Mapping[str, Any], bounds: Sequence[NDArray[np.float32]]) -> Layout:
    """The layout of one map.

    Args:
        content: of the map's file, which `check_map` accepts.
        bounds: for each of the objects that are `drawn`, (2, 3) smallest and largest coordinates of its mesh.

    Returns:
        M = 1.
    """
    fields = {**_tiles(content), **_start(content), **_objects(content, bounds)}
    return Layout(**{name: np.asarray(value)[np.newaxis] for name, value in fields.items()})


def _tiles(content: Mapping[str, Any]) -> dict[str, Any]:
    rows, size = content["tiles"], content["tile_size"]
    tiles = np.zeros((len(rows), len(rows[0])), TILE)
    road = road_of(content)
    for (i, j), kind in road.items():
        curves = lane_curves(kind, quarter_turns(rows[j][i]), i, j, size)
        # as upstream's `closest_curve_point`: one norm for all lanes of the tile
        headings = curves[:, -1, :] - curves[:, 0, :]
        headings = headings / np.linalg.norm(headings).reshape(1, -1)
        record = tiles[j, i]
        record["drivable"] = True
        record["curve_count"] = len(curves)
        record["curves"][: len(curves)] = curves[:, :, [0, 2]]
        record["curve_headings"][: len(curves)] = headings[:, [0, 2]]
    return {
        "tile_size": float(size),
        "grid_width": len(rows[0]),
        "grid_height": len(rows),
        "tiles": tiles,
        "drivable_tiles": np.array(list(road), dtype=np.int64),
        "drivable_count": len(road),
    }


def _start(content: Mapping[str, Any]) -> dict[str, Any]:
    rows, pose = content["tiles"], content.get("start_pose")
    i, j = map(int, content.get("start_tile", (-1, -1)))
    on_map = 0 <= i < len(rows[0]) and 0 <= j < len(rows)
    return {
        "start_tile": np.array((i, j) if on_map else (-1, -1), dtype=np.int64),
        "has_start_pose": pose is not None,
        "start_pose": np.zeros(3) if pose is None else np.array([pose[0][0], pose[0][2], pose[1]], float),
    }


def _objects(content: Mapping[str, Any], bounds: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    things = drawn(content)
    placed = [place(thing, of_mesh, content) for thing, of_mesh in zip(things, bounds, strict=True)]
    objects = np.zeros(len(things), OBJECT)
    for record, thing, where in zip(objects, things, placed, strict=True):
        static = thing.get("static", True)
        record["kind"] = _KINDS.get(thing["kind"], OTHER)
        record["position"] = where.position
        record["angle"] = where.angle
        record["corners"] = where.corners
        record["norms"] = box_axes(where.corners)
        record["reach"] = _reach(where)
        record["safety_radius"] = where.safety_radius
        record["safety_rims"] = _safety_rims(where.safety_radius)
        record["spawn_radius"] = where.spawn_radius + SPAWN_DISTANCE_M
        record["walk_distance"] = 0.0 if static else _walk_distance(record["kind"], content["tile_size"])
        record["static"] = static
        record["optional"] = thing.get("optional", False)
        record["collidable"] = static and record["kind"] != TRAFFIC_LIGHT
    return {
        "object_count": len(things),
        "objects": objects,
        "scale": np.array([where.scale for where in placed], dtype=float),
    }


def _reach(placed: Placed) -> float:
    x, _, z = placed.position
    return float(np.max(np.linalg.norm(placed.corners - np.array([x, z]), axis=1)))


def _safety_rims(radius: np.float32) -> list[float]:
    less, more = SAFETY_RADIUS - radius, SAFETY_RADIUS + radius  # float32, like the radius
    return [float(np.power(less, 2)), float(np.power(more, 2)), float(abs(less))]


def _walk_distance(kind: int, tile_size: float) -> float:
    return {DUCKIE: tile_size, CHECKERBOARD: tile_size + 0.25}.get(kind, 0.0)
