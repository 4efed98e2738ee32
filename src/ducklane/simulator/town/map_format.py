"""A map's file, as gym-duckietown's loader reads it: what it may contain, and where it puts objects.

The loader ignores whatever it does not know. Here a file that would give a different world than it describes
is rejected; `map_notes` reports what is ignored without harm.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

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

from ducklane.repository.copies import left_behind
from ducklane.settings.base import Positive
from ducklane.settings.refusals import dotted, shown
from ducklane.simulator.town.resources import (
    MAPS_FOLDER,
    find_resource,
    mesh_problem,
    own_resource,
    packaged_folder,
)

ROAD_TILES = frozenset({"straight", "curve_left", "curve_right", "3way_left", "3way_right", "4way"})
"""Tile kinds that gym-duckietown lets a robot drive on."""

MOST_TILES = 10_000
"""Reading a larger map takes minutes and gigabytes."""

POSITIONS = ("pos", "pose", "place", "attach")
"""Keys that place an object, by precedence: of several the loader takes the first in this order."""


def problem_of(content: Any) -> str | None:
    """The first problem of a map's content, with its place and its cure; None if there is none."""
    if _is_second_format(content):
        return second_format("tiles by name, and frames" if "tiles" in content else "frames, tile_maps")
    try:
        MapContent.model_validate(content)
    except ValidationError as error:
        detail = error.errors()[0]
        return ": ".join(filter(None, [dotted(detail["loc"]), _described(detail)]))
    return None


def problem_of_start(content: Any) -> str | None:
    """The problem of a map's start, if it has one: the loader would silently choose another start."""
    if "start_tile" not in content:
        return None
    tile, road = content["start_tile"], road_of(content)
    column, row = map(int, tile)
    columns, rows = len(content["tiles"][0]), len(content["tiles"])
    if not (0 <= column < columns and 0 <= row < rows):
        within = f"{columns} columns and {rows} rows, counted from 0"
        return f"start_tile: got {shown(tile)}; give [column, row] within {within}"
    if content.get("start_pose") is not None:
        (x, _, z, *_), *_ = content["start_pose"]
        at = (column + x / content["tile_size"], row + z / content["tile_size"])
        if road and tuple(map(math.floor, at)) not in road:
            off = f"column {at[0]:.4g}, row {at[1]:.4g}, off the road"
            return f"start_pose: starts at {off}; give metres from the corner of start_tile"
    elif road and (column, row) not in road:
        return f"start_tile: got {shown(tile)}, which has no road; give a tile with a road"
    return None


def second_format(evidence: str) -> str:
    """The error for a map in the newer format, which gym-duckietown cannot read.

    Args:
        evidence: by what the format was recognised.
    """
    return (
        f"is a map of format v2 ({evidence}); give a map of format v1: one file with tile_size: 0.585 and "
        "tiles: as rows like [curve_left/W, straight/W]"
    )


def displacement(content: Any) -> str | None:
    """By how much gym-duckietown misplaces a map's objects, e.g. "1 row lower"; None if it does not."""
    lower = _rows_too_low(content)
    if not lower or all("pos" not in thing for thing in named(content.get("objects") or {}).values()):
        return None
    return f"{abs(lower)} row{'s' if abs(lower) > 1 else ''} {'lower' if lower > 0 else 'higher'}"


def _rows_too_low(content: Any) -> int:
    """By how many rows gym-duckietown's loader moves objects placed by `pos` down the map.

    It counts rows from the bottom, as if every map had one row fewer than columns.
    """
    return len(content["tiles"]) - len(content["tiles"][0]) + 1


def as_written(content: Any) -> Any:
    """The content of a map, changed so that the loader puts objects where `content` says."""
    if displacement(content) is None:
        return content
    lower = _rows_too_low(content)
    moved = {name: _moved_up(thing, lower) for name, thing in named(content["objects"]).items()}
    objects = list(moved.values()) if isinstance(content["objects"], list) else moved
    return {**content, "objects": objects}


