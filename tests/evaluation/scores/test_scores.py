"""The scores against the official rules, and what a driver would expect of them."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.evaluation.scores.summary import Scores, summarize
from ducklane.simulator.stock.adaptations import import_duckietown_world
from ducklane.simulator.town.maps import MapError, map_file

HERE = Path(__file__).parent
GOLDEN_SCORES = json.loads((HERE / "scores.json").read_text())
GOLDEN_POSES = np.load(HERE / "golden_poses.npz")
TILE = 0.585


def at(i, j, angle=0.0):
    """A pose whose place is given in tiles."""
    return np.array([i * TILE, j * TILE, angle])


STRAIGHT_START = at(2.5, 1.72)
"""On the centre of a lane of loop_empty that runs from here straight on for three tiles."""

lane_map = cache(LaneMap)


def official(map_name, poses):
    """The official scores: duckietown_world.rules.evaluate_rules on the poses."""
    duckietown_world = import_duckietown_world()
    import geometry
    from duckietown_world import DB18, SE2Transform
    from duckietown_world.rules import evaluate_rules
    from duckietown_world.seqs import SampledSequence

    world = duckietown_world.load_map(map_name)
    height = world.children["tilemap"].W * world.tile_size
    times = [step / 30 for step in range(len(poses))]
    transforms = [
        SE2Transform.from_SE2(geometry.SE2_from_translation_angle([x, height - z], angle))
        for x, z, angle in poses
    ]
    sequence = SampledSequence[SE2Transform](times, transforms)
    world.set_object("ego", DB18(), ground_truth=sequence)
    rules = evaluate_rules(
        poses_sequence=sequence,
        interval=SampledSequence[float](times, times),
        world=world,
        ego_name="ego",
    )
    return {
        (name[0] if name else rule): metric.total
        for rule, result in rules.items()
        for name, metric in result.metrics.items()
    }


def drive(start, speeds, yaw_rates):
    """Poses, 30 a second, at the given speeds (m/s) and yaw rates (rad/s, positive to the left)."""
    poses = [np.asarray(start, float)]
    for speed, yaw_rate in np.broadcast(speeds, yaw_rates):
        x, z, angle = poses[-1]
        step = speed / 30
        poses.append(
            np.array([x + step * math.cos(angle), z - step * math.sin(angle), angle + yaw_rate / 30])
        )
    return np.array(poses)


def lane_center(map_name):
    """Poses 5 mm apart along the centre of the loop of lanes that begins with the map's first lane."""
    duckietown_world = import_duckietown_world()
    import geometry
    from duckietown_world import LaneSegment
    from duckietown_world.geo import iterate_by_class

    world = duckietown_world.load_map(map_name)
    height = world.children["tilemap"].W * world.tile_size
    pieces = []
    for found in iterate_by_class(world, LaneSegment):
        to_world = found.transform_sequence.asmatrix2d().m
        betas = (np.arange(120) + 0.5) / 120 * (len(found.object.control_points) - 1)
        matrices = [to_world @ found.object.center_point(beta) for beta in betas]
        ctas = [geometry.translation_angle_scale_from_E2(matrix) for matrix in matrices]
        pieces.append(np.array([(*c.translation, c.angle) for c in ctas]))
    loop = [pieces[0]]
    while True:
        end = loop[-1][-1]
        gaps = [np.linalg.norm(piece[0, :2] - end[:2]) for piece in pieces]
        following = pieces[int(np.argmin(gaps))]
        if following is pieces[0]:
            break
        loop.append(following)
    x, y, angle = np.concatenate(loop).T
    return np.column_stack([x, height - y, angle])


# --- equal to the official rules ---------------------------------------------------------------------------


@pytest.mark.parametrize("episode", sorted(GOLDEN_SCORES))
def test_golden_episodes_score_as_recorded(episode):
    scores = lane_map(episode.rsplit("-", 1)[0]).score(GOLDEN_POSES[episode], survived=False)
    recorded = {name: GOLDEN_SCORES[episode][name] for name in scores.official()}
    assert scores.official() == pytest.approx(recorded, abs=1e-6)


