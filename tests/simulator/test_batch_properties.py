"""What holds for the batched simulator on any map, including the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ducklane.evaluation.parity import compare
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.interface import State
from ducklane.simulator.scenes import load_scene
from ducklane.simulator.single import SingleSimulator
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town.maps import MapError

MANY_MAPS = ["loop_empty", "udem1", "loop_pedestrians", "zigzag_dists"]
LANE = ("lane_dist", "lane_angle", "lane_dot")

LOOPS = [
    ["asphalt", "curve_left/W", "straight/W", "curve_left/N", "curve_left/W", "curve_left/N"],
    ["asphalt", "straight/S", "asphalt", "straight/N", "straight/S", "straight/N"],
    ["asphalt", "curve_left/S", "straight/E", "curve_left/E", "curve_left/S", "curve_left/E"],
]
TILE_SIZE = 0.585
WIDTH_M = TILE_SIZE * len(LOOPS[0])
MIRRORED = {"curve_left/W": "curve_left/N", "curve_left/N": "curve_left/W"}
MIRRORED |= {"curve_left/S": "curve_left/E", "curve_left/E": "curve_left/S"}
"""A straight tile is its own mirror image."""

WriteMap = Callable[[str, list[list[str]]], str]


@pytest.fixture(scope="module")
def write_map(tmp_path_factory) -> WriteMap:
    folder = tmp_path_factory.mktemp("maps")

    def write(name: str, rows: list[list[str]]) -> str:
        tiles = "".join(f"  - [{', '.join(row)}]\n" for row in rows)
        path = folder / f"{name}.yaml"
        path.write_text(f"tile_size: {TILE_SIZE}\ntiles:\n{tiles}", encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(scope="module")
def own_map(write_map) -> str:
    """Two loops side by side, the left one wider, and a column without a road on the left."""
    return write_map("own", LOOPS)


@pytest.fixture(scope="module")
def mirrored_map(write_map) -> str:
    return write_map("mirrored", [[MIRRORED.get(tile, tile) for tile in reversed(row)] for row in LOOPS])


@pytest.fixture(scope="module")
def crowd(make_batch) -> BatchedSimulator:
    return make_batch(8, map_name=MANY_MAPS, domain_rand=True, dynamics_rand=True, max_steps=50)


@pytest.fixture(scope="module")
def robot(small) -> SingleSimulator:
    return SingleSimulator(small.model_copy(update={"backend": "batched"}))


# --- any drive ---------------------------------------------------------------------------------------------


@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 2**31), data=st.data())
def test_states_are_numbers_everywhere_and_lanes_are_known_or_not(crowd, seed, data):
    duty = st.lists(st.floats(-2, 2), min_size=16, max_size=16).map(lambda duty: np.reshape(duty, (8, 2)))
    crowd.reset(seed=seed)
    robots = crowd.robots
    for command in data.draw(st.lists(duty, min_size=1, max_size=4)):
        for _ in range(25):
            frames, rewards, *_ = crowd.step(command)
            assert frames.dtype == np.uint8
            assert frames.std(axis=(1, 2, 3)).min() > 1  # pictures
            assert np.isfinite(rewards).all()
            for name in set(State._fields) - {*LANE, "valid"}:
                assert np.isfinite(getattr(robots, name)).all(), name
            known = np.isfinite([getattr(robots, name) for name in LANE])
            assert (known.all(axis=0) | ~known.any(axis=0)).all()
            assert (abs(robots.lane_dot[known[0]]) <= 1 + 1e-9).all()


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 2**31), ahead=st.floats(0.02, 0.1), turn=st.floats(0.05, 3))
def test_pictures_change_with_the_pose_and_with_nothing_else(robot, seed, ahead, turn):
    robot.reset(seed=seed)
    x, z, angle = robot.state[:3]

    def seen(*pose: float) -> np.ndarray:
        return robot.reset(seed=1, options={"pose": pose})[0]

    first = seen(x, z, angle)
    np.testing.assert_array_equal(seen(x, z, angle), first)
    moved = x + ahead * np.cos(angle), z - ahead * np.sin(angle), angle
    for pose in (moved, (x, z, angle + turn)):
        if robot.valid_pose(*pose):
            assert not np.array_equal(seen(*pose), first)


# --- maps of one's own -------------------------------------------------------------------------------------


def test_a_custom_map_drives_and_looks_the_same_in_both_simulators(settings, own_map):
    observation = settings.observation.model_copy(update={"frame_stack": 1})
    pairs = list(compare(settings.simulator, observation, [own_map], 4))
    assert np.mean([pair.psnr_db for pair in pairs]) >= 36
    world = settings.simulator.model_copy(update={"map_name": own_map})
    stock, ours = StockSimulator(world), SingleSimulator(world)
    assert ours.drivable_tiles == stock.drivable_tiles
    for simulator in (stock, ours):
        simulator.camera_on = False
        simulator.reset(options={"pose": pairs[0].pose})
    for command in np.random.default_rng(0).uniform(0, 0.6, (40, 2)):
        stock.step(command)
        ours.step(command)
        np.testing.assert_allclose(ours.state, stock.state, rtol=0, atol=1e-9)
    stock.close()


OBJECTS = """
objects:
- {kind: duckie, pos: [0.1, 0.2], rotate: 90, height: 0.08, static: false}
- {kind: duckiebot, pos: [0.9, 0.2], color: blue}
- {kind: sign_stop, pose: {~SE2Transform: {p: [0.1, 0.3], theta_deg: 90}}, optional: true}
- {kind: tree, place: {tile: [0, 0], relative: {~SE2Transform: }}, scale: 0.1}
- {kind: trafficlight, attach: {tile: [0, 1], slot: 3}, rotate: -10.5}
"""


def test_objects_stand_where_the_stock_simulator_puts_them_in_every_form(small, tmp_path):
    path = tmp_path / "objects.yaml"
    path.write_text(f"tile_size: 1\ntiles: [[grass], [4way], [floor]]\n{OBJECTS}", encoding="utf-8")
    world = small.model_copy(update={"map_name": str(path)})
    stock, layout = StockSimulator(world), load_scene((str(path),)).layout
    assert [thing.kind for thing in stock._upstream.objects] == re.findall(r"kind: (\w+)", OBJECTS)
    np.testing.assert_array_equal(
        layout.objects["position"][0], [thing.pos for thing in stock._upstream.objects]
    )
    np.testing.assert_array_equal(
        layout.objects["angle"][0], [thing.angle for thing in stock._upstream.objects]
    )
    stock.close()


@pytest.mark.parametrize("make", [SingleSimulator, StockSimulator])
def test_a_broken_map_is_refused_by_both_simulators(small, write_map, make):
    with pytest.raises(MapError, match=r"broken\.yaml: tiles"):
        make(small.model_copy(update={"map_name": write_map("broken", [["straight/Q"]])}))


# --- mirrored maps -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mirrored_pairs(small, own_map, mirrored_map) -> Iterator[dict[type, tuple[Any, Any]]]:
    """The map and its mirror image in either simulator."""
    worlds = [small.model_copy(update={"map_name": name}) for name in (own_map, mirrored_map)]
    pairs = {kind: tuple(map(kind, worlds)) for kind in (StockSimulator, SingleSimulator)}
    yield pairs
    for pair in pairs.values():
        for simulator in pair:
            simulator.close()


def poses(simulator: StockSimulator, count: int) -> list[tuple[float, float, float]]:
    generator = np.random.default_rng(0)
    size = simulator.tile_size * np.array([simulator.grid_width, simulator.grid_height])
    drawn = ((*generator.uniform(0, size).tolist(), generator.uniform(-np.pi, np.pi)) for _ in range(10_000))
    return list(islice((pose for pose in drawn if simulator.valid_pose(*pose)), count))


def test_lanes_of_a_mirrored_map_are_mirrored(mirrored_pairs):
    """A mirrored lane leads the other way, because traffic keeps to the right; so does the robot."""
    real, mirrored = mirrored_pairs[SingleSimulator]
    generator = np.random.default_rng(0)
    size = real.tile_size * np.array([real.grid_width, real.grid_height])
    compared = 0
    while compared < 40:
        x, z = generator.uniform(0, size)
        angle = generator.uniform(-np.pi, np.pi)
        # a robot's front has to be on the road, its back need not: one may fit where the other does not
        if not (real.valid_pose(x, z, angle) and mirrored.valid_pose(WIDTH_M - x, z, -angle)):
            continue
        compared += 1
        real.reset(options={"pose": (x, z, angle)})
        mirrored.reset(options={"pose": (WIDTH_M - x, z, -angle)})
        ours, theirs = real.state, mirrored.state
        expected = (ours.lane_dist, -ours.lane_angle, ours.lane_dot)
        assert theirs[6:9] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def coarse(frame: np.ndarray) -> np.ndarray:
    """Six rows of eight averages."""
    return frame.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3))


def test_pictures_of_a_mirrored_map_are_mirrored(mirrored_pairs):
    """As far as they are in the stock simulator, too: photos of tiles are not quite their mirror images."""
    apart: dict[Any, list[float]] = {"same way": [], **{kind: [] for kind in mirrored_pairs}}
    for x, z, angle in poses(mirrored_pairs[StockSimulator][0], 20):
        for kind, (real, mirrored) in mirrored_pairs.items():
            # a new world each: the lamp stands straight above its first camera
            seen = coarse(real.reset(seed=1, options={"pose": (x, z, angle)})[0])
            image = coarse(mirrored.reset(seed=1, options={"pose": (WIDTH_M - x, z, np.pi - angle)})[0])
            apart[kind].append(np.abs(seen - image[:, ::-1]).mean())
        apart["same way"].append(np.abs(seen - image).mean())
    means = {kind: np.mean(values) for kind, values in apart.items()}
    print({getattr(kind, "__name__", kind): round(mean, 2) for kind, mean in means.items()})
    assert means[SingleSimulator] <= means[StockSimulator] + 1
    assert np.max(apart[SingleSimulator]) <= np.max(apart[StockSimulator]) + 2
    assert means["same way"] > 3 * means[SingleSimulator]
