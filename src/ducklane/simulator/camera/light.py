"""OpenGL's fixed-function light on a triangle.

OpenGL lights each corner, clamps it to 1 and interpolates between the corners (Gouraud shading). Here a
triangle, small by construction, has one colour: the one interpolated to its middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel
from ducklane.simulator.town.meshes import Meshes


@inner_kernel
def lit(
    meshes: Meshes,
    t: int,
    x: float,
    y: float,
    z: float,
    ambient: NDArray[np.float32],
    diffuse: NDArray[np.float32],
) -> tuple[float, float, float]:
    """Colour (red, green, blue), 0 to 1, of triangle t.

    Args:
        meshes: all meshes.
        t: the triangle.
        x, y, z: towards the lamp, in the mesh's frame; its length scales the diffuse light.
        ambient, diffuse: (3,) factors of light.
    """
    normals, weights, colors = meshes.normals[t], meshes.weights[t], meshes.colors[t]
    a, b, c = _falling(normals[0], x, y, z), _falling(normals[1], x, y, z), _falling(normals[2], x, y, z)
    return (
        _between(weights, colors[0], ambient[0], diffuse[0], a, b, c),
        _between(weights, colors[1], ambient[1], diffuse[1], a, b, c),
        _between(weights, colors[2], ambient[2], diffuse[2], a, b, c),
    )


@inner_kernel
def _falling(normal: NDArray[np.float32], x: float, y: float, z: float) -> float:
    return max(0.0, normal[0] * x + normal[1] * y + normal[2] * z)


@inner_kernel
def _between(
    weights: NDArray[np.float32], color: float, ambient: float, diffuse: float, a: float, b: float, c: float
) -> float:
    """One channel in the middle of a triangle, from the diffuse factors a, b, c of its lit corners."""
    return (
        weights[0] * min(1.0, color * (ambient + diffuse * a))
        + weights[1] * min(1.0, color * (ambient + diffuse * b))
        + weights[2] * min(1.0, color * (ambient + diffuse * c))
    )
