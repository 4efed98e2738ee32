"""A map as arrays: where things are, and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.layout import Layout, stack_layouts
from ducklane.simulator.town.meshes import Meshes, stack_meshes
from ducklane.simulator.town.road import Road, stack_roads


class Scene(NamedTuple):
    """M maps."""

    layout: Layout
    road: Road
    meshes: Meshes
    mesh: NDArray[np.int64]
    """[M, K] index of each object's mesh in `meshes`"""


def stack_scenes(scenes: Sequence[Scene]) -> Scene:
    """One scene of M maps from M scenes of one map each."""
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
