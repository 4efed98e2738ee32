"""Fixed starts: on real maps in the real simulator, and on made-up roads."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ducklane.errors import UserError
from ducklane.evaluation.starts import LATERAL_SPREAD_M, fixed_starts
from ducklane.settings import SimulatorSettings
from ducklane.simulator.stock.simulator import StockSimulator

MAX_ANGLE = math.radians(20)
CLEARANCE = 1.3

# --- real maps ---------------------------------------------------------------------------------------------


@cache
def simulator(map_name):
    simulator = StockSimulator(
        SimulatorSettings(
            backend="gym-duckietown",
            seed=1,
            map_name=map_name,
            max_steps=10,
            camera_width=64,
            camera_height=48,
            accept_start_angle_deg=40,
            full_transparency=False,
            fidelity="fast",
            distortion=False,
            domain_rand=False,
            dynamics_rand=False,
            camera_rand=False,
            threads=1,
        )
    )
    simulator.camera_on = False
    return simulator


def starts_on(map_name, count):
    road = simulator(map_name)
    return fixed_starts(
        road, count, MAX_ANGLE, lambda *pose: road.valid_pose(*pose, CLEARANCE), map_name=map_name
    )


def tiles_under(map_name, starts):
    road = simulator(map_name)
    kinds = {(i, j): kind for i, j, kind in road.drivable_tiles}
    return [kinds[int(x // road.tile_size), int(z // road.tile_size)] for x, z, _ in starts]


MAPS = ["loop_empty", "loop_obstacles", "zigzag_dists", "udem1"]


@pytest.mark.parametrize("map_name", MAPS)
def test_the_simulator_takes_every_start_and_finds_it_in_a_lane(map_name):
    road = simulator(map_name)
    for start in starts_on(map_name, 24):
        road.reset(options={"pose": tuple(start)})
        assert (road.state.x, road.state.z) == pytest.approx(start[:2])
        assert road.valid_pose(*start, CLEARANCE)
        assert abs(road.state.lane_dist) <= LATERAL_SPREAD_M + 0.005
        assert abs(road.state.lane_angle) <= MAX_ANGLE + 0.03


@pytest.mark.parametrize("map_name", MAPS)
@pytest.mark.parametrize("count", [1, 2, 6, 50, 200])
def test_any_number_of_starts_are_all_different(map_name, count):
    starts = starts_on(map_name, count)
    assert starts.shape == (count, 3)
    assert len(np.unique(starts[:, :2].round(3), axis=0)) == count


@pytest.mark.parametrize("map_name", MAPS)
def test_straights_and_curves_get_their_share_and_crossings_none(map_name):
    kinds = tiles_under(map_name, starts_on(map_name, 50))
    assert set(kinds) <= {"straight", "curve_left", "curve_right"}
    on_map = [
        kind for *_, kind in simulator(map_name).drivable_tiles if not kind.startswith(("3way", "4way"))
    ]
    expected = on_map.count("straight") / len(on_map)
    assert kinds.count("straight") / 50 == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("map_name", ["loop_empty", "loop_obstacles", "zigzag_dists"])
@pytest.mark.parametrize("count", [6, 20])
def test_half_of_the_starts_go_each_way_round(map_name, count):
    starts = starts_on(map_name, count)
    straights = starts[[kind == "straight" for kind in tiles_under(map_name, starts)]]
    from_center = straights[:, :2] - simulator_center(map_name)
    ahead = np.column_stack([np.cos(straights[:, 2]), -np.sin(straights[:, 2])])
    to_the_right = from_center[:, 0] * ahead[:, 1] - from_center[:, 1] * ahead[:, 0] > 0
    assert 0.3 <= to_the_right.mean() <= 0.7


def simulator_center(map_name):
    road = simulator(map_name)
    return (np.mean([(i, j) for i, j, _ in road.drivable_tiles], axis=0) + 0.5) * road.tile_size


def test_the_starts_are_the_same_every_time():
    assert np.array_equal(starts_on("udem1", 12), starts_on("udem1", 12))


def test_a_map_with_nothing_but_a_crossing_still_has_starts():
    assert set(tiles_under("regress_4way_drivable", starts_on("regress_4way_drivable", 3))) == {"4way"}


# --- made-up roads -----------------------------------------------------------------------------------------


class StraightRoad:
    """Tiles of one metre in a row along x; a lane each way, 0.25 m from the middle."""

    tile_size = 1.0

    def __init__(self, tiles):
        self.tiles = tiles
        self.drivable_tiles = [(i, 0, "straight") for i in range(tiles)]

    def lane_curves(self, i, j):
        x = i + np.linspace(0, 1, 4)
        rightwards, leftwards = np.full(4, 0.75), np.full(4, 0.25)
        return np.array([np.column_stack([x, rightwards]), np.column_stack([x[::-1], leftwards])])


def split_by_lane(starts):
    """(x, metres right of the lane's centre, radians left of its direction) of the starts of either lane."""
    x, z, angle = starts.T
    rightwards = z > 0.5
    off = np.where(rightwards, z - 0.75, 0.25 - z)
    turn = np.where(rightwards, angle, angle - math.pi)
    found = np.column_stack([x, off, np.remainder(turn + math.pi, 2 * math.pi) - math.pi])
    return found[rightwards], found[~rightwards]


roads = st.integers(1, 12).map(StraightRoad)
counts = st.integers(1, 200)
angles = st.floats(0, math.pi / 2)


@given(roads, counts, angles)
@settings(deadline=None)
def test_starts_are_evenly_spaced_over_both_lanes(road, count, max_angle):
    lanes = split_by_lane(fixed_starts(road, count, max_angle, lambda *_: True))
    assert abs(len(lanes[0]) - len(lanes[1])) <= 1
    even = 2 * road.tiles / count
    for lane in lanes:
        gaps = np.diff(np.sort(lane[:, 0]))
        assert np.all((gaps > 0.5 * even) & (gaps < 1.5 * even))


@given(roads, counts, angles)
@settings(deadline=None)
def test_offsets_stay_within_their_bounds_and_fill_them(road, count, max_angle):
    offsets = np.concatenate(split_by_lane(fixed_starts(road, count, max_angle, lambda *_: True)))[:, 1:]
    bounds = np.array([LATERAL_SPREAD_M, max_angle])
    assert np.all(np.abs(offsets) <= bounds + 1e-9)
    if count >= 8:
        assert np.all(offsets.max(axis=0) >= 0.5 * bounds - 1e-9)
        assert np.all(offsets.min(axis=0) <= -0.5 * bounds + 1e-9)
    if count >= 50:
        assert np.all(np.abs(offsets.mean(axis=0)) <= 0.1 * bounds + 1e-9)


@given(roads, counts, st.floats(0, 12), st.floats(0, 6))
@settings(deadline=None)
def test_every_start_is_valid_or_there_is_an_error(road, count, blocked_from, length):
    def valid(x, z, angle):
        return not blocked_from <= x <= blocked_from + length

    try:
        starts = fixed_starts(road, count, MAX_ANGLE, valid)
    except UserError:
        free = road.tiles - min(length, max(0, road.tiles - blocked_from))
        assert free < 0.5 * road.tiles, "more than half of the road was free"
    else:
        assert len(starts) == count
        assert all(valid(*start) for start in starts)


def test_starts_that_must_move_do_not_move_onto_others():
    def valid(x, z, angle):
        turned_left = angle % math.pi if z > 0.5 else (angle - math.pi) % math.pi
        return x < 2 or turned_left < 0.1

    for lane in split_by_lane(fixed_starts(StraightRoad(4), 24, MAX_ANGLE, valid)):
        assert np.diff(np.sort(lane[:, 0])).min() > 0.05


def test_too_few_valid_places_are_reported_in_one_clear_line():
    with pytest.raises(
        UserError, match=r"evaluate.episodes: tightrope has room for 0 valid starts, not 7; use"
    ) as error:
        fixed_starts(StraightRoad(3), 7, MAX_ANGLE, lambda *_: False, map_name="tightrope")
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(("count", "max_angle"), [(0, 0.1), (3, -0.1), (3, math.nan)])
def test_arguments_out_of_range_are_refused(count, max_angle):
    with pytest.raises(ValueError, match="count >= 1"):
        fixed_starts(StraightRoad(3), count, max_angle, lambda *_: True)
