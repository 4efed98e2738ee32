"""The maps that come with duckietown_world: their names, and whether a robot can drive on them.

Reads the packaged files only, so that a wrong `map_name` is refused before a simulator is loaded.
"""

from __future__ import annotations

import difflib
import importlib.util
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from ducklane.errors import UserError

ROAD_TILES = frozenset({"straight", "curve_left", "curve_right", "3way_left", "3way_right", "4way"})
"""Tile kinds that gym-duckietown lets a robot drive on."""

_MAP_FOLDER = Path("data", "gd1", "maps")


class MapError(UserError):
    """The map does not exist, or there is no road on it. Exit code 2, as for any wrong setting."""

    exit_code = 2


def map_names() -> list[str]:
    """Names of all packaged maps, sorted, those without a road included."""
    return sorted(path.stem for path in _map_folder().glob("*.yaml"))


def check_map(name: str) -> None:
    """Refuse a map that a robot cannot drive on.

    Raises:
        MapError: there is no packaged map of this name, or it has no drivable tile.
    """
    known = map_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
        raise MapError(f"map_name: there is no map {name!r}; {advice}")
    if not _has_road(name):
        raise MapError(f"map_name: {name} has no road to drive on; choose another, e.g. loop_empty")


@cache
def _map_folder() -> Path:
    package = importlib.util.find_spec("duckietown_world")
    if package is None or package.origin is None:
        raise MapError(
            "map_name: duckietown_world, which holds the maps, is missing; install duckietown-gym-daffy"
        )
    return Path(package.origin).parent / _MAP_FOLDER


@cache
def _has_road(name: str) -> bool:
    content = YAML(typ="safe").load((_map_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    return any(_kind(tile) in ROAD_TILES for row in content["tiles"] for tile in row)


def _kind(tile: str) -> str:
    """Kind of a tile as a map writes it, e.g. `curve_left/N`; any name with a 4 and no side is a crossing."""
    kind, _, side = (part.strip() for part in tile.partition("/"))
    return "4way" if not side and "4" in kind else kind
