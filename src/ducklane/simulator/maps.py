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
from ducklane.settings import PARAMS_FILE, Settings

ROAD_TILES = frozenset({"straight", "curve_left", "curve_right", "3way_left", "3way_right", "4way"})
"""Tile kinds that gym-duckietown lets a robot drive on."""

_MAP_FOLDER = Path("data", "gd1", "maps")


class MapError(UserError):
    """The map does not exist, or there is no road on it. Exit code 2, as for any wrong setting."""

    exit_code = 2


def map_names() -> list[str]:
    """Names of all packaged maps, sorted, those without a road included."""
    return sorted(path.stem for path in _map_folder().glob("*.yaml"))


def check_map(name: str, key: str = "map_name") -> None:
    """Refuse a map that a robot cannot drive on.

    Args:
        name: of the map.
        key: what the error calls the setting.

    Raises:
        MapError: there is no packaged map of this name, or it has no drivable tile.
    """
    if problem := _problem(name):
        raise MapError(f"{key}: {problem}")


def check_maps(settings: Settings) -> None:
    """Refuse settings that name a map that a robot cannot drive on, to train or to be scored on.

    Raises:
        MapError: a line for each such setting.
    """
    named = {
        "simulator.map_name": settings.simulator.map_name,
        "evaluate.map_name": settings.evaluate.map_name,
    }
    problems = [
        f"{PARAMS_FILE}: {key}: {problem}" for key, name in named.items() if (problem := _problem(name))
    ]
    if problems:
        raise MapError(*problems)


def _problem(name: str) -> str | None:
    known = map_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
        return f"there is no map {name!r}; {advice}"
    if not _has_road(name):
        return f"{name} has no road to drive on; choose another, e.g. loop_empty"
    return None


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
