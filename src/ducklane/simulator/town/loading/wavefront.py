"""Meshes (*.obj) and materials (*.mtl), files in Wavefront's format, as gym-duckietown reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.resources import MapError

Floats = NDArray[np.float32]


class Triangles(NamedTuple):
    """A mesh of T triangles, ordered by material; its base is at y = 0, its middle at x = z = 0."""

    positions: Floats
    """(T, 3, 3) of the corners"""
    uv: Floats
    """(T, 3, 2) texture coordinates of the corners; 0 where the file has none"""
    normals: Floats
    """(T, 3, 3) at the corners"""
    material: NDArray[np.int32]
    """(T,) index in `materials`"""
    materials: tuple[str, ...]
    """names of those that are in use, sorted; "" for none or an unknown one"""


class Material(NamedTuple):
    """What a triangle looks like."""

    color: tuple[float, ...] | None = None
    """red, green and blue, 0 to 1; None if the file gives none"""
    picture: str | None = None
    """name of the texture's file"""


def read_triangles(content: bytes, known: Collection[str], path: Path) -> Triangles:
    """Parse a mesh.

    Args:
        content: of the file.
        known: names of materials that there are.
        path: of the file, for the error.

    Raises:
        MapError: it is not a mesh of triangles with normals.
    """
    try:
        return _centred(_parsed(_lines(content), known))
    except (ValueError, IndexError) as error:
        raise MapError(
            f"{path}: is not a mesh of triangles ({error}); export triangles and normals"
        ) from error


def read_materials(content: bytes, path: Path) -> dict[str, Material]:
    """Parse a file of materials: each by its name.

    Args:
        content: of the file.
        path: of the file, for the error.

    Raises:
        MapError: a colour is not made of numbers.
    """
    materials: dict[str, Material] = {}
    name = ""
    for line in _lines(content):
        match line.split():
            case ["newmtl", name, *_]:
                materials[name] = Material()
            case ["Kd", *color] if name:
                try:
                    materials[name] = materials[name]._replace(color=tuple(map(float, color)))
                except ValueError:
                    raise MapError(f"{path}: {name}: got {line}; give Kd and three numbers") from None
            case ["map_Kd", *_, picture] if name:
                materials[name] = materials[name]._replace(picture=picture)
    return materials


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _parsed(lines: Iterable[str], known: Collection[str]) -> Triangles:
    rows: dict[str, list[str]] = {"v": [], "vt": [], "vn": []}
    faces: list[str] = []
    names: list[str] = []
    name = ""
    for line in lines:
        prefix, _, rest = line.strip().partition(" ")
        if prefix in rows:
            rows[prefix].append(rest)
        elif prefix == "f":
            faces.append(rest)
            names.append(name)
        elif prefix == "usemtl":
            name = next((word for word in rest.split()[:1] if word in known), "")
    if not faces:
        raise ValueError("it has no faces")
    materials, material = np.unique(names, return_inverse=True)
    order = np.argsort(material, kind="stable")
    corners = _indices(faces)[order]
    vertices, texture, normals = _numbers(rows["v"], 3), _numbers(rows["vt"], 2), _numbers(rows["vn"], 3)
    if corners[..., 1].max() > len(texture):
        raise IndexError(f"it has {len(texture)} texture coordinates, and a face names more")
    none = np.zeros((1, 2))  # the last row, which index -1 means: a corner without texture coordinates
    return Triangles(
        vertices[corners[..., 0] - 1].astype(np.float32),
        np.concatenate([texture, none])[corners[..., 1] - 1].astype(np.float32),
        normals[corners[..., 2] - 1].astype(np.float32),
        material[order].astype(np.int32),
        tuple(materials.tolist()),
    )


def _indices(faces: Sequence[str]) -> NDArray[np.int64]:
    """(T, 3, 3) one-based indices of each corner's vertex, texture coordinates (0 for none) and normal."""
    words = " ".join(faces).replace("//", "/0/").replace("/", " ").split()
    return np.array(list(map(int, words)), np.int64).reshape(len(faces), 3, 3)


def _numbers(rows: Sequence[str], columns: int) -> NDArray[np.float64]:
    return np.array(list(map(float, " ".join(rows).split()))).reshape(len(rows), columns)


def _centred(triangles: Triangles) -> Triangles:
    positions = triangles.positions
    # upstream takes the smallest of the three corners' largest coordinates: meshes are a little off centre
    lowest, highest = positions.min(axis=(0, 1)), positions.max(axis=0).min(axis=0)
    middle = (lowest + highest) / 2
    return triangles._replace(positions=positions - np.array([middle[0], lowest[1], middle[2]], np.float32))
