"""The maps that come with duckietown_world, or a map file of one's own: whether a robot can drive on them.

Reads files only, so that a wrong `map_name` is refused before a simulator is loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from ducklane.settings import PARAMS_FILE, Positive, Settings, SettingsError, dotted, read_yaml, shown
from ducklane.simulator.resources import MapError, object_files, packaged_folder, tile_texture

ROAD_TILES = frozenset({"straight", "curve_left", "curve_right", "3way_left", "3way_right", "4way"})
"""Tile kinds that gym-duckietown lets a robot drive on."""


def map_names() -> list[str]:
    """Names of all packaged maps, sorted, those without a road included."""
    return sorted(path.stem for path in (_data_folder() / "maps").glob("*.yaml"))


def drivable_map_names() -> list[str]:
    """Names of the packaged maps that a robot can drive on, sorted."""
    return [name for name in map_names() if road_tiles(name)]


def map_file(name: str) -> Path:
    """The file of a packaged map, or `name` itself where that is the path of a map file (*.yaml)."""
    return Path(name) if is_path(name) else _data_folder() / "maps" / f"{name}.yaml"


def is_path(name: str) -> bool:
    """Whether a map's name is the path of a map file."""
    return name.endswith(".yaml")


def read_map(name: str) -> Any:
    """The content of a map's file."""
    return read_yaml(map_file(name))


def map_inputs(name: str) -> list[Path]:
    """Every file that a map depends on: its own, and what its tiles and objects are drawn from.

    Meshes, materials, textures and signs are those that gym-duckietown would load from here: files of one's
    own are given as the map names them, seen from the working directory; packaged ones by their full path.

    Args:
        name: of a map that `check_map` accepts, or the path of its file.

    Returns:
        each file once, sorted; the map's own first.
    """
    content = read_map(name)
    objects = content.get("objects") or []
    textures = {tile_texture(kind) for kind in {_kind(tile) for row in content["tiles"] for tile in row}}
    things = objects.values() if isinstance(objects, dict) else objects
    skins = {path for kind in {thing["kind"] for thing in things} for path in object_files(kind)}
    own = map_file(name)
    return [own, *sorted({path for path in textures | skins if path is not None} - {own})]


def check_map(name: str, key: str = "map_name") -> None:
    """Refuse a map that a robot cannot drive on.

    Args:
        name: of the map, or the path of a map file.
        key: what the error calls the setting.

    Raises:
        MapError: there is no such map, its file is wrong, or it has no drivable tile.
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
        return f"there is no map {name!r}; {_advice(name, known)}"
    try:
        content = read_map(name)
    except SettingsError as error:
        return str(error)
    if problem := _problem_of_content(content):
        return f"{name}: {problem}"
    if not _road_tiles(content):
        return f"{name} has no road to drive on; choose another, e.g. loop_empty"
    return None


def _advice(name: object, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"


def _data_folder() -> Path:
    return packaged_folder() / "gd1"


@cache
def road_tiles(name: str) -> dict[tuple[int, int], str]:
    """Kind of each tile to drive on, by (column, row), row by row, of a map that `check_map` accepts."""
    return _road_tiles(read_map(name))


def _road_tiles(content: Any) -> dict[tuple[int, int], str]:
    kinds = {(i, j): _kind(tile) for j, row in enumerate(content["tiles"]) for i, tile in enumerate(row)}
    return {place: kind for place, kind in kinds.items() if kind in ROAD_TILES}


def _kind(tile: str) -> str:
    """Kind of a tile as a map writes it, e.g. `curve_left/N`; any name with a 4 and no side is a crossing."""
    kind, _, side = (part.strip() for part in tile.partition("/"))
    return "4way" if not side and "4" in kind else kind


# --- a map's file, as gym-duckietown's loader reads it ------------------------------------------------------


@cache
def _tile_kinds() -> frozenset[str]:
    """Those that there is a texture for."""
    return frozenset(path.name for path in (_data_folder() / "textures/tiles-processed/photos").iterdir())


@cache
def _object_kinds() -> frozenset[str]:
    """Those that there is a mesh for; signs are pictures on one common mesh."""
    meshes = _data_folder() / "meshes"
    signs = {path.stem for path in meshes.rglob("sign*.png")}
    return frozenset({path.stem for path in meshes.rglob("*.obj")} - {"sign_generic"} | signs | {"floor_tag"})


def _check_tile(tile: str) -> str:
    kind, (_, slash, side) = _kind(tile), tile.partition("/")
    if kind not in _tile_kinds():
        raise ValueError(f"there is no tile {kind!r}; {_advice(kind, _tile_kinds())}")
    if slash and side.strip() not in {"N", "E", "S", "W"}:
        raise ValueError(f"{tile!r} has no side {side.strip()!r}; give N, E, S or W, e.g. {kind}/N")
    return tile


def _check_rows(rows: list[list[str]]) -> list[list[str]]:
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"row {number} has {len(row)} tiles and row 0 has {len(rows[0])}; fill up with floor"
            )
    return rows


def _check_object_kind(kind: str) -> str:
    # a mesh or a sign of one's own is given by its path without the suffix
    own = Path(f"{kind}.png" if kind.startswith("sign") else f"{kind}.obj")
    if kind not in _object_kinds() and not own.is_file():
        raise ValueError(f"there is no object {kind!r}; {_advice(kind, _object_kinds())}")
    return kind


def _named(objects: object) -> object:
    if not isinstance(objects, list | dict):
        raise ValueError(f"got {shown(objects)}; give a list of objects, or leave it out")
    return dict(enumerate(objects)) if isinstance(objects, list) else objects


_Tile = Annotated[str, AfterValidator(_check_tile)]
_Row = Annotated[list[_Tile], Field(min_length=1)]
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
_LEFT_OUT: Any = None
"""A key that need not be there; if it is, it may not be empty."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Transform(_Part):
    model_config = ConfigDict(extra="forbid")

    p: _Pair = _LEFT_OUT
    theta: float = _LEFT_OUT
    theta_deg: float = _LEFT_OUT


