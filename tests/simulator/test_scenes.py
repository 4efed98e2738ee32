"""A map read from its files is the one that gym-duckietown loads, and broken files are refused."""

from __future__ import annotations

import ctypes
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from ducklane.simulator import scenes
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town.layout import Layout
from ducklane.simulator.town.loading.models import drawn, read_model
from ducklane.simulator.town.loading.wavefront import read_triangles
from ducklane.simulator.town.map_format import _object_kinds, kind_of
from ducklane.simulator.town.maps import map_inputs, read_map
from ducklane.simulator.town.resources import MapError, content_of, tile_texture
from ducklane.simulator.town.scene import Scene
from ducklane.simulator.town.textures import decoded

read_scene: Callable[[str], Scene] = scenes._load_map.__wrapped__
"""Load a map although this process has it already."""

TILES = [
    ["curve_left/W", "straight/W", "3way_left/W", "curve_left/N", "asphalt"],
    ["straight/S", "4way", "3way_right/N", "curve_right/E", "grass"],
    ["curve_left/S", "straight/E", "3way_left/E", "curve_right/S", "floor"],
    ["curve_right/W", "3way_right/S", "curve_right/N", "straight/N", "calibration_tile"],
]
GLOBE = (
    "v 0 0 0\nv 1 0 .2\nv 0 1 1\nvt 0 0\nvt 1 0\nvt .5 .9\nvn 0 0 1\n"
    "f 1//1 2//1 3//1\nusemtl skin\nf 1/1/1 2/2/1 3/3/1\n"
)
SKIN = "newmtl skin\nKd 1 .5 .25\nmap_Kd pictures/globe_skin.png\n"


def of_every_kind() -> list[dict[str, Any]]:
    """Objects of nearly all kinds, placed, turned and scaled in all ways."""
    alike = {kind for kind in _object_kinds() if kind.startswith("sign_") and kind != "sign_blank"}
    slow = {"building", "house", "duckiebot"}  # a second each in gym-duckietown; one Duckiebot is below
    kinds = [*sorted(_object_kinds() - alike - slow), "meshes/globe", "sign_ours", "meshes/globe"]
    objects = [
        {"kind": kind, "pos": [0.37 * n % 5, 0.61 * n % 4], "rotate": 47 * n - 300, "height": 0.05 + 0.01 * n}
        for n, kind in enumerate(kinds)
    ]
    transform = {"~SE2Transform": {"p": [0.13, -0.2], "theta_deg": 100}}
    return [
        *objects,
        {"kind": "duckiebot", "pos": [1, 1], "color": "blue", "static": False},
        {"kind": "duckie", "pose": transform, "scale": 0.1, "static": False},
        {"kind": "checkerboard", "place": {"tile": [1, 2], "relative": transform}, "static": False},
        {"kind": "cone", "place": {"tile": [1, 0], "relative": {"~SE2Transform": {"theta": -3.5}}}},
        {"kind": "sign_stop", "attach": {"tile": [2, 1], "slot": 5}, "rotate": 17, "optional": True},
        {"kind": "tree", "attach": {"tile": [0, 3], "slot": 0}, "rotate": 180, "scale": 1},
    ]


