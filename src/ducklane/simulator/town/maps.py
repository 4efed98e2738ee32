"""The maps that come with duckietown_world and those of the project: whether a robot can drive on them.

Only reads files, so that a wrong `map_name` is rejected before a simulator is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ducklane.repository.copies import left_behind
from ducklane.settings import PARAMS_FILE, Settings, SettingsError, read_yaml
from ducklane.simulator.town import map_format
from ducklane.simulator.town.map_notes import notes_on
from ducklane.simulator.town.resources import (
    MAPS_FOLDER,
    MapError,
    object_files,
    packaged_folder,
    tile_texture,
)


def map_names() -> list[str]:
    """Names of all packaged maps, sorted, including those without a road."""
    return sorted(path.stem for path in (_data_folder() / "maps").glob("*.yaml"))


def drivable_map_names() -> list[str]:
    """Names of the packaged maps that a robot can drive on, sorted."""
    return [name for name in map_names() if road_tiles(name)]


def own_map_names() -> list[str]:
    """Names of the maps in the project's folder `maps`, sorted."""
    return sorted(path.stem for path in MAPS_FOLDER.glob("*.yaml"))


def map_file(name: str) -> Path:
    """The file of a map.

    Args:
        name: name of a packaged map or of one in the folder `maps`, or path of a map file (*.yaml).
    """
    if is_path(name):
        return Path(name)
    packaged = _packaged(name)
    # packaged maps take precedence, so that scores on, say, `loop_empty` stay comparable
    return _own(name) if name in own_map_names() and not packaged.is_file() else packaged


def _packaged(name: str) -> Path:
    return _data_folder() / "maps" / f"{name}.yaml"


def _own(name: str) -> Path:
    return MAPS_FOLDER / f"{name}.yaml"


def is_path(name: str) -> bool:
    """Whether a map's name is the path of a map file."""
    return name.endswith(".yaml")


def is_own(name: str) -> bool:
    """Whether a map is the project's own, not a packaged one."""
    return map_file(name) != _packaged(name)


def read_map(name: str) -> Any:
    """The content of a map's file."""
    return read_yaml(map_file(name))


def map_inputs(name: str) -> list[Path]:
    """Every file that a map depends on: its own, and those from which its tiles and objects are drawn.

    Meshes, materials, textures and signs are those that gym-duckietown would load from the working directory:
    the project's own files have paths relative to it, packaged files have absolute ones.

    Args:
        name: name of a map that `check_map` accepts, or path of its file.

    Returns:
        each file once, sorted, except that the map's own comes first.
    """
    content = read_map(name)
    tiles = {map_format.kind_of(tile) for row in content["tiles"] for tile in row}
    textures = {tile_texture(kind) for kind in tiles}
    objects = map_format.named(content.get("objects") or {}).values()
    skins = {path for kind in {thing["kind"] for thing in objects} for path in object_files(kind)}
    own = map_file(name)
    return [own, *sorted({path for path in textures | skins if path is not None} - {own})]


def check_map(name: str, key: str = "map_name") -> None:
    """Reject a map that a robot cannot drive on.

    Args:
        name: name of a map, or path of a map file.
        key: name of the setting in the error.

    Raises:
        MapError: there is no such map, its file is wrong, or it has no drivable tile.
    """
    if problem := _problem(name):
        raise MapError(f"{key}: {problem}")


def check_maps(settings: Settings) -> None:
    """Reject settings with a map that a robot cannot drive on, for training or for evaluation.

    If all maps are valid, prints on stderr what the loader ignores in their files.

    Raises:
        MapError: one line for each such setting.
    """
    named = [("simulator.map_name", name) for name in settings.simulator.map_names]
    named.append(("evaluate.map_name", settings.evaluate.map_name))
    problems = [f"{PARAMS_FILE}: {key}: {problem}" for key, name in named if (problem := _problem(name))]
    if problems:
        raise MapError(*problems)
    for _, name in named:
        tell(name)


def notes(name: str) -> list[str]:
    """What the loader ignores in a map that `check_map` accepts, or does differently from what its file says.

    For packaged maps only the latter: they are left as gym-duckietown reads them, so that scores stay
    comparable.
    """
    content = read_map(name)
    if is_own(name):
        return [f"{name}: {note}" for note in notes_on(content)]
    lines = []
    if too_low := map_format.displacement(content):
        lines.append(f"{name}: objects stand {too_low} than its file says, as in gym-duckietown")
    if name in own_map_names():
        own = _own(name)
        lines.append(f"{name}: means gym-duckietown's map, so {own} is ignored; give {own} to use that one")
    return lines


@cache
def tell(name: str) -> None:
    """Print the `notes` of a map on stderr, once per process."""
    for note in notes(name):
        print(note, file=sys.stderr)


def _problem(name: str) -> str | None:
    names = map_names()
    if is_path(name):
        if not Path(name).is_file():
            missing = f"there is no map file {name}; give the path of one, or the name of a packaged map"
            return left_behind(Path(name)) or missing
    elif name not in names and not is_own(name):
        return left_behind(_own(name)) or _no_map(name, [*names, *own_map_names()])
    try:
        content = read_map(name)
    except SettingsError as error:
        return _unreadable(name, error)
    problem = map_format.problem_of(content)
    if problem is None and is_own(name):  # a packaged map's start is as gym-duckietown takes it
        problem = map_format.problem_of_start(content)
    if problem is not None:
        return f"{name}: {problem}"
    if not map_format.road_of(content):
        return f"{name} has no road to drive on; choose another, e.g. loop_empty"
    return None


def _no_map(name: str, names: Iterable[str]) -> str:
    path = Path(name)
    if name and (path / "main.yaml").is_file():
        return f"{name}: {map_format.second_format('a folder with main.yaml')}"
    if path.is_file():
        return f"{name}: the name of a map file ends in .yaml; rename it"
    return f"there is no map {name!r}; {map_format.advice(name, names)}"


def _unreadable(name: str, error: SettingsError) -> str:
    try:
        second = "!include" in map_file(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        second = False
    return f"{name}: {map_format.second_format('with !include')}" if second else str(error)


def _data_folder() -> Path:
    return packaged_folder() / "gd1"


@cache
def road_tiles(name: str) -> dict[tuple[int, int], str]:
    """Kind of each drivable tile, by (column, row), row by row, of a map that `check_map` accepts."""
    return map_format.road_of(read_map(name))
