import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from ducklane.simulator.stock import adaptations
from ducklane.simulator.town.maps import drivable_map_names, map_inputs

ROAD = "tile_size: 0.585\ntiles: [[straight/W, floor]]\n"
BALL = "v 0 0 0\nv 1 0 0\nv 0 1 1\nvn 0 0 1\nusemtl skin\nf 1//1 2//1 3//1\n"


@pytest.fixture
def map_of_ones_own(tmp_path, monkeypatch) -> str:
    """A map file in the working directory, with a mesh, its material and picture, and a custom sign."""
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "mine.yaml": f"{ROAD}objects: [{{kind: meshes/ball, pos: [1.5, 0.5]}}, "
        "{kind: sign_mine, pos: [1.2, 0.2]}, {kind: sign_mine, pos: [1.8, 0.2]}]\n",
        "meshes/ball.obj": BALL,
        "ball.mtl": "newmtl skin\nKd 1 1 1\nmap_Kd textures/ball_skin.png\n",
        "ball_skin.png": "a picture",
        "sign_mine.png": "a picture",
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    return "mine.yaml"


def test_a_map_depends_on_its_file_its_meshes_their_materials_and_pictures(map_of_ones_own):
    inputs = map_inputs(map_of_ones_own)
    assert inputs[0] == Path("mine.yaml")
    assert len(set(inputs)) == len(inputs)
    assert {str(path) for path in inputs if not path.is_absolute()} == {
        "mine.yaml",
        "meshes/ball.obj",
        "ball.mtl",
        "ball_skin.png",
        "sign_mine.png",
    }
    packaged = {path.name for path in inputs if path.is_absolute()}
    assert {"sign_generic.obj", "sign_generic.mtl", "texture.jpg"} <= packaged


def test_a_file_in_the_working_directory_stands_in_for_a_packaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(ROAD + "objects: [{kind: duckie, pos: [1, 0]}]", encoding="utf-8")
    packaged = {path.name for path in map_inputs("mine.yaml") if path.is_absolute()}
    assert {"duckie.obj", "duckie.png"} <= packaged
    Path("duckie.png").touch()
    assert Path("duckie.png") in map_inputs("mine.yaml")


@pytest.fixture
def asked_for(monkeypatch) -> set[Path]:
    """The files that gym-duckietown's loader asks for."""
    adaptations.simulator_class()
    from gym_duckietown import objects, objmesh, simulator

    asked: set[Path] = set()

    def recorded(find):
        def recording(*args):
            paths = find(*args)
            asked.add(Path(paths[0] if isinstance(paths, list) else paths))
            return paths

        return recording

    monkeypatch.setattr(objmesh.ObjMesh, "cache", {})
    monkeypatch.setattr(objmesh, "get_resource_path", recorded(objmesh.get_resource_path))
    monkeypatch.setattr(objects, "get_resource_path", recorded(objects.get_resource_path))
    monkeypatch.setattr(simulator, "get_texture_file", recorded(simulator.get_texture_file))
    return asked


def test_the_stock_loader_uses_files_in_the_folder_maps(
    map_of_ones_own, asked_for, make_simulator, monkeypatch
):
    Path("maps/meshes").mkdir(parents=True)
    for name in ("mine.yaml", "meshes/ball.obj", "ball.mtl", "ball_skin.png", "sign_mine.png"):
        Path(name).rename(Path("maps", name))
    for picture in ("ball_skin.png", "sign_mine.png"):
        iio.imwrite(Path("maps", picture), np.zeros((2, 2, 3), np.uint8))
    make_simulator(map_name="mine")
    own = {path for path in asked_for if not path.is_absolute()}
    assert own == {path for path in map_inputs("mine") if not path.is_absolute()} - {Path("maps/mine.yaml")}
    assert own == {
        Path("maps", name) for name in ("meshes/ball.obj", "ball.mtl", "ball_skin.png", "sign_mine.png")
    }


def test_the_inputs_are_the_files_that_the_stock_loader_opens(tmp_path, asked_for, make_simulator):
    """Meshes with no material, one and many, a sign and a light: all the ways in which files are searched."""
    kinds = ["duckie", "tree", "duckiebot", "sign_stop", "trafficlight"]
    objects = [f"{{kind: {kind}, pos: [1.5, 0.5], height: 0.05}}" for kind in kinds]
    path = tmp_path / "mine.yaml"
    path.write_text(f"{ROAD}objects: [{', '.join(objects)}]", encoding="utf-8")
    make_simulator(map_name=str(path))
    inputs, asked = set(map_inputs(str(path))), asked_for
    assert asked <= inputs
    # its own file, and what is painted on a sign that has no picture of its own
    assert {path.name for path in inputs - asked} == {"mine.yaml", "sign_4_way_intersect.png"}


def test_every_packaged_map_has_all_its_files():
    for name in drivable_map_names():
        inputs = map_inputs(name)
        assert all(path.is_file() for path in inputs)
        assert any(path.name.startswith("texture") for path in inputs)


def test_inputs_need_neither_opengl_nor_torch():
    program = (
        "import sys; from ducklane.simulator.town import maps; maps.map_inputs('udem1');"
        "heavy = ('duckietown', 'gym', 'pyglet', 'numpy', 'torch', 'cv2');"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
