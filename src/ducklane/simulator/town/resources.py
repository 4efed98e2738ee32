"""Finds the files that a map names, as gym-duckietown would, without loading it.

gym-duckietown looks for a name in the working directory, then among the files packaged in duckietown_world,
in the order in which the file system lists them. In between, ducklane adds the folder `maps` (see
`stock/adaptations.py`).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ducklane.errors import UserError

MAPS_FOLDER = Path("maps")
"""The folder for a project's own maps, meshes, pictures and signs, whose changes DVC tracks."""

MAPS_VERSION = "6.4.3"
"""Of duckietown-world-daffy, as constraints.txt pins it."""

_SUFFIXES = frozenset({".png", ".jpg", ".yaml", ".gltf", ".obj", ".mtl", ".json", ".tga", ".bmp"})
_PICTURES = (".jpg", ".png", ".tga", ".bmp")
_NUMBERS = ("", "_1", "_2", "_3", "_4")
_TILES = "tiles-processed/photos"

SIGN = "sign_generic"
"""The mesh that all signs share."""

TRAFFIC_LIGHT = ("trafficlight_card0.jpg", "trafficlight_card1.jpg")
"""Pictures of a traffic light's two patterns."""


class MapError(UserError):
    """There is no such map, its file is wrong, or it has no road. Exit code 2, as for any wrong setting."""

    exit_code = 2


@cache
def packaged_folder() -> Path:
    """The folder of duckietown_world's maps, meshes and textures."""
    package = importlib.util.find_spec("duckietown_world")
    if package is None or package.origin is None:
        raise MapError(
            "map_name: duckietown_world, which holds the maps, is missing; "
            f"type pip install --no-deps duckietown-world-daffy=={MAPS_VERSION}"
        )
    return Path(os.path.realpath(package.origin)).parent / "data"


def own_resource(name: str) -> Path | None:
    """The project's own file of this name, or None."""
    return next((path for path in (Path(name), MAPS_FOLDER / name) if path.exists()), None)


def find_resource(name: str) -> Path | None:
    """The file that gym-duckietown loads for a name, or None where it would raise an exception."""
    if own := own_resource(name):
        return own
    by_name, paths = _packaged()
    if "/" in name:
        return next((Path(path) for path in paths if path.endswith(name)), None)
    return by_name.get(name)


def content_of(path: Path) -> bytes:
    """The content of a file.

    Raises:
        MapError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MapError(f"{path}: cannot be read ({error.strerror}); give a readable file") from error


def tile_texture(kind: str) -> Path | None:
    """The picture of a tile, or None if there is none."""
    names = [f"{_TILES}/{kind}/texture{number}{suffix}" for number in _NUMBERS for suffix in _PICTURES]
    paths = _packaged()[1]
    return next((Path(path) for name in names for path in paths if path.endswith(name)), None)


def object_files(kind: str) -> Iterator[Path]:
    """The files from which an object is drawn: mesh, materials and pictures, those that exist."""
    if kind == "floor_tag":
        return
    if kind.startswith("sign"):
        yield from _existing(os.path.basename(f"{kind}.png"))
        kind = SIGN
    if kind == "trafficlight":
        yield from _existing(*TRAFFIC_LIGHT)
    mesh = find_resource(f"{kind}.obj")
    if mesh is None:
        return
    yield mesh
    stem = mesh_stem(mesh)
    yield from _existing(f"{stem}.png")
    for materials in _existing(f"{stem}.mtl"):
        yield materials
        yield from _existing(*material_pictures(materials))


def mesh_problem(path: Path) -> str | None:
    """Why gym-duckietown cannot read a mesh (*.obj), with the cure; None if it can."""
    faces = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("f "):
                faces += 1
                corners = [corner.split("/") for corner in line.split()[1:]]
                if len(corners) != 3 or any(len(part) != 3 or not (part[0] and part[2]) for part in corners):
                    return f"{path}:{number}: is not a triangle with normals; export triangles and normals"
    if not faces:
        return f"{path}: has no faces; export triangles and normals"
    pictures = [name for file in _existing(f"{mesh_stem(path)}.mtl") for name in material_pictures(file)]
    missing = [name for name in pictures if find_resource(name) is None]
    if missing:
        return f"{path}: its picture {missing[0]} is missing; put it into {MAPS_FOLDER}"
    return None


def mesh_stem(mesh: Path) -> str:
    """By this name the loader looks for a mesh's materials and its picture, wherever the mesh is."""
    return mesh.name.split(".")[0]


def materials_beside(kind: str) -> list[Path]:
    """Materials and pictures beside one of the project's meshes, where the loader does not look for them."""
    mesh = own_resource(f"{kind}.obj")
    if mesh is None:
        return []
    files = (mesh.with_suffix(suffix) for suffix in (".mtl", ".png"))
    return [path for path in files if path.is_file() and own_resource(path.name) is None]


def material_pictures(materials: Path) -> list[str]:
    """Names of the pictures in a file of materials (*.mtl)."""
    words = [line.split() for line in materials.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [os.path.basename(line[-1]) for line in words if line[:1] == ["map_Kd"]]


def _existing(*names: str) -> Iterator[Path]:
    for name in names:
        path = find_resource(name)
        if path is not None:
            yield path


@cache
def _packaged() -> tuple[dict[str, Path], list[str]]:
    """The first file of each name, and the paths of all files."""
    paths = list(dict.fromkeys(_files()))
    by_name: dict[str, Path] = {}
    for path in paths:
        by_name.setdefault(os.path.basename(path), Path(path))
    return by_name, paths


def _files() -> Iterator[str]:
    for folder, _, names in os.walk(packaged_folder(), followlinks=True):
        real = os.path.realpath(folder)  # once for all files in it: there are thousands
        for name in names:
            if os.path.splitext(name)[1] in _SUFFIXES:
                path = os.path.join(real, name)
                yield os.path.realpath(path) if os.path.islink(path) else path
