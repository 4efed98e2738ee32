"""Notes on a map's file: what gym-duckietown's loader ignores without harm, or does differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ducklane.settings.refusals import dotted, shown
from ducklane.simulator.town.map_format import POSITIONS, MapContent, MapObject, displacement, named
from ducklane.simulator.town.resources import MAPS_FOLDER, materials_beside

_BESIDE = 0.25
"""Tiles beside the map at which an object still counts as on it: signs stand there."""


def notes_on(content: Any) -> list[str]:
    """What the loader ignores in a valid map's content, or does differently; one line for each kind."""
    notes = list(_notes(content))
    times = Counter(text for _, text in notes)
    first = {text: place for place, text in reversed(notes)}
    return [
        f"{place}: {text}" + (f" (and {times[text] - 1} more like it)" if times[text] > 1 else "")
        for text, place in reversed(first.items())
    ]


def _notes(content: Any) -> Iterator[tuple[str, str]]:
    """(place, text) of each note."""
    for key in MapContent.unknown_keys(content):
        yield dotted([key]), "unknown key without a value, ignored"
    tile = content.get("start_tile")
    if tile is not None and tile != [int(number) for number in tile]:
        yield "start_tile", f"{shown(tile)} is read as {[int(number) for number in tile]}"
    for name, thing in named(content.get("objects") or {}).items():
        for place, text in _notes_on_object(thing):
            yield dotted(["objects", name, *place]), text
        if _is_off_the_map(*_stands_at(thing, content), content):
            yield dotted(["objects", name]), "stands off the map"
    if too_low := displacement(content):
        yield (
            "objects",
            "pos is [column, row] from the top left here; "
            f"gym-duckietown itself places objects {too_low}, so remove any correction for that",
        )


def _is_off_the_map(column: float, row: float, content: Any) -> bool:
    columns, rows = len(content["tiles"][0]), len(content["tiles"])
    return not (-_BESIDE <= column <= columns + _BESIDE and -_BESIDE <= row <= rows + _BESIDE)


def _notes_on_object(thing: Mapping[str, Any]) -> Iterator[tuple[list[str], str]]:
    for key in MapObject.unknown_keys(thing):
        yield [key], "unknown key without a value, ignored"
    position = _position(thing)
    for other in POSITIONS:
        if other in thing and other != position:
            yield (
                [other],
                f"ignored, since {position} sets the position; leave one of them out",
            )
    if "rotate" in thing and position in {"pose", "place"}:
        yield ["rotate"], f"ignored, since {position} sets the angle; give theta_deg there"
    if thing.get("pedestrian"):
        yield ["pedestrian"], "ignored, since static: false makes it walk"
    if "color" in thing and thing["kind"] != "duckiebot":
        yield ["color"], "ignored, since only a duckiebot has one"
    if thing["kind"] == "floor_tag":
        yield [], "a floor_tag is not drawn"
    for path in materials_beside(thing["kind"]):
        yield (
            ["kind"],
            f"{path} is ignored, since {path.name} is searched in the working directory and in "
            f"{MAPS_FOLDER} only; move it to {MAPS_FOLDER}",
        )


def _position(thing: Mapping[str, Any]) -> str:
    return next(name for name in POSITIONS if name in thing)


def _stands_at(thing: Mapping[str, Any], content: Any) -> tuple[float, float]:
    """(column, row) of an object; poses, places and slots count from the bottom left."""
    height, size = len(content["tiles"]), content["tile_size"]
    match thing:
        case {"pos": [column, row]}:
            return column, row
        case {"pose": pose}:
            x, y = _offset(pose)
            return x / size, height - y / size
        case {"place": {"tile": [i, j], "relative": relative}}:
            x, y = _offset(relative)
            return i + 0.5 + x / size, height - (j + 0.5 + y / size)
        case {"attach": {"tile": [i, j]}}:
            return i, height - j
    raise AssertionError("an object stands somewhere")


def _offset(pose: Mapping[str, Any]) -> tuple[float, float]:
    x, y = (pose["~SE2Transform"] or {}).get("p", (0.0, 0.0))
    return x, y
