import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.simulator.town.maps import (
    MapError,
    check_map,
    check_maps,
    map_file,
    map_names,
    notes,
    road_tiles,
    tell,
)

WITHOUT_ROAD = ["calibration_map_int", "field1"]


def test_packaged_maps_are_known():
    names = map_names()
    assert len(names) == 44
    assert names == sorted(names)
    assert {"loop_empty", "small_loop", "zigzag_dists", *WITHOUT_ROAD} <= set(names)


def test_every_map_with_a_road_is_accepted():
    for name in map_names():
        if name not in WITHOUT_ROAD:
            check_map(name)


@pytest.mark.parametrize("name", WITHOUT_ROAD)
def test_a_map_without_a_road_is_refused(name):
    with pytest.raises(MapError, match=f"map_name: {name} has no road") as refusal:
        check_map(name)
    assert refusal.value.exit_code == 2
    assert len(refusal.value.problems) == 1


def test_the_nearest_map_name_is_suggested():
    with pytest.raises(MapError, match=r"no map 'loop_emty'; did you mean loop_empty"):
        check_map("loop_emty")


@pytest.mark.parametrize("name", ["qqqqqq", "", "../maps/loop_empty", "loop_empty.yaml/x"])
def test_a_file_that_is_not_a_map_is_refused_in_one_line(name):
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
        (thing(), r": objects\.0: has no position; give pos"),
        (thing(pos=[1]), r": objects\.0\.pos: got \[1\]; .*at least 2"),
        (thing(pos=[1, "x"]), r": objects\.0\.pos\.1: got the text 'x'; .*number"),
        (thing(attach={"tile": [0, 0], "slot": 8}), r": objects\.0\.attach\.slot: got 8; .*equal to 7"),
        (thing(pos=[1, 1], height=1, scale=1), r": objects\.0: has a height and a scale; give one"),
        (thing(pos=[1, 1], kind="tree", static=False), r": objects\.0: static: a tree cannot move"),
        (thing(pos=[1, 1], kind="duckiebot", color="pink"), r": objects\.0: color: .* 'pink'; give red"),
        (thing(pos=[1, 0, 3]), r": objects\.0\.pos: got \[1, 0, 3\], three numbers; give \[column, row\]"),
        (thing(pos=[1, 1], rotation=90), r": objects\.0: rotation: unknown key; did you mean rotate\?"),
        (thing(pos=[1, 1], angle=90), r": objects\.0: angle: unknown key; give rotate, in degrees"),
        (thing(pos=[1, 1], wheels=2), r": objects\.0: wheels: unknown key; known are .*pos"),
        (thing(pos=[1, 1], optional="maybe"), r": objects\.0\.optional: got the text 'maybe'"),
        (
            thing(pos=[1, 1], pedestrian=True),
            r": objects\.0: pedestrian: .* with static: false walks; give that",
        ),
        (thing(place={"tile": [0, 0]}), r": objects\.0\.place\.relative: is missing"),
        (
            thing(pose={"~SE2Transform": {"theta": 1, "theta_deg": 1}}),
            r": objects\.0\.pose\.~SE2Transform: has theta and theta_deg; give one",
        ),
        (thing(pose={"p": [1, 1]}), r": objects\.0\.pose: p: unknown key; known are ~SE2Transform"),
        (thing(kind="ball.obj", pos=[1, 1]), r": objects\.0\.kind: .* 'ball\.obj'; leave \.obj out"),
        (ROAD + "agents: {agent0: {color: red}}", ": agents: unknown key; one robot drives: give start_tile"),
        (ROAD + "start_tlie: [0, 0]", ": start_tlie: unknown key; did you mean start_tile"),
        (ROAD + "1: [0, 0]", ": 1: unknown key; known are objects"),
        (SIZE + "tile: [[straight/W]]", ": tile: unknown key; did you mean tiles"),
        ("tile_size: -0.5\ntiles: [[straight/W]]", ": tile_size: got -0.5; .*greater than 0"),
        (SIZE + "tiles: [[straight/W], []]", r": tiles\.1: got \[\]; .*at least 1"),
        (SIZE + "tiles: [[4wya]]", r": tiles\.0\.0: there is no tile '4wya'; did you mean 4way"),
        (SIZE + f"tiles: {[['floor'] * 101] * 100}", ": tiles: got 10100 tiles; give at most 10000"),
        (SIZE + "tiles:\n\t- [grass]", r":3: is not YAML \(found character '\\t'.*; use spaces, not tabs"),
        (ROAD + "start_tile: 1", ": start_tile: got 1; .*list"),
        (ROAD + "start_tile: [1, 0]", r": start_tile: got \[1, 0\]; .* within 1 columns and 1 rows"),
        (ROAD + "start_tile: [0, -1]", r": start_tile: got \[0, -1\]; .* within 1 columns and 1 rows"),
        (
            SIZE + "tiles: [[straight/W, grass]]\nstart_tile: [1, 0]",
            r": start_tile: got \[1, 0\], which has no road",
        ),
        (
            ROAD + "start_tile: [0, 0]\nstart_pose: [[0.2, 0, 0.6], 0]",
            ": start_pose: starts at column 0.3419, row 1.026, off the road; give metres",
        ),
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


