"""Boxes, circles and lanes against the stock simulator at arbitrary poses."""

import json
import math

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ducklane.simulator.scenes import load_scene
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town.layout import DUCKIE, DUCKIEBOT, OTHER, TRAFFIC_LIGHT
from ducklane.simulator.town.maps import read_map
from ducklane.simulator.world.lane import lane_point, lane_position
from ducklane.simulator.world.obstacles import CENTRE_AHEAD, near_object, proximity, valid_pose
from ducklane.simulator.world.robots import new_robots, start_world
from ducklane.simulator.world.things import new_things

CROWD = [
    ("cone", 10.0, 0.08),
    ("cone", 45.0, 0.1),
    ("barrier", 33.0, 0.2),
    ("duckiebot", -70.0, 0.12),
    ("duckie", 200.0, 0.08),
    ("tree", 7.0, 0.25),
    ("sign_stop", 90.0, 0.18),
    ("trafficlight", 12.0, 0.4),
]
"""(kind, turn in degrees, height): square and oblong, big and small."""


class World:
    """A small loop full of things, theirs and ours."""

    def __init__(self, stock: StockSimulator) -> None:
        self.upstream = stock._upstream
        self.layout = load_scene(stock.settings.map_names).layout
        self.things = new_things(1, self.layout)
        start_world(self.layout, self.things, new_robots([0], seed=0, max_steps=1, max_start_angle_deg=1), 0)


@pytest.fixture(scope="module")
def world(small, tmp_path_factory):
    places = [[0.25 + 0.33 * (n % 3), 1.45 + 0.8 * (n // 3)] for n in range(len(CROWD))]
    objects = [
        {"kind": kind, "pos": place, "rotate": turn, "height": height}
        for place, (kind, turn, height) in zip(places, CROWD, strict=True)
    ]
    path = tmp_path_factory.mktemp("maps") / "crowd.yaml"
    path.write_text(json.dumps({**read_map("small_loop"), "objects": objects}), encoding="utf-8")
    stock = StockSimulator(small.model_copy(update={"map_name": str(path)}))
    yield World(stock)
    stock.close()


coordinates = st.floats(-0.2, 2.0)
angles = st.one_of(st.floats(-7, 7), st.sampled_from([0.0, math.pi / 2, math.pi, -math.pi / 2]))


def test_the_layout_describes_the_objects(world):
    layout = world.layout
    assert layout.objects["kind"][0].tolist() == [
        *[OTHER] * 3,
        DUCKIEBOT,
        DUCKIE,
        OTHER,
        OTHER,
        TRAFFIC_LIGHT,
    ]
    assert layout.objects["collidable"][0].tolist() == [True] * 7 + [False]
    assert layout.tiles["drivable"].sum() == layout.drivable_count[0] == 8
    assert layout.start_tile.tolist() == [[-1, -1]]


@hypothesis_settings(max_examples=400, deadline=None)
@given(coordinates, coordinates, angles, st.floats(1, 1.3))
def test_valid_poses_match_the_stock_simulator(world, x, z, angle, factor):
    ours = valid_pose(world.layout, world.things, 0, 0, x, z, angle, factor)
    assert ours == world.upstream._valid_pose(np.array([x, 0, z]), angle, factor)


@hypothesis_settings(max_examples=300, deadline=None)
@given(coordinates, coordinates, angles)
def test_proximity_matches_the_stock_simulator(world, x, z, angle):
    ours = proximity(world.layout, world.things, 0, 0, x, z, angle)
    theirs = world.upstream.proximity_penalty2(np.array([x, 0, z]), angle)
    assert ours == pytest.approx(theirs, abs=1e-12)
    assert near_object(world.layout, world.things, 0, 0, x, z) == bool(
        world.upstream._inconvenient_spawn(np.array([x, 0, z]))
    )


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.sampled_from(range(7)), st.floats(-3e-8, 3e-8), st.floats(-3, 3))
def test_circles_touch_where_single_precision_says_so(world, k, gap, direction):
    """Whether the sum counts is decided with 8 digits, its amount with 16."""
    apart = math.sqrt(world.layout.objects["safety_rims"][0, k, 1]) + gap
    x = world.layout.objects["position"][0, k, 0] + apart * math.cos(direction) - CENTRE_AHEAD
    z = world.layout.objects["position"][0, k, 2] + apart * math.sin(direction)
    ours = proximity(world.layout, world.things, 0, 0, x, z, 0.0)
    assert ours == pytest.approx(world.upstream.proximity_penalty2(np.array([x, 0, z]), 0.0), abs=1e-12)


@hypothesis_settings(max_examples=400, deadline=None)
@given(coordinates, coordinates, st.floats(-7, 7))
def test_lanes_match_the_stock_simulator(world, x, z, angle):
    point, tangent = world.upstream.closest_curve_point(np.array([x, 0, z]), angle)
    found, *ours = lane_point(world.layout, 0, x, z, angle)
    assert found == (point is not None)
    dist, turn, dot = lane_position(world.layout, 0, x, z, angle)
    assert math.isnan(dist) == (not found)
    if not found:
        return
    gaps = np.abs(np.subtract(ours, [point[0], point[2], tangent[0], tangent[2]]))
    if gaps.max() > 1e-9:  # two points are equally near, and rounding decides, with BLAS's by the processor
        away = math.hypot(ours[0] - x, ours[1] - z)
        assert away == pytest.approx(math.hypot(point[0] - x, point[2] - z), abs=1e-12)
        event("a tie was broken the other way")
        return
    theirs = world.upstream.get_lane_pos2(np.array([x, 0, z]), angle)
    assert (dist, dot) == pytest.approx((theirs.dist, theirs.dot_dir), abs=1e-12)
    # next to 0 and pi the arc cosine of a rounded number is good to 8 digits only
    assert turn == pytest.approx(theirs.angle_rad, abs=1e-12 / max(abs(math.sin(turn)), 1e-4))