def _moved_up(thing: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    if "pos" not in thing:
        return thing
    column, row = thing["pos"]
    return {**thing, "pos": [column, row - rows]}


def kind_of(tile: str) -> str:
    """Kind of a tile, given as in a map: `curve_left` for `curve_left/N`."""
    return tile.partition("/")[0].strip()


def quarter_turns(tile: str) -> int:
    """How far a tile, given as in a map, is turned anticlockwise: 0 for S, 1 for E or no side."""
    side = tile.partition("/")[2].strip()
    return "SENW".index(side or "E")


def road_of(content: Any) -> dict[tuple[int, int], str]:
    """Kind of each drivable tile, by (column, row), row by row."""
    kinds = {(i, j): kind_of(tile) for j, row in enumerate(content["tiles"]) for i, tile in enumerate(row)}
    return {place: kind for place, kind in kinds.items() if kind in ROAD_TILES}


def named(objects: Any) -> dict[Any, Any]:
    """A map's objects by name, or by number if they are a list."""
    return dict(enumerate(objects)) if isinstance(objects, list) else objects


def advice(name: object, names: Iterable[str], cutoff: float = 0.5) -> str:
    """The cure for an unknown name: similar names, or all of them."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=cutoff)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}"


def _is_second_format(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    return bool(content.keys() & {"main", "frames", "tile_maps"}) or isinstance(content.get("tiles"), dict)


# --- known kinds of tiles and objects -----------------------------------------------------------------------


@cache
def _tile_kinds() -> frozenset[str]:
    """Kinds of tiles with a texture."""
    folder = packaged_folder() / "gd1/textures/tiles-processed/photos"
    return frozenset(path.name for path in folder.iterdir())


@cache
def _object_kinds() -> frozenset[str]:
    """Kinds of objects with a mesh; signs are pictures on one shared mesh."""
    meshes = packaged_folder() / "gd1/meshes"
    signs = {path.stem for path in meshes.rglob("sign*.png")}
    return frozenset({path.stem for path in meshes.rglob("*.obj")} - {"sign_generic"} | signs | {"floor_tag"})


# --- the schema of a map file -------------------------------------------------------------------------------


def _check_tile(tile: str) -> str:
    kind, (_, slash, side) = kind_of(tile), tile.partition("/")
    if kind not in _tile_kinds():
        raise ValueError(f"there is no tile {kind!r}; {advice(kind, _tile_kinds())}")
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


def _not_too_many(rows: Any) -> Any:
    # checked before the rows are validated, which takes long
    if isinstance(rows, list):
        tiles = sum(len(row) for row in rows if isinstance(row, list))
        if tiles > MOST_TILES:
            raise ValueError(f"got {tiles} tiles; give at most {MOST_TILES}")
    return rows


def _check_object_kind(kind: str) -> str:
    if kind in _object_kinds():
        return kind
    # the project's own meshes and signs are given by path, without suffix; for a sign only the name counts
    sign = kind.startswith("sign")
    own = find_resource(os.path.basename(f"{kind}.png") if sign else f"{kind}.obj")
    if own is not None:
        if not sign and (problem := mesh_problem(own)):
            raise ValueError(problem)
        return kind
    file = Path(f"{kind}.png" if sign else f"{kind}.obj")
    if behind := left_behind(file) or left_behind(MAPS_FOLDER / file):
        raise ValueError(behind)
    suffix = Path(kind).suffix
    if suffix in {".obj", ".png"}:
        raise ValueError(f"there is no object {kind!r}; leave {suffix} out")
    if sign and (picture := own_resource(f"{kind}.png")):
        raise ValueError(f"move {picture} directly into {MAPS_FOLDER} and give {os.path.basename(kind)}")
    raise ValueError(f"there is no object {kind!r}; {advice(kind, _object_kinds())}")


def _check_objects(objects: object) -> object:
    if not isinstance(objects, list | dict):
        raise ValueError(f"got {shown(objects)}; give a list of objects, or leave it out")
    return named(objects)


def _check_pair(pair: Any) -> Any:
    if isinstance(pair, list) and len(pair) == 3:
        raise ValueError(f"got {shown(pair)}, three numbers; give [column, row]")
    return pair


_Tile = Annotated[str, AfterValidator(_check_tile)]
_Row = Annotated[list[_Tile], Field(min_length=1)]
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
_LEFT_OUT: Any = None
"""Default of an optional key; if the key is given, its value may not be empty."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    other_words: ClassVar[dict[str, str]] = {}
    """Cures for unknown keys that mean something in other formats."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        for key in cls.unknown_keys(content):
            if content[key] is not None:  # a key without a value is harmless, and reported by `map_notes`
                cure = cls.other_words.get(str(key)) or advice(key, cls.names(), cutoff=0.65)
                raise ValueError(f"{dotted([key])}: unknown key; {cure}")
        return content

    @classmethod
    def unknown_keys(cls, content: Any) -> list[Any]:
        return [key for key in content if key not in cls.names()] if isinstance(content, dict) else []

    @classmethod
    def names(cls) -> set[str]:
        return {field.alias or name for name, field in cls.model_fields.items()}


class _Transform(_Part):
    p: _Pair = _LEFT_OUT
    theta: float = _LEFT_OUT
    theta_deg: float = _LEFT_OUT

    @model_validator(mode="after")
    def _one_angle(self) -> Self:
        if {"theta", "theta_deg"} <= self.model_fields_set:
            raise ValueError("has theta and theta_deg; give one of them")
        return self


class _Pose(_Part):
    transform: _Transform | None = Field(alias="~SE2Transform")


class _Place(_Part):
    tile: _Pair
    relative: _Pose


class _Slot(_Part):
    tile: _Pair
    slot: Annotated[int, Field(ge=0, le=7)]


class MapObject(_Part):
    """An object on a map; metres and degrees."""

    other_words: ClassVar[dict[str, str]] = {"angle": "give rotate, in degrees"}

    kind: Annotated[str, AfterValidator(_check_object_kind)]
    pos: Annotated[_Pair, BeforeValidator(_check_pair)] = _LEFT_OUT
    pose: _Pose = _LEFT_OUT
    place: _Place = _LEFT_OUT
    attach: _Slot = _LEFT_OUT
    rotate: float = 0.0
    height: Positive = _LEFT_OUT
    scale: Positive = _LEFT_OUT
    static: bool = True
    optional: bool = False
    pedestrian: bool = False
    color: str = "red"
    tag: Any = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.model_fields_set & set(POSITIONS):
            raise ValueError("has no position; give pos: [column, row]")
        if {"height", "scale"} <= self.model_fields_set:
            raise ValueError("has a height and a scale; give one of them")
        if not self.static and self.kind not in {"duckie", "duckiebot", "checkerboard", "floor_tag"}:
            raise ValueError(f"static: a {self.kind} cannot move; leave static out")
        if self.pedestrian and (self.static or self.kind != "duckie"):
            raise ValueError("pedestrian: only a duckie with static: false walks; give that instead")
        if self.kind == "duckiebot" and self.color not in {"red", "green", "blue", "grey"}:
            raise ValueError(f"color: got {shown(self.color)}; give red, green, blue or grey")
        return self


class MapContent(_Part):
    """The content of a map's file."""

    other_words: ClassVar[dict[str, str]] = {
        "agents": "one robot drives: give start_tile and start_pose, and others as objects of kind duckiebot"
    }

    tile_size: Positive
    tiles: Annotated[
        list[_Row], Field(min_length=1), AfterValidator(_check_rows), BeforeValidator(_not_too_many)
    ]
    objects: Annotated[dict[Any, MapObject], BeforeValidator(_check_objects)] = _LEFT_OUT
    start_tile: _Pair = _LEFT_OUT
    start_pose: Any = None
    version: Any = None

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


def _described(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "missing":
        return f"is missing; give {_EXAMPLES.get(detail['loc'][-1], 'it')}"
    if detail["type"] == "model_type":
        return f"got {shown(detail['input'])}; give keys and their values"
    return f"got {shown(detail['input'])}; {detail['msg'][0].lower()}{detail['msg'][1:]}"
