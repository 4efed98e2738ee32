"""Maps by name, as arrays, read from their files.

What a tile's picture, a mesh or a texture becomes takes up to half a second to compute and is the same on
every map, so it is kept on the disk. The rest of a map takes a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import PIL

from ducklane.machine.array_cache import Arrays, cached_arrays
from ducklane.simulator.town import meshes, road, textures
from ducklane.simulator.town.loading import wavefront
from ducklane.simulator.town.loading.layouts import read_layout
from ducklane.simulator.town.loading.models import Model, drawn, looks, read_model
from ducklane.simulator.town.loading.wavefront import read_triangles
from ducklane.simulator.town.map_format import as_written, kind_of
from ducklane.simulator.town.maps import is_own, read_map
from ducklane.simulator.town.meshes import Meshes, Painted, Shape, Skin, bake_shape, bake_skin, join_meshes
from ducklane.simulator.town.resources import MapError, content_of, tile_texture
from ducklane.simulator.town.road import FullTiles, Road, TileLevels, Whole, full_tiles
from ducklane.simulator.town.scene import Scene, stack_scenes
from ducklane.simulator.town.textures import decoded

CACHE_BYTES = 100_000_000
"""What the cache may take on the disk: all packaged maps take a third."""


@cache
def load_scene(map_names: tuple[str, ...]) -> Scene:
    """The maps of these names, in this order.

    Args:
        map_names: names of maps that `check_map` accepts, or paths of their files.

    Raises:
        MapError: a file from which a map is drawn is missing or cannot be read.
    """
    scenes = [_load_map(name) for name in map_names]
    if len(scenes) == 1:
        return scenes[0]
    return stack_scenes(scenes)


@cache
def load_full_tiles(map_names: tuple[str, ...]) -> FullTiles:
    """The tiles of these maps at full resolution; names and errors are those of `load_scene`."""
    contents = [_content(name) for name in map_names]
    paths = {kind: _picture(kind) for content in contents for kind in _tile_kinds(content)}
    return full_tiles(contents, {kind: decoded(content_of(path), path) for kind, path in paths.items()})


def _content(name: str) -> Any:
    content = read_map(name)
    # packaged maps are read as gym-duckietown does
    return as_written(content) if is_own(name) else content


def _tile_kinds(content: Mapping[str, Any]) -> list[str]:
    return sorted({kind_of(tile) for row in content["tiles"] for tile in row})


@cache
def _load_map(name: str) -> Scene:
    content = _content(name)
    things = drawn(content)
    models = {looks(thing): read_model(thing) for thing in things}
    shapes = {look: _shape(model) for look, model in models.items()}
    numbers = {look: number for number, look in enumerate(models)}
    return Scene(
        read_layout(content, [shapes[looks(thing)].bounds for thing in things]),
        _road(content),
        _meshes([(model, shapes[look]) for look, model in models.items()]),
        np.array([[numbers[looks(thing)] for thing in things]], np.int64),
    )


def _road(content: Mapping[str, Any]) -> Road:
    kinds = _tile_kinds(content)
    pictures = {kind: _tile(kind) for kind in kinds}
    lying = [repr(content["tiles"]).encode(), *(content_of(_picture(kind)) for kind in kinds)]
    whole = Whole(**_cached(lying, [road, textures], lambda: road.bake_whole(content, pictures)._asdict()))
    return road.join_tiles(content, pictures, whole)


def _meshes(kinds: Collection[tuple[Model, Shape]]) -> Meshes:
    """The meshes, with their textures in the order in which they appear and lights' patterns last."""
    skins: dict[tuple[Path, bool], int] = {}  # a picture and whether it is a light's: number
    painted = []
    for model, shape in kinds:
        names = shape.materials.tolist()
        pictures = [None if path is None else (path, False) for path in map(model.picture, names)]
        if model.patterns:
            pictures[0] = model.patterns[0], True
        numbers = [skins.setdefault(picture, len(skins)) if picture else -1 for picture in pictures]
        colors = np.array([model.color(name) for name in names], np.float32)
        painted.append(Painted(shape, colors, np.array(numbers, np.int32)))
    second: dict[int, int] = {}
    for patterns in (model.patterns for model, _ in kinds if model.patterns):
        first, other = (skins.setdefault((path, True), len(skins)) for path in patterns)
        second[first] = other
    return join_meshes(
        painted, [_skin(path) for path, _ in skins], [second.get(skin, skin) for skin in range(len(skins))]
    )


# --- kept on the disk ---------------------------------------------------------------------------------------


def _tile(kind: str) -> TileLevels:
    path = _picture(kind)
    content = content_of(path)
    return TileLevels(
        **_cached([content], [road, textures], lambda: road.bake_tile(decoded(content, path))._asdict())
    )


def _picture(kind: str) -> Path:
    path = tile_texture(kind)
    if path is None:
        raise MapError(f"tiles: {kind} has no picture among the files of duckietown_world; install it again")
    return path


def _skin(path: Path) -> Skin:
    content = content_of(path)
    return Skin(**_cached([content], [meshes, textures], lambda: bake_skin(decoded(content, path))._asdict()))


def _shape(model: Model) -> Shape:
    content, known = content_of(model.mesh), sorted(model.materials)
    return Shape(
        **_cached(
            [content, *(name.encode() for name in known)],
            [meshes, wavefront],
            lambda: bake_shape(read_triangles(content, known, model.mesh))._asdict(),
        )
    )


_VERSIONS = [f"{package.__name__} {package.__version__}".encode() for package in (np, cv2, PIL)]


def _cached(content: list[bytes], code: list[ModuleType], bake: Callable[[], Arrays]) -> Arrays:
    return cached_arrays("scenes", [*content, *_VERSIONS], code, bake, limit_bytes=CACHE_BYTES)
