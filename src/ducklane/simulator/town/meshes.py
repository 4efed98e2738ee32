"""Meshes of a map's objects and their skins (textures), at several levels of detail.

Far away, thousands of triangles would fall into one pixel; coarser versions of a mesh have fewer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.loading.wavefront import Triangles
from ducklane.simulator.town.textures import Image, packed

SKIN_TEXELS = 256
"""Largest side of a skin at its finest resolution; larger textures are shrunk."""

SKIN_LEVELS = 7
"""Resolutions of a skin, each half of the one before."""

SEAMS = 0.01
"""Largest fraction of edges without a triangle on either side for which a mesh still counts as closed, so
that its back faces need not be drawn. Those of the Duckiebot and the barrier have a few such seams."""

LONGEST_EDGE = 0.15
"""Largest edge of a triangle, as a fraction of its mesh's longest side; longer ones are divided."""

DETAILS = 9
"""Versions of a mesh."""

COARSEST = 1.5
"""Cells along the longest side of a mesh in its coarsest version."""


class Meshes(NamedTuple):
    """K meshes in DETAILS versions, with V vertices and T triangles in all, and S skins (textures)."""

    vertices: NDArray[np.float32]
    """(V, 3) of all versions of all meshes"""
    corners: NDArray[np.int32]
    """(T, 3) indices of each triangle's corners among its version's vertices"""
    normals: NDArray[np.float32]
    """(T, 3, 3) normals at the corners of the original triangle of which this is a part"""
    weights: NDArray[np.float32]
    """(T, 3) barycentric weights of those corners in the middle of this triangle"""
    colors: NDArray[np.float32]
    """(T, 3) material colour, 0 to 1"""
    uv: NDArray[np.float32]
    """(T, 3, 2) texture coordinates of the corners"""
    skin: NDArray[np.int32]
    """(T,) index of the skin, -1 for none"""
    first_vertex: NDArray[np.int64]
    """(K, DETAILS + 1) first vertex of each version; version d ends where version d + 1 begins"""
    first_triangle: NDArray[np.int64]
    """(K, DETAILS + 1) likewise"""
    cell: NDArray[np.float32]
    """(K, DETAILS) size of the grid by which a version was coarsened, in units of the mesh; 0: the
    original"""
    closed: NDArray[np.bool_]
    """(K,) whether the inside cannot be seen, except through seams"""
    bounds: NDArray[np.float32]
    """(K, 2, 3) smallest and largest coordinates"""
    texels: NDArray[np.uint32]
    """all skins at all levels: red, green, blue, a byte each; in row 0 the second texture coordinate is 0"""
    skin_start: NDArray[np.int64]
    """(S, SKIN_LEVELS) index of the first texel"""
    skin_size: NDArray[np.int32]
    """(S, SKIN_LEVELS, 2) rows and columns"""
    second_skin: NDArray[np.int32]
    """(S,) the skin shown instead in a traffic light's second pattern"""


class _Mesh(NamedTuple):
    vertices: NDArray[np.float32]
    corners: NDArray[np.int32]
    normals: NDArray[np.float32]
    weights: NDArray[np.float32]
    uv: NDArray[np.float32]
    material: NDArray[np.int32]
    cell: float


_NO_MESH = _Mesh(
    vertices=np.zeros((1, 3), np.float32),
    corners=np.zeros((0, 3), np.int32),
    normals=np.zeros((0, 3, 3), np.float32),
    weights=np.zeros((0, 3), np.float32),
    uv=np.zeros((0, 3, 2), np.float32),
    material=np.zeros(0, np.int32),
    cell=0.0,
)


class Shape(NamedTuple):
    """A mesh in DETAILS versions, one after the other, without its materials: see `Meshes`."""

    vertices: NDArray[np.float32]
    corners: NDArray[np.int32]
    normals: NDArray[np.float32]
    weights: NDArray[np.float32]
    uv: NDArray[np.float32]
    material: NDArray[np.int32]
    """(T,) index in `materials`"""
    materials: NDArray[np.str_]
    """their names"""
    vertex_count: NDArray[np.int64]
    """(DETAILS,)"""
    triangle_count: NDArray[np.int64]
    """(DETAILS,)"""
    cell: NDArray[np.float32]
    """(DETAILS,)"""
    closed: NDArray[np.bool_]
    """()"""
    bounds: NDArray[np.float32]
    """(2, 3)"""


