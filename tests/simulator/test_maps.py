import json
import re
import subprocess
import sys

import pytest

from ducklane.simulator.maps import MapError, check_map, check_maps, map_names

WITHOUT_ROAD = ["calibration_map_int", "field1"]


def test_knows_the_packaged_maps():
    names = map_names()
    assert len(names) == 44
    assert names == sorted(names)
    assert {"loop_empty", "small_loop", "zigzag_dists", *WITHOUT_ROAD} <= set(names)


def test_accepts_every_map_with_a_road():
    for name in map_names():
        if name not in WITHOUT_ROAD:
            check_map(name)


@pytest.mark.parametrize("name", WITHOUT_ROAD)
def test_refuses_a_map_without_road(name):
    with pytest.raises(MapError, match=f"map_name: {name} has no road") as refusal:
        check_map(name)
    assert refusal.value.exit_code == 2
    assert len(refusal.value.problems) == 1


def test_names_the_nearest_map():
    with pytest.raises(MapError, match=r"no map 'loop_emty'; did you mean loop_empty"):
        check_map("loop_emty")


@pytest.mark.parametrize("name", ["qqqqqq", "", "../maps/loop_empty", "loop_empty.yaml/x"])
def test_refuses_what_is_no_map_in_one_line(name):
    with pytest.raises(MapError) as refusal:
        check_map(name)
    assert repr(name) in str(refusal.value)
    assert "\n" not in str(refusal.value)


SIZE = "tile_size: 0.585\n"
ROAD = SIZE + "tiles: [[straight/W]]\n"


def thing(**keys: object) -> str:
    return f"{ROAD}objects: [{json.dumps({'kind': 'duckie', **keys})}]"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("tiles: [", ":1: is not YAML"),
        ("", ": got nothing; give keys"),
        ("- 1", r": got \[1\]; give keys"),
        ("tiles: [[straight/W]]", ": tile_size: is missing; give .* metres"),
        ("tile_size: 0\ntiles: [[straight/W]]", ": tile_size: got 0; .*greater than 0"),
        ("tile_size: wide\ntiles: [[straight/W]]", ": tile_size: got the text 'wide'; .*number"),
        (SIZE, ": tiles: is missing; give rows"),
        (SIZE + "tiles: []", r": tiles: got \[\]; .*at least 1"),
        (SIZE + "tiles: straight/W", ": tiles: got the text 'straight/W'; .*list"),
        (SIZE + "tiles: [[grass, straight/W], [grass]]", ": tiles: row 1 has 1 .* row 0 has 2; fill up with"),
        (SIZE + "tiles: [[grass, straight/Q]]", r": tiles\.0\.1: 'straight/Q' .* give N, E, S or W"),
        (SIZE + "tiles: [[grass, strait/W]]", r": tiles\.0\.1: .* 'strait'; did you mean straight"),
        (SIZE + "tiles: [[straight/W, empty]]", r": tiles\.0\.1: .* 'empty'; known are .*floor"),
        (SIZE + "tiles: [[straight/W, 4]]", r": tiles\.0\.1: got 4; .*string"),
        (ROAD + "objects:", ": objects: got nothing; give a list of objects, or leave it out"),
        (ROAD + "objects: [duckie]", r": objects\.0: got the text 'duckie'; give keys"),
        (ROAD + "objects: {mine: {pos: [1, 1]}}", r": objects\.mine\.kind: is missing"),
        (ROAD + 'objects: {"my\\nthing": 1}', r": objects\.'my\\nthing': got 1; give keys"),
        (thing(kind="duck"), r": objects\.0\.kind: .* 'duck'; did you mean duckie"),
        (thing(kind="sign_generic"), r": objects\.0\.kind: .* 'sign_generic'"),
        (thing(), r": objects\.0: stands nowhere; give pos"),
        (thing(pos=[1]), r": objects\.0\.pos: got \[1\]; .*at least 2"),
        (thing(pos=[1, "x"]), r": objects\.0\.pos\.1: got the text 'x'; .*number"),
        (thing(attach={"tile": [0, 0], "slot": 8}), r": objects\.0\.attach\.slot: got 8; .*equal to 7"),
        (thing(pos=[1, 1], height=1, scale=1), r": objects\.0: has a height and a scale; give one"),
        (thing(pos=[1, 1], kind="tree", static=False), r": objects\.0: static: a tree cannot move"),
        (thing(pos=[1, 1], kind="duckiebot", color="pink"), r": objects\.0: color: .* 'pink'; give red"),
        (ROAD + "start_tile: 1", ": start_tile: got 1; .*list"),
        (ROAD + "start_pose: [1, 2]", r": start_pose: got \[1, 2\]; give \[\[x, 0, z\], angle\]"),
    ],
)
def test_a_broken_map_file_is_refused_in_one_line(tmp_path, content, problem):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MapError) as refusal:
        check_map(str(path), "simulator.map_name")
    (line,) = str(refusal.value).splitlines()
    assert re.match(re.escape(f"simulator.map_name: {path}") + problem, line)


def test_a_map_file_may_be_mended_and_tried_again(tmp_path):
    path = tmp_path / "mine.yaml"
    for content in ("tiles: [", SIZE + "tiles: [[grass]]"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MapError, match=re.escape(str(path))):
            check_map(str(path))
    path.write_text(ROAD, encoding="utf-8")
    check_map(str(path))


def test_an_object_may_have_a_mesh_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(thing(kind=str(tmp_path / "ball"), pos=[1, 1]), encoding="utf-8")
    with pytest.raises(MapError, match="no object"):
        check_map(str(path))
    (tmp_path / "ball.obj").touch()
    check_map(str(path))


def test_a_missing_map_file_is_refused():
    with pytest.raises(MapError, match=r"map_name: there is no map file nowhere\.yaml; give the path of one"):
        check_map("nowhere.yaml")


def test_both_maps_are_checked_before_anything_starts(changed):
    with pytest.raises(MapError) as refusal:
        check_maps(changed(simulator={"map_name": "loop_emty"}, evaluate={"map_name": "field1"}))
    training, scoring = refusal.value.problems
    assert training.startswith("params.yaml: simulator.map_name: there is no map 'loop_emty'")
    assert scoring.startswith("params.yaml: evaluate.map_name: field1 has no road")


def test_loads_no_simulator():
    program = (
        "import sys; from ducklane.simulator import maps; maps.check_map('udem1');"
        "print([name for name in sys.modules if name.startswith(('duckietown', 'gym', 'pyglet', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
