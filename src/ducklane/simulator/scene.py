"""Maps as arrays: what stands where, and what it looks like, read through gym-duckietown's own loader.

Reading a map takes OpenGL and some seconds, so the arrays are kept: in the process, and on the disk under a
name that changes with the map's file and those of its meshes and pictures, with the packages that read them
and with how they are baked.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.folders import cache_folder
from ducklane.settings import SimulatorSettings
from ducklane.simulator import appearance, camera, layout, map_format, reference
from ducklane.simulator.appearance import Meshes, Road, bake_meshes, bake_road, stack_meshes, stack_roads
from ducklane.simulator.layout import Layout, bake_layout, stack_layouts
from ducklane.simulator.maps import map_file, map_inputs

_READERS = ("duckietown-gym-daffy", "duckietown-world-daffy")
_BAKERS = (
    __file__,
    appearance.__file__,
    camera.__file__,
    layout.__file__,
    map_format.__file__,
    reference.__file__,
)


class Scene(NamedTuple):
    """M maps."""

    layout: Layout
    road: Road
    meshes: Meshes
    mesh: NDArray[np.int64]
    """[M, K] of each object, in `meshes`"""


@cache
def load_scene(map_names: tuple[str, ...]) -> Scene:
    """The maps of these names, in this order.

    Args:
        map_names: of packaged maps, or paths of map files.

    Raises:
        MapError: there is no such map.
        GraphicsError: a map is new here, and there is no OpenGL to read it with.
    """
    scenes = [_load_map(name) for name in map_names]
    if len(scenes) == 1:
        return scenes[0]
    shifts = np.cumsum([0, *(len(scene.meshes.cell) for scene in scenes[:-1])])
    most = max(scene.mesh.shape[1] for scene in scenes)
    mesh = [
        np.pad(scene.mesh + shift, ((0, 0), (0, most - scene.mesh.shape[1])))
        for scene, shift in zip(scenes, shifts, strict=True)
    ]
    return Scene(
        stack_layouts([scene.layout for scene in scenes]),
        stack_roads([scene.road for scene in scenes]),
        stack_meshes([scene.meshes for scene in scenes]),
        np.concatenate(mesh),
    )


@cache
def _load_map(name: str) -> Scene:
    kept = cache_folder("scenes") / f"{map_file(name).stem}-{_fingerprint(name)}.npz"
    if kept.exists():
        return _read(kept)
    scene = _bake(name)
    with suppress(OSError):  # a disk that is full is no reason not to go on
        _write(kept, scene)
    return scene


def _bake(name: str) -> Scene:
    simulator = reference.ReferenceSimulator(_plain_world(name))
    upstream = simulator._upstream
    meshes, mesh = bake_meshes(upstream.objects)
    scene = Scene(bake_layout(upstream), bake_road(upstream), meshes, mesh[None])
    simulator.close()
    return scene


def _plain_world(name: str) -> SimulatorSettings:
    """The smallest camera, and nothing drawn at random."""
    return SimulatorSettings.model_validate(
        {
            "backend": "gym-duckietown",
            "seed": 0,
            "map_name": name,
            "max_steps": 1,
            "camera_width": 16,
            "camera_height": 16,
            "accept_start_angle_deg": 180,
            "full_transparency": False,
            "distortion": False,
            "domain_rand": False,
            "dynamics_rand": False,
            "camera_rand": False,
            "threads": 1,
        }
    )


# --- on the disk --------------------------------------------------------------------------------------------


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256()
    for path in map_inputs(name):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for package in _READERS:
        digest.update(importlib.metadata.version(package).encode())
    for module in _BAKERS:
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()[:16]


_PARTS: dict[str, Any] = {"layout": Layout, "road": Road, "meshes": Meshes}


def _flat(scene: Scene) -> dict[str, NDArray[Any]]:
    arrays = {
        f"{part}.{name}": value for part in _PARTS for name, value in getattr(scene, part)._asdict().items()
    }
    return {**arrays, "mesh": scene.mesh}


def _write(path: Path, scene: Scene) -> None:
    draft = path.with_name(f".{os.getpid()}-{path.name}")  # several processes may be at it
    try:
        np.savez(draft, allow_pickle=False, **_flat(scene))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> Scene:
    with np.load(path) as kept:
        parts = {
            part: cls(**{name: np.ascontiguousarray(kept[f"{part}.{name}"]) for name in cls._fields})
            for part, cls in _PARTS.items()
        }
        return Scene(**parts, mesh=kept["mesh"])
