"""Where the objects of a map stand, in both simulators."""

import json

import numpy as np
import pytest

from ducklane.simulator import scenes
from ducklane.simulator.town.map_format import as_written
from ducklane.simulator.town.maps import MapError, read_map

TILE_M = 0.585
DUCKIES = [[0.5, 1.25], [2.0, 0.0], [1.75, 2.5]]
"""[column, row]"""


@pytest.fixture
def map_of_size(tmp_path, monkeypatch):
    """Write a map file of this many rows and columns, with duckies at DUCKIES and one by `place`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def write(rows: int, columns: int, *, named: bool = False) -> str:
        tiles = [["straight/W"] * columns] * rows
        things = [{"kind": "duckie", "pos": place, "rotate": 30, "height": 0.08} for place in DUCKIES]
        relative = {"~SE2Transform": {"p": [0, 0], "theta_deg": 0}}
        things.append({"kind": "cone", "height": 0.08, "place": {"tile": [0, 0], "relative": relative}})
        objects = {f"thing{number}": thing for number, thing in enumerate(things)} if named else things
        path = tmp_path / "mine.yaml"
        content = {"tile_size": TILE_M, "tiles": tiles, "objects": objects}
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def places(upstream) -> np.ndarray:
    """[column, row] of each object."""
    return np.array([[thing.pos[0], thing.pos[2]] for thing in upstream.objects], float) / TILE_M


@pytest.mark.parametrize(("rows", "columns", "named"), [(3, 3, False), (3, 6, True), (5, 2, False)])
def test_objects_stand_where_a_map_file_says_in_both_simulators(
    map_of_size, make_simulator, rows, columns, named
):
    name = map_of_size(rows, columns, named=named)
    expected = [*DUCKIES, [0.5, rows - 0.5]]  # by `place`, tiles count from the bottom
    simulator = make_simulator(map_name=name)
    np.testing.assert_allclose(places(simulator._upstream), expected, atol=1e-12)
    simulator.reset(seed=3)  # which makes the objects anew
    np.testing.assert_allclose(places(simulator._upstream), expected, atol=1e-12)
    layout = scenes.load_scene((name,)).layout
    np.testing.assert_allclose(layout.objects["position"][0][:, [0, 2]] / TILE_M, expected, atol=1e-12)


def test_the_stock_loader_still_puts_objects_too_low_and_only_by_the_maps_shape(map_of_size, make_simulator):
    """If this fails, upstream has changed: look again at `as_written` in map_format.py."""
    for rows, columns, lower in ((3, 3, 1), (3, 6, -2), (3, 4, 0)):
        name = map_of_size(rows, columns)
        upstream = make_simulator(map_name=name)._upstream
        upstream._load_objects(read_map(name))
        by_pos = [[column, row + lower] for column, row in DUCKIES]
        np.testing.assert_allclose(places(upstream), [*by_pos, [0.5, rows - 0.5]], atol=1e-12)


def test_maps_that_the_stock_loader_reads_correctly_are_passed_on_unchanged(map_of_size):
    content = read_map(map_of_size(7, 8))
    assert as_written(content) is content


def test_objects_of_packaged_maps_stand_as_gym_duckietown_has_them(make_simulator):
    upstream = make_simulator(map_name="regress_4way_adam")._upstream
    objects = read_map("regress_4way_adam")["objects"].values()
    expected = [[thing["pos"][0], thing["pos"][1] + 1] for thing in objects]
    np.testing.assert_allclose(places(upstream), expected, atol=1e-12)


def test_an_unreadable_object_is_reported_in_one_line(tmp_path, monkeypatch, make_simulator):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sign_mine.png").write_text("no picture", encoding="utf-8")
    path = tmp_path / "mine.yaml"
    tiles = "tiles: [[straight/W, grass]]"
    path.write_text(f"tile_size: 0.585\n{tiles}\nobjects: [{{kind: sign_mine, pos: [1, 0]}}]")
    with pytest.raises(MapError) as refusal:
        make_simulator(map_name=str(path))
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"map_name: {path}: gym-duckietown cannot load it (")
    assert line.endswith("; check its objects' meshes and pictures")