@pytest.mark.parametrize(
    ("content", "by_what"),
    [
        ("version: 1.0\nmain:\n  tiles: !include tiles.yaml", "with !include"),
        ("tiles:\n  map_0/tile_0_0: {i: 0, j: 0, type: curve}", "tiles by name"),
        ("frames:\n  map_0: {relative_to: ~}", "frames, tile_maps"),
        ("tile_maps:\n  map_0: {tile_size: {x: 0.585, y: 0.585}}", "frames, tile_maps"),
    ],
)
def test_the_newer_map_format_is_named_in_the_refusal(tmp_path, content, by_what):
    path = tmp_path / "main.yaml"
    path.write_text(content, encoding="utf-8")
    for name in (path, tmp_path) if "!include" in content else [path]:
        with pytest.raises(MapError) as refusal:
            check_map(str(name))
        (line,) = str(refusal.value).splitlines()
        assert line.startswith(f"map_name: {name}: is a map of format v2 (")
        assert by_what in line or name == tmp_path
        assert "give a map of format v1: one file with tile_size" in line


def test_a_map_file_with_another_suffix_is_refused_with_a_hint_to_rename_it(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(ROAD, encoding="utf-8")
    with pytest.raises(MapError, match=r"mine\.yml: the name of a map file ends in \.yaml; rename it"):
        check_map(str(path))


@pytest.mark.parametrize("content", ["\ufeff" + ROAD, ROAD.replace("\n", "\r\n"), ROAD.rstrip("\n")])
def test_a_map_file_may_come_from_any_editor(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content.encode())
    check_map(str(path))
    assert road_tiles(str(path)) == {(0, 0): "straight"}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (ROAD, None),
        (ROAD + "version: 1", None),
        (thing(pos=[0.5, 0.5], bus1=None), "objects.0.bus1: unknown key without a value, ignored"),
        (ROAD + "author:", "author: unknown key without a value, ignored"),
        (
            thing(pos=[0.5, 0.5], static=False, pedestrian=True),
            "objects.0.pedestrian: ignored, since static: false makes it walk",
        ),
        (thing(pos=[0.5, 0.5], color="blue"), "objects.0.color: ignored, since only a duckiebot has one"),
        (
            thing(pos=[0.5, 0.5], attach={"tile": [0, 0], "slot": 1}),
            "objects.0.attach: ignored, since pos sets the position; leave one of them out",
        ),
        (
            thing(rotate=9, pose={"~SE2Transform": {"p": [0.2, 0.2]}}),
            "objects.0.rotate: ignored, since pose sets the angle; give theta_deg there",
        ),
        (thing(kind="floor_tag", pos=[0.5, 0.5]), "objects.0: a floor_tag is not drawn"),
        (thing(pos=[0.5, -0.5]), "objects.0: stands off the map"),
        (thing(place={"tile": [3, 0], "relative": {"~SE2Transform": None}}), "objects.0: stands off the map"),
        (ROAD + "start_tile: [0.5, 0]", "start_tile: [0.5, 0] is read as [0, 0]"),
    ],
)
def test_whatever_the_loader_ignores_is_noted_in_one_line(
    tmp_path, monkeypatch, capsys, changed, content, line
):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(content.replace("[straight/W]", "[straight/W, grass]"), encoding="utf-8")
    settings = changed(simulator={"map_name": "mine.yaml"}, evaluate={"map_name": "mine.yaml"})
    tell.cache_clear()
    check_maps(settings)
    check_maps(settings)
    assert capsys.readouterr().err == ("" if line is None else f"mine.yaml: {line}\n")


