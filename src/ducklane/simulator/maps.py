"""The maps that come with duckietown_world, or a map file of one's own: whether a robot can drive on them.

Reads the packaged files only, so that a wrong `map_name` is refused before a simulator is loaded.
"""

from __future__ import annotations

import difflib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

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


def drivable_map_names() -> list[str]:
    """Names of the packaged maps that a robot can drive on, sorted."""
    return [name for name in map_names() if road_tiles(name)]


def map_file(name: str) -> Path:
    """The file of a packaged map, or `name` itself where that is the path of a map file (*.yaml)."""
    return Path(name) if is_path(name) else _map_folder() / f"{name}.yaml"


def is_path(name: str) -> bool:
    """Whether a map's name is the path of a map file."""
    return name.endswith(".yaml")


def read_map(name: str) -> Any:
    """The content of a map's file."""
    return YAML(typ="safe").load(map_file(name).read_text(encoding="utf-8"))


def check_map(name: str, key: str = "map_name") -> None:
    """Refuse a map that a robot cannot drive on.

    Args:
        name: of the map, or the path of a map file.
        key: what the error calls the setting.

    Raises:
        MapError: there is no such map, or it has no drivable tile.
    """
    if problem := _problem(name):
        raise MapError(f"{key}: {problem}")


def check_maps(settings: Settings) -> None:
    """Refuse settings that name a map that a robot cannot drive on, to train or to be scored on.

    Raises:
        MapError: a line for each such setting.
    """
    named = [("simulator.map_name", name) for name in settings.simulator.map_names]
    named.append(("evaluate.map_name", settings.evaluate.map_name))
    problems = [f"{PARAMS_FILE}: {key}: {problem}" for key, name in named if (problem := _problem(name))]
    if problems:
        raise MapError(*problems)


def _problem(name: str) -> str | None:
    known = map_names()
    if is_path(name):
        if not Path(name).is_file():
            return f"there is no map file {name}; give the path of one, or the name of a packaged map"
    elif name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
        return f"there is no map {name!r}; {advice}"
    if not road_tiles(name):
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
def road_tiles(name: str) -> dict[tuple[int, int], str]:
    """Kind of each tile of a map to drive on, by (column, row), row by row.

    Raises:
        MapError: the file is no map.
    """
    try:
        tiles = read_map(name)["tiles"]
        kinds = {(i, j): _kind(tile) for j, row in enumerate(tiles) for i, tile in enumerate(row)}
        return {place: kind for place, kind in kinds.items() if kind in ROAD_TILES}
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise MapError(
            f"map_name: {name} is no map that gym-duckietown reads ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); it needs tile_size, and tiles as rows of names"
        ) from error


def _kind(tile: str) -> str:
    """Kind of a tile as a map writes it, e.g. `curve_left/N`; any name with a 4 and no side is a crossing."""
    kind, _, side = (part.strip() for part in tile.partition("/"))
    return "4way" if not side and "4" in kind else kind
