"""The lanes of a map, read from duckietown-world."""

from __future__ import annotations

from typing import Any

import numpy as np

from ducklane.evaluation.scores.lanes import Floats, Lane, Lanes, Matrix, Tile
from ducklane.simulator.stock.adaptations import import_duckietown_world
from ducklane.simulator.town.maps import is_own, read_map


def load_world(map_name: str) -> Any:
    """A map as an object of duckietown-world."""
    duckietown_world = import_duckietown_world()
    if not is_own(map_name):
        return duckietown_world.load_map(map_name)
    return make_world(read_map(map_name))  # load_map finds packaged maps only


def make_world(content: Any) -> Any:
    """The content of a map's file as an object of duckietown-world, without the objects on the map."""
    # which fails on objects of new kinds; scores need only the lanes
    return import_duckietown_world().construct_map({**content, "objects": []})


def read_lanes(world: Any) -> Lanes:
    """All lanes of a map from `load_world`."""
    from duckietown_world import LaneSegment
    from duckietown_world import Tile as WorldTile
    from duckietown_world.geo import iterate_by_class

    tiles = []
    for tile in iterate_by_class(world, WorldTile):
        to_world = tile.transform_sequence.transforms
        lanes = [
            _lane_of(segment.object, segment.transform_sequence.transforms, to_world)
            for segment in iterate_by_class(tile.object, LaneSegment)
        ]
        if lanes:
            tiles.append(Tile(np.linalg.inv(tile.transform_sequence.asmatrix2d().m), lanes))
    return Lanes(tiles)


def _lane_of(segment: Any, to_tile: list[Any], to_world: list[Any]) -> Lane:
    from duckietown_world.geo import TransformSequence

    points = segment.control_points
    knots = [point.asmatrix2d().m for point in points]
    return Lane(
        from_tile=np.linalg.inv(TransformSequence(to_tile).asmatrix2d().m),
        to_world=TransformSequence([*to_world, *to_tile]).asmatrix2d().m,
        from_start=np.linalg.inv(points[0].as_SE2()),
        knots=np.array(knots),
        twists=_twists(knots),
        half_width=segment.width / 2,
        length=float(segment.get_lane_length()),
        is_straight=bool(segment.is_straight()),
    )


def _twists(knots: list[Matrix]) -> Floats:
    from geometry import SE2, SE2_from_translation_angle

    # per beta, before the first point and after the last
    beyond = SE2_from_translation_angle([0.1, 0.0], 0.0)
    starts = [knots[0], *knots]
    ends = [knots[0] @ beyond, *knots[1:], knots[-1] @ beyond]
    between = [
        SE2.algebra_from_group(SE2.multiply(SE2.inverse(start), end))
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.array([(twist[0, 2], twist[1, 2], twist[1, 0]) for twist in between])