class _Pose(_Part):
    transform: _Transform | None = Field(alias="~SE2Transform")


class _Place(_Part):
    tile: _Pair
    relative: _Pose


class _Slot(_Part):
    tile: _Pair
    slot: Annotated[int, Field(ge=0, le=7)]


class _Object(_Part):
    kind: Annotated[str, AfterValidator(_check_object_kind)]
    pos: Annotated[list[float], Field(min_length=2)] = _LEFT_OUT
    pose: _Pose = _LEFT_OUT
    place: _Place = _LEFT_OUT
    attach: _Slot = _LEFT_OUT
    rotate: float = 0.0
    height: Positive = _LEFT_OUT
    scale: Positive = _LEFT_OUT
    static: bool = True
    color: str = "red"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.model_fields_set & {"pos", "pose", "place", "attach"}:
            raise ValueError("stands nowhere; give pos: [column, row]")
        if {"height", "scale"} <= self.model_fields_set:
            raise ValueError("has a height and a scale; give one of them")
        if not self.static and self.kind not in {"duckie", "duckiebot", "checkerboard", "floor_tag"}:
            raise ValueError(f"static: a {self.kind} cannot move; leave static out")
        if self.kind == "duckiebot" and self.color not in {"red", "green", "blue", "grey"}:
            raise ValueError(f"color: got {shown(self.color)}; give red, green, blue or grey")
        return self


class _Map(_Part):
    tile_size: Positive
    tiles: Annotated[list[_Row], Field(min_length=1), AfterValidator(_check_rows)]
    objects: Annotated[dict[Any, _Object], BeforeValidator(_named)] = _LEFT_OUT
    start_tile: _Pair = _LEFT_OUT
    start_pose: Any = None

    @field_validator("start_pose")
    @classmethod
    def _position_and_angle(cls, pose: Any) -> Any:
        match pose:
            case None | [[float() | int(), _, float() | int(), *_], float() | int(), *_]:
                return pose
        raise ValueError(f"got {shown(pose)}; give [[x, 0, z], angle], metres and radians")


_EXAMPLES: dict[int | str, str] = {
    "tile_size": "the side of a tile in metres, e.g. 0.585",
    "tiles": "rows of tiles, e.g. [[curve_left/W, curve_left/N], [curve_left/S, curve_left/E]]",
    "kind": "what it is, e.g. duckie",
}


def _problem_of_content(content: Any) -> str | None:
    """The first thing that is wrong, where it is, and its cure."""
    try:
        _Map.model_validate(content)
    except ValidationError as error:
        detail = error.errors()[0]
        return ": ".join(filter(None, [dotted(detail["loc"]), _described(detail)]))
    return None


def _described(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "missing":
        return f"is missing; give {_EXAMPLES.get(detail['loc'][-1], 'it')}"
    if detail["type"] == "model_type":
        return f"got {shown(detail['input'])}; give keys and their values"
    return f"got {shown(detail['input'])}; {detail['msg'][0].lower()}{detail['msg'][1:]}"