def wandering(start, seed):
    """Forwards and backwards, in curves tight and wide, off the road and back."""
    random = np.random.default_rng(seed)
    return drive(start, np.repeat(random.uniform(-0.2, 0.8, 10), 7), np.repeat(random.uniform(-4, 4, 10), 7))


def anywhere(tiles, seed):
    return np.random.default_rng(seed).uniform((0, 0, -9), (tiles * TILE, tiles * TILE, 9), (80, 3))


LEFT_TURN = np.repeat(
    [0, 0.6 / (0.72 * TILE), 0], [15, 33, 10]
)  # after half a tile, around a crossing's lane

DRIVES = {
    "straight through a crossing": ("4way", drive(at(1.2, 2.72), np.full(70, 0.6), 0.05)),
    "left in a crossing": ("4way", drive(at(1.5, 2.72), np.full(58, 0.6), LEFT_TURN)),
    "wandering in a crossing": ("4way", wandering(at(2.5, 2.6), 1)),
    "anywhere with a crossing": ("4way", anywhere(5, 2)),
    "straight through a junction": ("udem1", drive(at(2.2, 5.72), np.full(70, 0.6), -0.05)),
    "left in a junction": ("udem1", drive(at(2.5, 5.72), np.full(58, 0.6), LEFT_TURN)),
    "anywhere with junctions": ("udem1", anywhere(7, 3)),
    "spinning on the spot": ("loop_empty", drive(at(3.5, 1.7), np.zeros(60), 6.0)),
    "circling in one lane": ("loop_empty", drive(at(3.5, 1.8), np.full(70, 0.2), 3.7)),
    "circling over both lanes": ("loop_empty", drive(at(3.5, 1.8), np.full(80, 0.5), 2.5)),
    "backwards": ("loop_empty", drive(at(4.5, 1.72), np.full(60, -0.6), 0.1)),
    "off the road and back": ("small_loop", drive(at(1.2, 0.72), np.full(90, 0.9), 2.0)),
    "wandering in a curve": ("small_loop", wandering(at(0.5, 0.7), 4)),
    "on the line between tiles": (
        "small_loop",
        np.column_stack([np.full(60, TILE), np.linspace(0.5, 1, 60) * TILE, np.linspace(-1.7, 1.7, 60)]),
    ),
    "anywhere on a long loop": ("zigzag_dists", anywhere(8, 5)),
}


@pytest.mark.parametrize("name", DRIVES)
def test_scores_equal_the_official_ones(name):
    map_name, poses = DRIVES[name]
    scores = lane_map(map_name).score(poses, survived=True)
    expected = official(map_name, poses)
    assert scores.official() == pytest.approx({key: expected[key] for key in scores.official()}, abs=1e-9)
    assert scores.in_lane_share > 0.1, "a drive that is in no lane compares nothing"


# --- what the numbers mean ---------------------------------------------------------------------------------


def test_a_straight_drive_beside_the_centre():
    poses = drive(STRAIGHT_START + np.array([0, 0.05, 0]), np.full(60, 0.4), 0.0)
    scores = lane_map("loop_empty").score(poses, survived=True)
    assert scores.distance_m == pytest.approx(0.8, abs=1e-5)
    assert scores.survival_s == pytest.approx(2)
    assert scores.speed_mps == pytest.approx(0.4, abs=1e-5)
    assert scores.lateral_mean_m == pytest.approx(0.05, abs=1e-6)
    assert scores.deviation_center_line == pytest.approx(0.05 / TILE * 2, abs=1e-6), (
        "official: tiles, not metres"
    )
    assert scores.deviation_heading == pytest.approx(0, abs=1e-6)
    assert scores.in_lane_share == 1
    assert scores.driven_any == pytest.approx(0.8)
    assert scores.survived


