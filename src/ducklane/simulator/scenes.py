"""Maps by name, as arrays, read through gym-duckietown's own loader.

Reading a map takes OpenGL and some seconds, so the arrays are cached: in the process, and on disk under a
name that changes with the map's file, its meshes and pictures, the packages that read them and the code that
bakes them into arrays.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.machine.folders import cache_folder
from ducklane.settings import SimulatorSettings
from ducklane.simulator.stock import adaptations, upstream
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town import layout, map_format, meshes, palette, road, textures
from ducklane.simulator.town.layout import Layout, bake_layout
from ducklane.simulator.town.maps import map_file, map_inputs
from ducklane.simulator.town.meshes import Meshes, bake_meshes
from ducklane.simulator.town.road import Road, bake_road
from ducklane.simulator.town.scene import Scene, stack_scenes

_READERS = ("duckietown-gym-daffy", "duckietown-world-daffy")
_BAKERS = [
    Path(__file__),
    *(
        Path(str(module.__file__))
        for module in (layout, map_format, meshes, palette, road, textures, adaptations, upstream)
    ),
]


@cache
def load_scene(map_names: tuple[str, ...]) -> Scene:
    """The maps of these names, in this order.

    Args:
        map_names: names of packaged maps, or paths of map files.

    Raises:
        MapError: there is no such map.
        GraphicsError: a map has not been cached yet, and there is no OpenGL to read it with.
    """
    scenes = [_load_map(name) for name in map_names]
    if len(scenes) == 1:
        return scenes[0]
    return stack_scenes(scenes)


@cache
def _load_map(name: str) -> Scene:
    cached = cache_folder("scenes") / f"{map_file(name).stem}-{_fingerprint(name)}.npz"
    if cached.exists():
        return _read(cached)
    scene = _bake(name)
    with suppress(OSError):  # a full disk only costs the cache
        _write(cached, scene)
    return scene


def _bake(name: str) -> Scene:
    simulator = StockSimulator(_plain_world(name))
    stock = simulator._upstream
    shapes, mesh = bake_meshes(stock.objects)
    scene = Scene(bake_layout(stock), bake_road(stock), shapes, mesh[None])
    simulator.close()
    return scene


def _plain_world(name: str) -> SimulatorSettings:
    """Settings of a simulator to read a map from: the smallest camera, and nothing randomised."""
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


# --- the cache on disk --------------------------------------------------------------------------------------


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256()
    for path in map_inputs(name):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for package in _READERS:
        digest.update(importlib.metadata.version(package).encode())
    for module in _BAKERS:
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


_PARTS: dict[str, Any] = {"layout": Layout, "road": Road, "meshes": Meshes}


def _flat(scene: Scene) -> dict[str, NDArray[Any]]:
    arrays = {
        f"{part}.{name}": value for part in _PARTS for name, value in getattr(scene, part)._asdict().items()
    }
    return {**arrays, "mesh": scene.mesh}


def _write(path: Path, scene: Scene) -> None:
    draft = path.with_name(f".{os.getpid()}-{path.name}")  # several processes may bake the same map
    try:
        np.savez(draft, allow_pickle=False, **_flat(scene))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> Scene:
    with np.load(path) as arrays:
        parts = {
            part: cls(**{name: np.ascontiguousarray(arrays[f"{part}.{name}"]) for name in cls._fields})
            for part, cls in _PARTS.items()
        }
        return Scene(**parts, mesh=arrays["mesh"])