def test_notes_of_one_kind_share_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    ducks = [{"kind": "duckie", "pos": [0, 0], f"duck{number}": None} for number in range(3)]
    path.write_text(SIZE + f"tiles: [[straight/W, grass]]\nobjects: {json.dumps(ducks)}", encoding="utf-8")
    assert notes(str(path)) == [
        f"{path}: objects.0.duck0: unknown key without a value, ignored (and 2 more like it)"
    ]


@pytest.mark.parametrize(
    ("rows", "columns", "displacement"), [(1, 2, None), (2, 2, "1 row lower"), (1, 4, "2 rows higher")]
)
def test_a_note_says_where_the_stock_loader_would_put_objects(tmp_path, rows, columns, displacement):
    path = tmp_path / "mine.yaml"
    tiles = json.dumps([["straight/W"] * columns] * rows)
    path.write_text(f"{SIZE}tiles: {tiles}\nobjects: [{{kind: duckie, pos: [1, 1]}}]", encoding="utf-8")
    (note,) = notes(str(path)) or [None]
    assert (note is None) == (displacement is None)
    if note:
        assert note.startswith(f"{path}: objects: pos is [column, row] from the top left here")
        assert f"gym-duckietown itself places objects {displacement}, so remove any correction" in note


def test_a_note_says_where_objects_of_packaged_maps_stand_lower_than_written():
    said = {name: line for name in map_names() if name not in WITHOUT_ROAD for line in notes(name)}
    line = "regress_4way_adam: objects stand 1 row lower than its file says, as in gym-duckietown"
    assert said == {"regress_4way_adam": line}


def test_a_map_file_can_be_fixed_and_tried_again(tmp_path):
    path = tmp_path / "mine.yaml"
    for content in ("tiles: [", SIZE + "tiles: [[grass]]"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MapError, match=re.escape(str(path))):
            check_map(str(path))
    path.write_text(ROAD, encoding="utf-8")
    check_map(str(path))


TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 1\nvn 0 0 1\nf 1//1 2//1 3//1\n"


@pytest.fixture
def map_with_a_ball(tmp_path, monkeypatch) -> str:
    """A map file in the working directory whose object has the mesh meshes/ball.obj, which is not there."""
    monkeypatch.chdir(tmp_path)
    Path("meshes").mkdir()
    path = Path("mine.yaml")
    path.write_text(
        SIZE + "tiles: [[straight/W, grass]]\nobjects: [{kind: meshes/ball, pos: [1, 0]}]", encoding="utf-8"
    )
    return str(path)


def test_an_object_may_have_a_custom_mesh(map_with_a_ball):
    with pytest.raises(MapError, match="no object"):
        check_map(map_with_a_ball)
    Path("meshes/ball.obj").write_text(TRIANGLE, encoding="utf-8")
    check_map(map_with_a_ball)
    assert notes(map_with_a_ball) == []