def test_the_mean_distance_from_the_centre_is_over_the_time_in_a_lane():
    in_lane = drive(STRAIGHT_START + np.array([0, 0.05, 0]), np.full(30, 0.4), 0.0)
    off_road = np.full((90, 3), 100.0)
    scores = lane_map("loop_empty").score(np.concatenate([in_lane, off_road]), survived=False)
    assert scores.lateral_mean_m == pytest.approx(0.05, abs=1e-6)
    assert scores.in_lane_share == pytest.approx(31 / 120)


def test_off_the_road_all_the_time():
    scores = lane_map("loop_empty").score(drive((50.0, 50.0, 0.0), np.full(30, 0.6), 0.0), survived=False)
    assert scores.distance_m == 0
    assert scores.in_lane_share == 0
    assert scores.lateral_mean_m is None
    assert scores.laps == 0
    assert scores.driven_any == pytest.approx(0.6)


@pytest.mark.parametrize("map_name", ["loop_empty", "zigzag_dists", "ETHZ_autolab_technical_track"])
def test_once_around_is_one_lap(map_name):
    around = lane_center(map_name)
    scores = lane_map(map_name).score(around, survived=True)
    assert scores.laps == pytest.approx(1, abs=0.01)
    twice = lane_map(map_name).score(np.concatenate([around, around]), survived=True)
    assert twice.laps == pytest.approx(2, abs=0.02)
    assert scores.in_lane_share == 1
    assert scores.lateral_mean_m < 1e-4


def test_no_laps_where_lanes_branch():
    assert lane_map("udem1").score(GOLDEN_POSES["udem1-0"], survived=True).laps is None


def test_coming_back_in_the_other_lane_of_a_tile_does_not_count():
    there = drive(STRAIGHT_START, np.full(30, 0.4), 0.0)
    other_lane = there[::-1] + at(0, -0.44, math.pi)
    scores = lane_map("loop_empty").score(np.concatenate([there, other_lane]), survived=True)
    assert scores.driven_lanedir_consec == pytest.approx(0.4, abs=0.02)
    assert scores.driven_lanedir == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    "poses",
    [np.zeros((1, 3)), np.zeros((5, 2)), np.zeros(3), np.full((4, 3), np.nan), np.full((4, 3), np.inf)],
    ids=["one pose", "no angle", "flat", "nan", "infinite"],
)
def test_invalid_poses_are_refused(poses):
    with pytest.raises(ValueError, match="poses must be"):
        lane_map("loop_empty").score(poses, survived=True)


def test_an_unknown_map_is_refused_by_name():
    with pytest.raises(MapError, match="'loop_empyt'; did you mean loop_empty"):
        LaneMap("loop_empyt")


