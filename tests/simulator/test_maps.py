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
