"""OpenGL's light on a triangle: each corner lit by itself, none brighter than 1, and their mean."""

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
    """Colour of a triangle under a lamp in the direction (x, y, z) of its mesh."""
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
    """Brightness in the middle of a triangle: OpenGL lights the corners, none brighter than 1."""
    return (
        weights[0] * min(1.0, color * (ambient + diffuse * a))
        + weights[1] * min(1.0, color * (ambient + diffuse * b))
        + weights[2] * min(1.0, color * (ambient + diffuse * c))
    )
