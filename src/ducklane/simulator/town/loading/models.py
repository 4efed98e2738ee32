"""What the objects of a map look like: the files of their meshes, materials and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ducklane.simulator.town.loading.wavefront import Material, read_materials
from ducklane.simulator.town.map_format import named
from ducklane.simulator.town.resources import (
    MAPS_FOLDER,
    SIGN,
    TRAFFIC_LIGHT,
    MapError,
    content_of,
    find_resource,
    mesh_stem,
)

_SIGN_FACE = "April_Tag"
"""The material of the shared mesh that carries a sign's picture."""

_CHASSIS = ("gkmodel0_chassis_geom0_mat_001-material", "gkmodel0_chassis_geom0_mat_001-material.001")
"""The materials of a Duckiebot that have its colour."""

_COLORS = {"green": (0.0, 0.5, 0.0), "red": (0.5, 0.0, 0.0), "grey": (0.3, 0.3, 0.3), "blue": (0.0, 0.0, 0.5)}


class Model(NamedTuple):
    """A mesh and its materials."""

    mesh: Path
    materials: dict[str, Material]
    """by name; under "" that of triangles without one"""
    patterns: tuple[Path, Path] | None = None
    """of a traffic light: pictures in place of that of its first material, in its first and second pattern"""

    def color(self, material: str) -> tuple[float, ...]:
        """Red, green and blue of a material, 0 to 1.

        Raises:
            MapError: its file gives none.
        """
        color = self.materials[material].color
        if color is None or len(color) != 3:
            raise MapError(f"{self.mesh}: material {material} has no colour; give it one (Kd) in the *.mtl")
        return color

    def picture(self, material: str) -> Path | None:
        """The file of a material's texture.

        Raises:
            MapError: it is missing.
        """
        name = self.materials[material].picture
        return None if name is None else _found(os.path.basename(name))


def drawn(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The descriptions of a map's objects that are drawn, in the order of its file."""
    return [thing for thing in named(content.get("objects") or {}).values() if thing["kind"] != "floor_tag"]


def looks(thing: Mapping[str, Any]) -> tuple[str, str]:
    """Equal for objects that look the same."""
    kind = thing["kind"]
    return kind, thing.get("color", "red") if kind == "duckiebot" else ""


def read_model(thing: Mapping[str, Any]) -> Model:
    """What an object looks like.

    Args:
        thing: its description in the map's file.

    Raises:
        MapError: a file is missing or cannot be read.
    """
    kind, color = looks(thing)
    if kind.startswith("sign"):
        mesh = _found(f"{SIGN}.obj")
        return Model(mesh, _changed(_materials(mesh), [_SIGN_FACE], picture=f"{kind}.png"))
    mesh = _found(f"{kind}.obj")
    materials = _materials(mesh)
    if color:
        materials = _changed(materials, _CHASSIS, color=_COLORS[color])
    if kind == "trafficlight":
        first, second = map(_found, TRAFFIC_LIGHT)
        return Model(mesh, materials, (first, second))
    return Model(mesh, materials)


def _materials(mesh: Path) -> dict[str, Material]:
    """The materials of a mesh, which are found by its name alone, wherever the mesh is."""
    stem = mesh_stem(mesh)
    plain = Material((1.0, 1.0, 1.0), f"{stem}.png" if find_resource(f"{stem}.png") else None)
    file = find_resource(f"{stem}.mtl")
    return {"": plain, **(read_materials(content_of(file), file) if file else {})}


def _changed(materials: dict[str, Material], names: Iterable[str], **changes: Any) -> dict[str, Material]:
    changed = {name: materials[name]._replace(**changes) for name in names if name in materials}
    return materials | changed


def _found(name: str) -> Path:
    path = find_resource(name)
    if path is None:
        raise MapError(
            f"{name}: there is no such file in {MAPS_FOLDER} or duckietown_world; put it into {MAPS_FOLDER}"
        )
    return path
