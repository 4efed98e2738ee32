"""Scenarios of our own, like the challenges': their kinds of maps, random starts and random trees."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ducklane.evaluation.starts import LATERAL_SPREAD_M
from ducklane.robot.judge.scenarios import (
    Configuration,
    Content,
    FriendlyPose,
    Robot,
    Scenario,
    checked,
)
from ducklane.simulator.town import map_format
from ducklane.simulator.town.maps import read_map

CHALLENGES = {
    "LF": {
        "autolab": "ETHZ_autolab_technical_track",
        "loop": "loop_empty",
        "loop2": "small_loop",
        "zigzag": "zigzag_dists",
    },
    "LFI": {"4way": "4way", "udem1": "udem1"},
}
"""Challenge -> the challenges' names of maps -> duckietown-world's. LF is to follow the lane, LFI to do so
where there are intersections."""

START_ANGLE_DEG = 40.0
"""Largest angle between a start and its lane, as in the challenges."""

LANE_CENTER = 0.22
"""From the road's centre to a lane's, tiles."""

FROM_TILE_EDGE = 0.15
"""Least distance of a start from the ends of its tile, tiles."""

TREE_HEIGHT_M = (0.15, 0.4)

TREE_FROM_ROAD_M = 0.06
"""Least distance of a tree from a tile with road; the challenges' own come as near."""


def sample(challenge: str, seed: int) -> list[Scenario]:
    """One scenario on each map of a challenge; the same seed gives the same.

    The robot starts on a straight tile, in either direction, within 4 cm of its lane's centre and 40 degrees
    of its heading. The map's own objects give way to as many trees beside the road as it has tiles of road.

    Args:
        challenge: a key of `CHALLENGES`.
        seed: >= 0.
    """
    streams = np.random.default_rng([seed, *challenge.encode()]).spawn(len(CHALLENGES[challenge]))
    named = zip(CHALLENGES[challenge].items(), streams, strict=True)
    return [_sampled(f"{name}-{seed:03d}", map_name, rng) for (name, map_name), rng in named]


def _sampled(name: str, map_name: str, rng: np.random.Generator) -> Scenario:
    packaged = read_map(map_name)
    town = {"tiles": _bordered(packaged["tiles"]), "tile_size": packaged["tile_size"]}
    start = _start(town, rng)
    town["objects"] = _trees(town, rng)
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(town, text)
    content = Content(
        scenario_name=name,
        environment=text.getvalue(),
        player_robots=["ego0"],
        robots={"ego0": Robot(configuration=Configuration(pose=start))},
    )
    return checked(content)


def _bordered(tiles: list[list[str]]) -> list[list[str]]:
    """The tiles with floor around them, where trees stand and a robot can be without having left the map."""
    rim = [*tiles[0], *tiles[-1], *(row[0] for row in tiles), *(row[-1] for row in tiles)]
    if not any(map_format.kind_of(tile) in map_format.ROAD_TILES for tile in rim):
        return tiles
    border = ["floor"] * (len(tiles[0]) + 2)
    return [border, *(["floor", *row, "floor"] for row in tiles), border]


def _start(town: Any, rng: np.random.Generator) -> FriendlyPose:
    straight = [place for place, kind in map_format.road_of(town).items() if kind == "straight"]
    column, row = straight[rng.integers(len(straight))]
    along_y = map_format.quarter_turns(town["tiles"][row][column]) % 2 == 0
    heading = rng.choice([90.0, -90.0] if along_y else [0.0, 180.0])
    size = town["tile_size"]
    along = rng.uniform(FROM_TILE_EDGE - 0.5, 0.5 - FROM_TILE_EDGE) * size
    right = LANE_CENTER * size + rng.uniform(-LATERAL_SPREAD_M, LATERAL_SPREAD_M)
    cosine, sine = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    return FriendlyPose(
        x=(column + 0.5) * size + along * cosine + right * sine,
        y=(len(town["tiles"]) - row - 0.5) * size + along * sine - right * cosine,
        theta_deg=heading + rng.uniform(-START_ANGLE_DEG, START_ANGLE_DEG),
    )


def _trees(town: Any, rng: np.random.Generator) -> dict[str, Any]:
    size, rows, columns = town["tile_size"], len(town["tiles"]), len(town["tiles"][0])
    road = np.array([(column, rows - 1 - row) for column, row in map_format.road_of(town)]) * size
    trees: dict[str, Any] = {}
    while len(trees) < len(road):
        place = rng.uniform((0, 0), (columns * size, rows * size))
        outside = np.maximum(np.maximum(road - place, place - road - size), 0)
        if np.linalg.norm(outside, axis=1).min() < TREE_FROM_ROAD_M:
            continue
        trees[f"tree_random_{len(trees)}"] = {
            "kind": "tree",
            "pose": {"~SE2Transform": {"p": place.tolist(), "theta": 0.0}},
            "height": rng.uniform(*TREE_HEIGHT_M),
        }
    return trees