@pytest.mark.parametrize(
    ("mesh", "material", "problem"),
    [
        ("", "", "meshes/ball.obj: has no faces; export triangles and normals"),
        (TRIANGLE + "f 1//1 2//1 3//1 1//1", "", "meshes/ball.obj:6: is not a triangle with normals"),
        ("f 1/1 2/2 3/3", "", "meshes/ball.obj:1: is not a triangle with normals"),
        (
            TRIANGLE,
            "newmtl m\nmap_Kd skins/ball_skin.png",
            "its picture ball_skin.png is missing; put it into",
        ),
    ],
)
def test_a_mesh_that_cannot_be_read_is_refused(map_with_a_ball, mesh, material, problem):
    Path("meshes/ball.obj").write_text(mesh, encoding="utf-8")
    Path("ball.mtl").write_text(material, encoding="utf-8")
    with pytest.raises(MapError) as refusal:
        check_map(map_with_a_ball)
    (line,) = str(refusal.value).splitlines()
    assert problem in line
    assert line.startswith("map_name: mine.yaml: objects.0.kind: meshes/ball.obj")


def test_materials_that_the_loader_would_not_find_are_noted(map_with_a_ball):
    Path("meshes/ball.obj").write_text(TRIANGLE, encoding="utf-8")
    Path("meshes/ball.mtl").touch()
    (note,) = notes(map_with_a_ball)
    assert "objects.0.kind: meshes/ball.mtl is ignored, since ball.mtl is searched in the working" in note


def test_a_custom_sign_is_found_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("signs").mkdir()
    Path("signs/sign_mine.png").touch()
    Path("mine.yaml").write_text(thing(kind="signs/sign_mine", pos=[0, 0]), encoding="utf-8")
    with pytest.raises(MapError, match=r"move signs/sign_mine\.png directly into maps and give sign_mine"):
        check_map("mine.yaml")
    Path("sign_mine.png").touch()
    Path("mine.yaml").write_text(thing(kind="sign_mine", pos=[0, 0]), encoding="utf-8")
    check_map("mine.yaml")


@pytest.fixture
def map_folder(tmp_path, monkeypatch) -> Path:
    """The folder `maps` of a project, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("maps").mkdir()
    return Path("maps")


def test_a_map_in_the_folder_maps_is_found_by_name(map_folder):
    (map_folder / "mine.yaml").write_text(ROAD, encoding="utf-8")
    check_map("mine")
    assert map_file("mine") == map_folder / "mine.yaml"
    assert road_tiles("mine") == {(0, 0): "straight"}
    with pytest.raises(MapError, match=r"there is no map 'mien'; did you mean mine"):
        check_map("mien")
    (map_folder / "mine.yaml").write_text(SIZE + "tiles: [[grass]]", encoding="utf-8")
    with pytest.raises(MapError, match="mine has no road"):
        check_map("mine")


def test_a_map_with_the_name_of_a_packaged_one_is_noted(map_folder):
    (map_folder / "loop_empty.yaml").write_text(ROAD, encoding="utf-8")
    assert map_file("loop_empty").is_absolute()
    assert notes("loop_empty") == [
        "loop_empty: means gym-duckietown's map, so maps/loop_empty.yaml is ignored; "
        "give maps/loop_empty.yaml to use that one"
    ]
    assert map_file("maps/loop_empty.yaml") == map_folder / "loop_empty.yaml"


def test_a_missing_map_file_is_refused():
    with pytest.raises(MapError, match=r"map_name: there is no map file nowhere\.yaml; give the path of one"):
        check_map("nowhere.yaml")


def test_both_maps_are_checked_before_anything_starts(changed):
    with pytest.raises(MapError) as refusal:
        check_maps(changed(simulator={"map_name": "loop_emty"}, evaluate={"map_name": "field1"}))
    training, scoring = refusal.value.problems
    assert training.startswith("params.yaml: simulator.map_name: there is no map 'loop_emty'")
    assert scoring.startswith("params.yaml: evaluate.map_name: field1 has no road")


def test_checking_maps_loads_no_simulator():
    program = (
        "import sys; from ducklane.simulator.town import maps; maps.check_map('udem1');"
        "print([name for name in sys.modules if name.startswith(('duckietown', 'gym', 'pyglet', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_map_file_in_the_docs_is_valid(tmp_path):
    page = (Path(__file__).parents[3] / "docs/simulators.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    check_map(str(path))
    (note,) = notes(str(path))
    assert "gym-duckietown itself places objects 1 row higher" in note