# not the names of other tests' files: gym-duckietown keeps meshes by their names
@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, with a mesh, its material and picture, and a sign."""
    monkeypatch.chdir(tmp_path)
    Path("maps/meshes").mkdir(parents=True)
    Path("maps/meshes/globe.obj").write_text(GLOBE)
    Path("maps/globe.mtl").write_text(SKIN)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 4), np.uint8)
    for name, picture in zip(("globe_skin", "sign_ours"), pixels, strict=True):
        iio.imwrite(Path("maps", f"{name}.png"), picture)
    write_map(
        [["straight/W", "4way"]], [{"kind": kind, "pos": [1, 1]} for kind in ("meshes/globe", "sign_ours")]
    )
    return tmp_path


def write_map(tiles: list[list[str]], objects: list[dict[str, Any]]) -> None:
    content = {"tile_size": 0.6, "tiles": tiles, "objects": objects, "start_tile": [1, 0]}
    Path("maps/mine.yaml").write_text(json.dumps(content), encoding="utf-8")


# --- against the stock simulator ----------------------------------------------------------------------------


def test_a_map_is_the_one_that_the_stock_simulator_loads(
    project: Path, make_simulator: Callable[..., StockSimulator]
) -> None:
    write_map(TILES, of_every_kind())
    upstream = make_simulator(map_name="mine")._upstream
    scene = read_scene("mine")
    assert_same_tiles(scene.layout, upstream)
    assert_same_objects(scene.layout, upstream)
    content = read_map("mine")
    things = drawn(content)
    inputs = set(map_inputs("mine"))
    assert len(things) == len(upstream.objects) == scene.mesh.size > 15
    for thing, theirs, mesh in zip(things, upstream.objects, scene.mesh[0], strict=True):
        assert_same_looks(thing, theirs)
        assert files_of(thing) <= inputs
        np.testing.assert_array_equal(scene.meshes.bounds[mesh, 0], theirs.min_coords)
    for tile in upstream.grid:
        i, j = tile["coords"]
        path = tile_texture(kind_of(TILES[j][i]))
        np.testing.assert_array_equal(decoded(content_of(path), path), texture(tile["texture"].tex))


@pytest.mark.parametrize("name", ["MOOC_modcon", "regress_4way_adam", "udem1"])
def test_packaged_maps_are_those_that_the_stock_simulator_loads(
    name: str, make_simulator: Callable[..., StockSimulator]
) -> None:
    """One with a start pose, one whose objects stand too low, and one with many objects."""
    upstream = make_simulator(map_name=name)._upstream
    layout = scenes.load_scene((name,)).layout
    assert_same_tiles(layout, upstream)
    assert_same_objects(layout, upstream)


def assert_same_tiles(layout: Layout, upstream: Any) -> None:
    coordinates = [tile["coords"] for tile in upstream.drivable_tiles]
    assert layout.drivable_tiles[0].tolist() == [list(place) for place in coordinates]
    assert (layout.grid_width, layout.grid_height) == (upstream.grid_width, upstream.grid_height)
    assert layout.tile_size == upstream.road_tile_size
    for (i, j), tile in zip(coordinates, upstream.drivable_tiles, strict=True):
        ours = layout.tiles[0, j, i]
        np.testing.assert_array_equal(ours["curves"][: ours["curve_count"]], tile["curves"][..., [0, 2]])
    start = upstream.start_tile
    assert layout.start_tile[0].tolist() == ([-1, -1] if start is None else list(start["coords"]))
    assert layout.has_start_pose[0] == (upstream.start_pose is not None)
    if upstream.start_pose is not None:
        (x, _, z), angle = upstream.start_pose
        assert layout.start_pose[0].tolist() == [x, z, angle]


def assert_same_objects(layout: Layout, upstream: Any) -> None:
    """Every number to the last bit."""
    for k, theirs in enumerate(upstream.objects):
        ours = layout.objects[0, k]
        np.testing.assert_array_equal(ours["position"], theirs.pos)
        np.testing.assert_array_equal(ours["corners"], theirs.obj_corners)
        np.testing.assert_array_equal(ours["norms"], theirs.obj_norm)
        assert ours["angle"] == theirs.angle
        assert ours["safety_radius"] == theirs.safety_radius
        assert layout.scale[0, k] == theirs.scale
        assert (ours["static"], ours["optional"]) == (theirs.static, theirs.optional)
        assert ours["walk_distance"] == getattr(theirs, "walk_distance", 0.0)


def assert_same_looks(thing: Any, theirs: Any) -> None:
    """The same triangles in the same order, with the same colours and textures."""
    model = read_model(thing)
    triangles = read_triangles(content_of(model.mesh), model.materials, model.mesh)
    colors = np.array([model.color(name) for name in triangles.materials], np.float32)[triangles.material]
    chunks = theirs.mesh.vlists
    for ours, name in (
        (triangles.positions, "vertices"),
        (triangles.uv, "tex_coords"),
        (triangles.normals, "normals"),
        (np.repeat(colors, 3, axis=0), "colors"),
    ):
        seen = np.concatenate([getattr(chunk, name) for chunk in chunks])
        np.testing.assert_array_equal(ours.ravel(), seen)
    pictures = list(map(model.picture, triangles.materials))
    if model.patterns:
        pictures[0] = model.patterns[0]
        assert all(map(same, model.patterns, theirs.texs))
    for path, seen in zip(pictures, theirs.mesh.textures, strict=True):
        assert (path is None) == (seen is None)
        assert path is None or skewed(path) or same(path, seen)


def files_of(thing: Any) -> set[Path]:
    model = read_model(thing)
    triangles = read_triangles(content_of(model.mesh), model.materials, model.mesh)
    pictures = {picture for picture in map(model.picture, triangles.materials) if picture}
    return {model.mesh, *pictures, *(model.patterns or ())}


def same(path: Path, seen: Any) -> bool:
    return np.array_equal(decoded(content_of(path), path), texture(seen))


def skewed(path: Path) -> bool:
    """Whether the stock simulator skews a picture."""
    return path.suffix == ".jpg" and iio.imread(path).shape[1] % 4 != 0


def texture(seen: Any) -> np.ndarray:
    """What OpenGL has of a picture."""
    from pyglet import gl

    pixels = np.zeros((seen.height, seen.width, 4), np.uint8)
    gl.glBindTexture(seen.target, seen.id)
    pointer = pixels.ctypes.data_as(ctypes.POINTER(gl.GLubyte))
    gl.glGetTexImage(seen.target, 0, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, pointer)
    return pixels[::-1, :, :3]


# --- what it takes, and what is kept ------------------------------------------------------------------------

LOAD = """
import hashlib, sys
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.scenes import load_scene
scene = load_scene(("small_loop", "4way"))
foreign = ("gym_", "duckietown", "pyglet", "geometry")
assert not [name for name in sys.modules if name.startswith(foreign)]
print(hashlib.sha256(b"".join(array.tobytes() for part in scene[:3] for array in part)).hexdigest())
"""


def flat(scene: Scene) -> list[np.ndarray]:
    return [array for part in scene[:3] for array in part]


def test_maps_need_neither_opengl_nor_the_code_of_gym_duckietown() -> None:
    """They are the same in another process, too."""
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    arrays = flat(scenes.load_scene(("small_loop", "4way")))
    assert done.stdout.strip() == hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_what_was_prepared_for_one_map_serves_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def kept() -> set[Path]:
        return set((tmp_path / "ducklane" / "scenes").iterdir())

    first = flat(read_scene("small_loop"))
    pictures = kept()
    assert len(pictures) == 3 + 1  # of three kinds of tiles, and of how they lie
    for ours, theirs in zip(flat(read_scene("small_loop")), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    read_scene("ETH_small_loop_1")
    assert kept() == pictures
    read_scene("small_loop_bordered")
    assert len(kept() - pictures) == 1 + 1


CHANGES = {"mine.yaml": ("0.6", "0.5"), "meshes/globe.obj": ("v 1", "v 2"), "globe.mtl": ("Kd 1", "Kd 0")}


@pytest.mark.parametrize("name", [*CHANGES, "globe_skin.png", "sign_ours.png"])
def test_a_changed_file_changes_the_map(project: Path, name: str) -> None:
    before = flat(read_scene("mine"))
    path = Path("maps", name)
    if path.suffix == ".png":
        iio.imwrite(path, 255 - iio.imread(path))
    else:
        path.write_text(path.read_text().replace(*CHANGES[name]))
    after = flat(read_scene("mine"))
    assert not all(np.array_equal(ours, old) for ours, old in zip(after, before, strict=True))


# --- broken files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("globe_skin.png", b"", "globe_skin.png: is not a picture"),
        ("globe_skin.png", None, "globe_skin.png: is not a picture"),
        ("sign_ours.png", b"a picture", "sign_ours.png: is not a picture"),
        ("globe.mtl", b"newmtl skin\nmap_Kd globe_skin.png", "material skin has no colour; give it one"),
        ("globe.mtl", b"newmtl skin\nKd red", "globe.mtl: skin: got Kd red; give Kd and three numbers"),
        ("globe.mtl", SKIN.replace("globe_skin", "none").encode(), "none.png: there is no such file"),
        ("meshes/globe.obj", GLOBE.replace("3/3/1", "4/3/1").encode(), "export triangles and normals"),
        ("meshes/globe.obj", GLOBE.replace("3/3/1", "3/4/1").encode(), "export triangles and normals"),
        ("meshes/globe.obj", GLOBE.replace("v 1 0 .2", "v 1 0").encode(), "export triangles and normals"),
        ("meshes/globe.obj", GLOBE.replace("v 1 0 .2", "v 1 0 x").encode(), "export triangles and normals"),
        ("meshes/globe.obj", b"v 1 0 1", "export triangles and normals"),
    ],
)
def test_a_broken_file_is_named_in_one_line(
    project: Path, name: str, content: bytes | None, problem: str
) -> None:
    path = Path("maps", name)
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with pytest.raises(MapError) as refusal:
        read_scene("mine")
    (line,) = str(refusal.value).splitlines()
    assert problem in line
    assert path.name in line or "none.png" in line or "globe.obj" in line