class Skin(NamedTuple):
    """A texture at SKIN_LEVELS resolutions, one after the other."""

    texels: NDArray[np.uint32]
    size: NDArray[np.int32]
    """(SKIN_LEVELS, 2) rows and columns"""


class Painted(NamedTuple):
    """A mesh with its materials, M of them."""

    shape: Shape
    colors: NDArray[np.float32]
    """(M, 3)"""
    skins: NDArray[np.int32]
    """(M,) index of the skin, -1 for none"""


def bake_shape(triangles: Triangles | None) -> Shape:
    """Make the coarser versions of a mesh.

    Args:
        triangles: the mesh; None for one that is not there.
    """
    versions = _versions(_NO_MESH if triangles is None else _whole(triangles))
    vertices = versions[0].vertices
    return Shape(
        **{name: np.concatenate([getattr(v, name) for v in versions]) for name in _Mesh._fields[:-1]},
        materials=np.array(triangles.materials if triangles else [], np.str_),
        vertex_count=np.array([len(version.vertices) for version in versions], np.int64),
        triangle_count=np.array([len(version.corners) for version in versions], np.int64),
        cell=np.array([version.cell for version in versions], np.float32),
        closed=np.array(_is_closed(versions[0])),
        bounds=np.array([vertices.min(0), vertices.max(0)], np.float32),
    )


def bake_skin(picture: Image) -> Skin:
    """Shrink a texture; row 0 is the topmost."""
    levels = [_skin_level(picture[::-1], level) for level in range(SKIN_LEVELS)]
    return Skin(
        np.concatenate([packed(level).ravel() for level in levels]),
        np.array([level.shape[:2] for level in levels], np.int32),
    )


def join_meshes(models: Sequence[Painted], skins: Sequence[Skin], second_skin: Sequence[int]) -> Meshes:
    """The meshes of one map.

    Args:
        models: if there are none, one that is not there is taken.
        skins: of all models.
        second_skin: as in `Meshes`.
    """
    models = models or [Painted(bake_shape(None), np.zeros((0, 3), np.float32), np.zeros(0, np.int32))]
    shapes = [model.shape for model in models]
    sizes = np.array([skin.size for skin in skins], np.int32).reshape(-1, SKIN_LEVELS, 2)
    ends = np.cumsum(sizes.prod(axis=2, dtype=np.int64))
    return Meshes(
        **{
            name: np.concatenate([getattr(shape, name) for shape in shapes])
            for name in ("vertices", "corners", "normals", "weights", "uv")
        },
        colors=np.concatenate([model.colors[model.shape.material] for model in models]),
        skin=np.concatenate([model.skins[model.shape.material] for model in models]),
        first_vertex=_firsts([shape.vertex_count for shape in shapes]),
        first_triangle=_firsts([shape.triangle_count for shape in shapes]),
        cell=np.array([shape.cell for shape in shapes]),
        closed=np.array([shape.closed for shape in shapes]),
        bounds=np.array([shape.bounds for shape in shapes]),
        texels=np.concatenate([np.zeros(0, np.uint32), *(skin.texels for skin in skins)]),
        skin_start=np.concatenate([[0], ends])[:-1].reshape(-1, SKIN_LEVELS),
        skin_size=sizes,
        second_skin=np.array(second_skin, np.int32),
    )


def stack_meshes(parts: Sequence[Meshes]) -> Meshes:
    """All meshes of several maps."""

    def offsets(sizes: Iterable[int]) -> list[int]:
        return list(itertools.accumulate(sizes, initial=0))[:-1]

    shifts = {
        "first_vertex": offsets(len(part.vertices) for part in parts),
        "first_triangle": offsets(len(part.corners) for part in parts),
        "skin_start": offsets(len(part.texels) for part in parts),
        "second_skin": offsets(len(part.second_skin) for part in parts),
        "skin": offsets(len(part.second_skin) for part in parts),
    }
    joined = {}
    for name in Meshes._fields:
        arrays = [getattr(part, name) for part in parts]
        if name in shifts:
            moved = zip(arrays, shifts[name], strict=True)
            arrays = [np.where(array < 0, array, array + shift).astype(array.dtype) for array, shift in moved]
        joined[name] = np.concatenate(arrays)
    return Meshes(**joined)