@pytest.mark.parametrize("name", ["mine", "maps/mine.yaml"])
def test_a_custom_map_is_scored_like_any_other(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("maps").mkdir()
    shutil.copy(map_file("loop_empty"), "maps/mine.yaml")
    poses = drive(STRAIGHT_START, np.full(30, 0.6), 0.0)
    packaged = lane_map("loop_empty").score(poses, survived=True)
    assert LaneMap(name).score(poses, survived=True) == packaged


def test_loading_a_map_is_silent_and_leaves_logging_alone_and_needs_no_ray():
    program = """
import logging, sys
before = logging.root.handlers[:], logging.root.level, logging.root.manager.disable
from ducklane.evaluation.scores.lane_map import LaneMap
LaneMap("loop_empty")
assert before == (logging.root.handlers, logging.root.level, logging.root.manager.disable)
assert not {"ray", "torch", "mlflow"} & set(sys.modules)
"""
    run = subprocess.run([sys.executable, "-W", "default", "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# --- properties --------------------------------------------------------------------------------------------

on_the_map = st.tuples(st.floats(0, 7 * TILE), st.floats(0, 8 * TILE), st.floats(-10, 10))
a_drive = st.builds(
    lambda start, legs: drive(start, *np.repeat(np.array(legs), 10, axis=0).T),
    on_the_map,
    st.lists(st.tuples(st.floats(0, 0.6), st.floats(-4, 4)), min_size=1, max_size=6),
)
in_the_straight_lane = st.tuples(st.floats(-0.2, 0.8), st.floats(-0.02, 0.02), st.floats(-0.4, 0.4)).map(
    lambda offset: STRAIGHT_START + np.array(offset)
)


@given(a_drive)
@settings(max_examples=60, deadline=None)
def test_scores_are_finite_and_within_bounds(poses):
    scores = lane_map("loop_empty").score(poses, survived=True)
    assert np.isfinite(list(scores.official().values())).all()
    assert scores.deviation_center_line >= 0
    assert scores.deviation_heading >= 0
    assert -1e-9 <= scores.in_lane_share <= 1 + 1e-9
    tolerance = 1e-5 * len(poses)
    assert scores.driven_lanedir_consec <= scores.driven_lanedir + tolerance
    assert scores.driven_lanedir <= scores.driven_any + tolerance
    assert json.loads(json.dumps(summarize([scores])))["episodes"] == 1


@given(on_the_map, st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_standing_still_covers_no_distance(pose, steps):
    scores = lane_map("loop_empty").score(np.tile(pose, (steps + 1, 1)), survived=True)
    assert scores.distance_m == pytest.approx(0, abs=1e-5 * steps)
    assert scores.driven_any == 0


@given(in_the_straight_lane, st.floats(0.01, 0.6))
@settings(max_examples=40, deadline=None)
def test_driving_backwards_subtracts_what_driving_forwards_adds(start, speed):
    forwards = drive(start, np.full(10, speed), 0.0)
    ahead = lane_map("loop_empty").score(forwards, survived=True).distance_m
    back = lane_map("loop_empty").score(forwards[::-1], survived=True).distance_m
    assert ahead > 0
    assert back == pytest.approx(-ahead, abs=1e-4)


@given(in_the_straight_lane, st.floats(0.01, 0.6))
@settings(max_examples=40, deadline=None)
def test_the_wrong_way_down_a_lane_counts_nothing(start, speed):
    wrong_way = drive(start + np.array([0, 0, math.pi]), np.full(10, speed), 0.0)
    scores = lane_map("loop_empty").score(wrong_way, survived=True)
    assert scores.distance_m == 0
    assert scores.in_lane_share == pytest.approx(0)


# --- summaries ---------------------------------------------------------------------------------------------


def scores_of(distance=1.0, lateral=0.02, laps=0.1, survived=True):
    return Scores(
        driven_lanedir_consec=distance,
        survival_time=10.0,
        deviation_center_line=0.3,
        in_drivable_lane=1.0,
        deviation_heading=0.5,
        driven_any=2 * distance,
        driven_lanedir=distance,
        survived=survived,
        lateral_mean_m=lateral,
        laps=laps,
    )


def test_a_summary_holds_the_medians_and_the_survivors():
    summary = summarize([scores_of(1.0), scores_of(5.0, survived=False), scores_of(2.0)])
    assert summary["episodes"] == 3
    assert summary["survived"] == 2
    assert summary["official"]["driven_lanedir_consec"] == 2
    assert summary["official"]["deviation-center-line"] == pytest.approx(0.3)
    assert summary["official"]["in-drivable-lane"] == pytest.approx(1)
    assert summary["readable"]["distance_m"] == 2
    assert summary["readable"]["speed_mps"] == pytest.approx(0.2)
    assert summary["readable"]["in_lane_share"] == pytest.approx(0.9)
    assert json.loads(json.dumps(summary)) == summary


def test_values_that_an_episode_lacks_are_left_out_or_none():
    summary = summarize([scores_of(lateral=None, laps=None), scores_of(lateral=0.04, laps=2.0)])
    assert summary["readable"]["lateral_mean_m"] == pytest.approx(0.04)
    assert summary["readable"]["laps"] is None
    assert summarize([scores_of(lateral=None)])["readable"]["lateral_mean_m"] is None


def test_an_empty_list_cannot_be_summarized():
    with pytest.raises(ValueError, match="no scores"):
        summarize([])