def _firsts(counts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Where each of several consecutive parts begins, and where the last of each row ends."""
    ends = np.cumsum(np.array(counts)).reshape(len(counts), -1)
    return np.hstack([ends[:, :1] - np.array(counts)[:, :1], ends])


def _whole(triangles: Triangles) -> _Mesh:
    positions = triangles.positions
    count = len(positions)
    weights = np.broadcast_to(np.eye(3), (count, 3, 3))
    number = np.broadcast_to(np.arange(count)[:, None, None], (count, 3, 1))
    corners = np.concatenate([positions, triangles.uv, weights, number], axis=2)
    corners = _divided(corners, LONGEST_EDGE * float(np.ptp(positions, axis=(0, 1)).max()))
    original = np.rint(corners[:, 0, 8]).astype(np.int64)
    vertices, indices = np.unique(
        corners[:, :, :3].reshape(-1, 3).astype(np.float32), axis=0, return_inverse=True
    )
    return _Mesh(
        vertices=vertices,
        corners=indices.reshape(-1, 3).astype(np.int32),
        normals=triangles.normals[original],
        weights=corners[:, :, 5:8].mean(axis=1).astype(np.float32),
        uv=corners[:, :, 3:5].astype(np.float32),
        material=triangles.material[original],
        cell=0.0,
    )


def _divided(triangles: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Halve triangles [T, 3 corners, position and more] until no edge is longer than `limit`.

    Because the lens bends long edges, and because triangles partly behind the camera are left out altogether.
    """
    while True:
        edges = np.linalg.norm(triangles[:, [1, 2, 0], :3] - triangles[:, :, :3], axis=2)
        long = edges.max(axis=1) > limit
        if not long.any():
            return triangles
        # turned so that the longest edge is the first
        turn = (edges[long].argmax(axis=1)[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(triangles[long], turn[:, :, None], axis=1), 1, 0)
        middle = (a + b) / 2
        halves = [np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)]
        triangles = np.concatenate([triangles[~long], *halves])


def _is_closed(mesh: _Mesh) -> bool:
    """Whether nearly all edges have one triangle on either side, both oriented the same way."""
    fine = np.ptp(mesh.vertices, axis=0).max() * 1e-5  # corners that coincide but for rounding
    _, place = np.unique(np.rint(mesh.vertices / max(fine, 1e-12)), axis=0, return_inverse=True)
    corners = place.reshape(-1)[mesh.corners]
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    ways, count = np.unique(edges, axis=0, return_counts=True)
    back = {tuple(way): number for way, number in zip(ways.tolist(), count.tolist(), strict=True)}
    open_edges = sum(abs(number - back.get((b, a), 0)) for (a, b), number in back.items())
    return bool(open_edges <= SEAMS * len(edges))


def _versions(mesh: _Mesh) -> list[_Mesh]:
    if mesh is _NO_MESH:
        return [mesh] * DETAILS
    longest = float(np.ptp(mesh.vertices, axis=0).max())
    cells = [longest / (COARSEST * 2**finer) for finer in reversed(range(DETAILS - 1))]
    return [mesh, *(_coarsened(mesh, cell) for cell in cells)]


def _coarsened(mesh: _Mesh, cell: float) -> _Mesh:
    """Merge the vertices in each cell of a grid into their mean, and drop triangles that collapse.

    Vertex clustering (Rossignac and Borrel, 1993).
    """
    keys = np.floor(mesh.vertices / cell + 0.5).astype(np.int64)
    _, cluster = np.unique(keys, axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    weight = np.bincount(cluster)[:, None]
    vertices = np.stack([np.bincount(cluster, mesh.vertices[:, axis]) for axis in range(3)], axis=1) / weight
    corners = cluster[mesh.corners]
    whole = (np.diff(np.sort(corners, axis=1), axis=1) != 0).all(axis=1)
    # of triangles that now coincide, keep the one that was largest
    sides = mesh.vertices[mesh.corners]
    area = np.linalg.norm(np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]), axis=1)
    largest = np.argsort(-area, kind="stable")
    largest = largest[whole[largest]]
    _, first = np.unique(np.sort(corners[largest], axis=1), axis=0, return_index=True)
    kept = np.sort(largest[first])
    return _Mesh(
        vertices=vertices.astype(np.float32),
        corners=corners[kept].astype(np.int32),
        normals=mesh.normals[kept],
        weights=mesh.weights[kept],
        uv=mesh.uv[kept],
        material=mesh.material[kept],
        cell=cell,
    )


def _skin_level(skin: Image, level: int) -> NDArray[np.float32]:
    rows, columns = (max(1, min(SKIN_TEXELS, side) >> level) for side in skin.shape[:2])
    shrunk = cv2.resize(skin.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.dstack([shrunk.reshape(rows, columns, 3), np.full((rows, columns, 1), 255, np.float32)])
