import math
import os
import subprocess
import sys
import warnings
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ducklane.simulator.interface import StartError, State
from ducklane.simulator.stock.adaptations import GraphicsError
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town.maps import MapError, drivable_map_names

MOVING = [("loop_pedestrians", False), ("loop_pedestrians", True), ("loop_dyn_duckiebots", False)]
"""Maps, with and without domain randomization, on which more than the robot moves."""

DELAY_STEPS = 4
"""Steps until the first command reaches the motors."""


def some_actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 1.0, (count, 2))


def drive(simulator: StockSimulator, actions: np.ndarray, first: int = 0) -> list[tuple]:
    """(frame's bytes, state, reward, terminated, truncated) of each step; a new episode where one ends.

    Every tenth step is drawn, counting from `first`: drawing is what takes the time.
    """
    seen = []
    for count, action in enumerate(actions, start=first):
        simulator.camera_on = count % 10 == 0
        frame, reward, terminated, truncated, _ = simulator.step(action)
        seen.append((frame.tobytes(), repr(simulator.state), reward, terminated, truncated))
        simulator.camera_on = True
        if terminated or truncated:
            simulator.reset()
    return seen


def things(simulator: StockSimulator) -> list[str]:
    """All that upstream knows about the objects on the map, except what is only for drawing."""
    return [
        repr(sorted((name, value) for name, value in vars(thing).items() if name not in ("mesh", "texs")))
        for thing in simulator._upstream.objects
    ]


def lane_middle(simulator: StockSimulator, kind: str = "straight") -> tuple[float, float, float]:
    """Half-way along the first lane of the first tile of that kind, heading along it."""
    i, j, _ = next(tile for tile in simulator.drivable_tiles if tile[2] == kind)
    p0, p1, p2, p3 = simulator.lane_curves(i, j)[0]
    x, z = (p0 + 3 * p1 + 3 * p2 + p3) / 8
    dx, dz = p3 + p2 - p1 - p0
    return float(x), float(z), math.atan2(-dz, dx)


# --- the gymnasium interface -------------------------------------------------------------------------------


def test_the_simulator_passes_gymnasiums_checks(simulator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*render.*|.*spec.*")  # made without gymnasium.make
        check_env(simulator)


def test_spaces(make_simulator):
    simulator = make_simulator(camera_width=80, camera_height=60)
    assert simulator.observation_space == gymnasium.spaces.Box(0, 255, (60, 80, 3), np.uint8)
    assert simulator.action_space == gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    frame, _ = simulator.reset()
    assert frame in simulator.observation_space
    assert frame.std() > 10  # a picture


def test_info_holds_the_state_and_on_request_upstreams_report(make_simulator):
    for transparent in (True, False):
        simulator = make_simulator(full_transparency=transparent)
        reset_info = simulator.reset()[1]
        step_info = simulator.step((0.1, 0.2))[4]
        for info in (reset_info, step_info):
            assert set(info) == {*State._fields, *(["Simulator"] if transparent else [])}
        assert State(**{name: step_info[name] for name in State._fields}) == simulator.state
        if transparent:
            assert step_info["Simulator"]["action"] == [0.1, 0.2]
            assert step_info["Simulator"]["lane_position"]["dist"] == simulator.state.lane_dist


def test_the_report_of_a_reset_says_nothing_about_the_last_episode(simulator):
    simulator.reset()
    simulator.step((1, 1))
    report = simulator.reset()[1]["Simulator"]
    assert report["action"] == [0, 0]
    assert report["wheel_velocities"] == [0, 0]
    assert report["timestamp"] == 0
    assert report["robot_speed"] == 0


def test_returned_frames_are_never_written_to_again(simulator):
    first, _ = simulator.reset()
    before = first.copy()
    second = simulator.step((1, 1))[0]
    simulator.render()[:] = 0
    assert np.array_equal(first, before)
    assert not np.shares_memory(first, second)
    assert np.array_equal(simulator.render(), second)
    assert second.any()


def test_episode_is_truncated_at_max_steps(make_simulator):
    simulator = make_simulator(max_steps=5)
    for _ in range(2):
        simulator.reset()
        ends = [simulator.step((0, 0))[2:4] for _ in range(5)]
        assert ends == [(False, False)] * 4 + [(False, True)]


def test_episode_is_terminated_off_the_road_and_not_truncated_too(make_simulator):
    simulator = make_simulator()
    simulator.reset(seed=1)
    steps = [simulator.step((1, 1)) for _ in range(200)]
    crash = next(index for index, step in enumerate(steps) if step[2])
    assert [step[2:4] for step in steps[:crash]] == [(False, False)] * crash
    assert steps[crash][1] == -1000
    assert steps[crash][4]["valid"] is False

    cut = make_simulator(max_steps=crash + 1)
    cut.reset(seed=1)
    assert [cut.step((1, 1))[2:4] for _ in range(crash + 1)][-1] == (True, False)


def test_the_reward_for_standing_in_the_lane_matches_upstream(simulator):
    simulator.reset(options={"pose": lane_middle(simulator)})
    reward = simulator.step((0, 0))[1]
    state = simulator.state
    assert reward == pytest.approx(1.2 * state.lane_dot - 10 * abs(state.lane_dist) + 40 * state.proximity)


# --- actions -----------------------------------------------------------------------------------------------


def states_after(simulator: StockSimulator, action) -> list[State]:
    simulator.reset(seed=3, options={"pose": lane_middle(simulator)})
    return [State(*map(simulator.step(action)[4].get, State._fields)) for _ in range(12)]


def test_float64_actions_are_not_rounded(simulator):
    assert states_after(simulator, np.array([0.1, 0.1])) == states_after(simulator, [0.1, 0.1])
    assert states_after(simulator, np.array([0.1, 0.1])) != states_after(simulator, np.float32([0.1, 0.1]))
    assert states_after(simulator, np.float32([0.5, 0.25])) == states_after(simulator, np.array([0.5, 0.25]))


def test_actions_beyond_the_bounds_are_clipped(simulator):
    assert states_after(simulator, (7.0, -3.0)) == states_after(simulator, (1.0, -1.0))


@pytest.mark.parametrize("action", [(math.nan, 0.0), (0.1,), (0.1, 0.2, 0.3), 0.5, [[0.1, 0.2]]])
def test_invalid_actions_are_refused(simulator, action):
    simulator.reset(seed=1)
    before = simulator.state
    with pytest.raises(ValueError, match="an action must be"):
        simulator.step(action)
    assert simulator.step((0, 0))[4]["x"] == before.x


def test_velocities_are_signed(simulator):
    simulator.camera_on = False
    backwards, left = states_after(simulator, (-0.5, -0.5))[-1], states_after(simulator, (-0.2, 0.2))[-1]
    assert backwards.forward_speed == pytest.approx(-backwards.speed)
    assert backwards.speed > 0.05
    assert left.yaw_rate > 0.5
    before, after = states_after(simulator, (-0.2, 0.2))[-2:]
    assert after.angle - before.angle == pytest.approx(after.yaw_rate / 30)


# --- resets ------------------------------------------------------------------------------------------------


@st.composite
def poses(draw, simulator: StockSimulator) -> tuple[float, float, float]:
    i, j, _ = draw(st.sampled_from(simulator.drivable_tiles))
    within_tile = st.floats(0, 1)
    x, z = (i + draw(within_tile)) * simulator.tile_size, (j + draw(within_tile)) * simulator.tile_size
    return x, z, draw(st.floats(-10, 10))


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.data())
def test_episodes_start_exactly_at_the_requested_pose(udem1, data):
    pose = data.draw(poses(udem1))
    udem1.camera_on = False
    assume(udem1.valid_pose(*pose))
    udem1.reset(seed=0)
    udem1.step((1, 0.5))  # leaves a command in the delay

    _, info = udem1.reset(options={"pose": pose})

    assert udem1.state[:3] == pose
    assert udem1.state[3:6] == (0, 0, 0)
    assert udem1.state.valid
    assert info["Simulator"]["cur_pos"] == [pose[0], 0, pose[1]]
    assert info["Simulator"]["timestamp"] == 0
    for _ in range(DELAY_STEPS):
        after = udem1.step((1, 1))[4]
        assert math.hypot(after["x"] - pose[0], after["z"] - pose[1]) < 1e-12
    assert udem1.step((1, 1))[4]["speed"] > 0.04


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.data())
def test_episodes_start_only_where_valid_pose_allows(udem1, data):
    pose = data.draw(poses(udem1))
    udem1.camera_on = False
    if udem1.valid_pose(*pose):
        udem1.reset(options={"pose": pose})
        assert udem1.step((0, 0))[2] is False
    else:
        with pytest.raises(ValueError, match="off the road or touches something"):
            udem1.reset(options={"pose": pose})
    if udem1.valid_pose(*pose, safety_factor=1.3):
        i, j = int(pose[0] // udem1.tile_size), int(pose[1] // udem1.tile_size)
        assert (i, j) in [tile[:2] for tile in udem1.drivable_tiles]


@given(offset=st.floats(-0.08, 0.08), turn=st.floats(-1.2, 1.2))
@hypothesis_settings(max_examples=40, deadline=None)
def test_lane_position_is_positive_to_the_right(udem1, offset, turn):
    x, z, angle = lane_middle(udem1)
    right = math.sin(angle), math.cos(angle)  # (x, z)
    pose = x + offset * right[0], z + offset * right[1], angle - turn
    assume(udem1.valid_pose(*pose))
    udem1.camera_on = False
    udem1.reset(options={"pose": pose})
    assert udem1.state.lane_dist == pytest.approx(offset, abs=1e-9)
    assert udem1.state.lane_angle == pytest.approx(turn, abs=1e-6)
    assert udem1.state.lane_dot == pytest.approx(math.cos(turn), abs=1e-9)


def test_the_picture_is_taken_from_the_start_pose(simulator):
    x, z, angle = lane_middle(simulator)
    here, _ = simulator.reset(seed=1, options={"pose": (x, z, angle)})
    turned, _ = simulator.reset(seed=1, options={"pose": (x, z, angle + 0.5)})
    assert not np.array_equal(here, turned)
    simulator.reset(seed=1, options={"pose": (x, z, angle)})
    assert np.array_equal(here, simulator.step((0, 0))[0])


def test_maps_start_pose_is_kept_for_later_resets(make_simulator):
    simulator = make_simulator(map_name="MOOC_modcon")
    simulator.reset()
    own_start = simulator.state[:3]
    simulator.reset(options={"pose": lane_middle(simulator)})
    assert simulator.state[:3] != own_start
    simulator.reset()
    assert simulator.state[:3] == own_start


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"pose": (0.0, 0.0, 0.0)}, "off the road or touches something"),
        ({"pose": (-5.0, 1e9, 0.0)}, "off the road or touches something"),
        ({"pose": (1.0, math.nan, 0.0)}, "three finite numbers"),
        ({"pose": (1.0, 2.0)}, "three finite numbers"),
        ({"position": (1.0, 2.0, 0.0)}, "not 'position'"),
    ],
)
def test_impossible_starts_are_refused(simulator, options, problem):
    simulator.reset(seed=1)
    before = simulator.state
    with pytest.raises(ValueError, match=problem):
        simulator.reset(options=options)
    assert simulator.state == before
    assert simulator.step((0, 0))[4]["x"] == before.x


def test_settings_that_leave_no_start_are_refused(make_simulator, monkeypatch):
    make_simulator()  # imports gym_duckietown
    monkeypatch.setattr("gym_duckietown.simulator.MAX_SPAWN_ATTEMPTS", 20)
    simulator = make_simulator(accept_start_angle_deg=1e-9)
    with pytest.raises(StartError, match="accept_start_angle_deg: no start within 1e-09 degrees"):
        simulator.reset()


def test_random_starts_are_valid_and_near_the_lanes_direction(make_simulator):
    simulator = make_simulator(accept_start_angle_deg=10)
    simulator.camera_on = False
    starts = set()
    for _ in range(30):
        simulator.reset()
        starts.add(simulator.state[:3])
        assert simulator.state.valid
        assert abs(simulator.state.lane_angle) < math.radians(10)
    assert len(starts) == 30


@pytest.mark.parametrize(("map_name", "domain_rand"), [("loop_empty", False), ("4way", False), *MOVING])
def test_equal_seeds_give_equal_worlds(make_simulator, map_name, domain_rand):
    simulator = make_simulator(map_name=map_name, domain_rand=domain_rand)
    actions = some_actions(40)

    def episode(seed: int) -> list:
        frame, _ = simulator.reset(seed=seed)
        return [frame.tobytes(), repr(simulator.state), things(simulator), *drive(simulator, actions)]

    first, moved = episode(11), things(simulator)
    drive(simulator, np.zeros((300, 2)))  # long enough for a duckie to set out
    other = episode(12)
    assert episode(11) == first
    assert things(simulator) == moved
    assert other != first


def test_the_first_world_follows_the_seed_in_the_settings(make_simulator):
    def world(seed: int) -> tuple:
        simulator = make_simulator(map_name="loop_pedestrians", domain_rand=True, seed=seed)
        return simulator.reset()[0].tobytes(), things(simulator), drive(simulator, some_actions(20))

    first, second, other = world(4), world(4), world(5)
    assert first == second
    assert all(mine != others for mine, others in zip(first, other, strict=True))


def test_without_a_seed_the_random_stream_continues(simulator):
    simulator.reset(seed=7)
    starts = [simulator.state]
    for _ in range(3):
        simulator.reset()
        starts.append(simulator.state)
    simulator.reset(seed=7)
    again = [simulator.state]
    for _ in range(3):
        simulator.reset()
        again.append(simulator.state)
    assert starts == again
    assert all(one != other for one, other in pairwise(starts))


def test_numpys_global_generator_is_left_alone(make_simulator):
    np.random.seed(5)  # noqa: NPY002
    undisturbed = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    simulator = make_simulator(map_name="loop_pedestrians", domain_rand=True)
    simulator.reset(seed=1)
    drive(simulator, some_actions(5))
    assert np.array_equal(np.random.random(3), undisturbed)  # noqa: NPY002


# --- the camera --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("map_name", ["loop_obstacles", "loop_pedestrians"])
def test_camera_changes_neither_poses_nor_rewards(make_simulator, map_name):
    seen = []
    for camera_on in (True, False):
        simulator = make_simulator(map_name=map_name, domain_rand=True, max_steps=25)
        simulator.camera_on = camera_on
        first, _ = simulator.reset()
        assert first.any() == camera_on
        assert first in simulator.observation_space
        seen.append([])
        for action in some_actions(80):
            frame, *rest, info = simulator.step(action)
            assert frame.any() == camera_on
            seen[-1].append((*rest, repr(info)))
            if any(rest[1:]):
                simulator.reset()
    assert seen[0] == seen[1]


# --- several simulators ------------------------------------------------------------------------------------

TOGETHER = [
    {"map_name": "4way", "seed": 1},  # traffic lights, whose mesh upstream shares
    {"map_name": "loop_obstacles", "seed": 2, "camera_width": 100},
    {"map_name": "loop_pedestrians", "seed": 3, "domain_rand": True},
    {"map_name": "4way", "seed": 4},
]


def test_simulators_in_one_process_do_not_affect_each_other(make_simulator):
    actions = some_actions(170)  # long enough for the lights to change

    alone = []
    for changes in TOGETHER:
        simulator = make_simulator(**changes)
        first, _ = simulator.reset()
        alone.append([first.tobytes(), *drive(simulator, actions)])
        simulator.close()

    simulators = [make_simulator(**changes) for changes in TOGETHER]
    together = [[simulator.reset()[0].tobytes()] for simulator in simulators]
    for turn, action in enumerate(actions):
        for index, simulator in enumerate(simulators):
            if index == 0 and turn >= 100:
                simulator.close()
            else:
                together[index] += drive(simulator, action[np.newaxis], first=turn)
    assert together[0] == alone[0][: len(together[0])]
    assert len(together[0]) == 101
    assert together[1:] == alone[1:]


def test_closing_one_simulator_leaves_the_others_picture_intact(make_simulator):
    one, other = make_simulator(), make_simulator(map_name="small_loop")
    one.reset(seed=1)
    before, _ = other.reset(seed=1)
    one.close()
    assert np.array_equal(other.reset(seed=1)[0], before)


def test_a_closed_simulator_says_so(make_simulator):
    simulator = make_simulator()
    simulator.reset()
    simulator.close()
    simulator.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        simulator.step((0, 0))
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        simulator.reset()


def test_a_reset_is_required_first(simulator):
    for too_early in (lambda: simulator.step((0, 0)), simulator.render, lambda: simulator.state):
        with pytest.raises(gymnasium.error.ResetNeeded):
            too_early()


# --- maps --------------------------------------------------------------------------------------------------


def test_there_are_42_maps_to_drive_on():
    assert len(drivable_map_names()) == 42


@pytest.mark.parametrize("map_name", drivable_map_names())
def test_every_map_can_be_driven_on(make_simulator, map_name):
    simulator = make_simulator(map_name=map_name)
    actions = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    simulator.reset()
    for step, action in enumerate(actions):
        simulator.camera_on = step % 30 == 0
        frame, reward, terminated, _, _ = simulator.step(action)
        assert frame.any() == simulator.camera_on
        assert math.isfinite(reward)
        if terminated or step == 200:
            simulator.camera_on = True
            simulator.reset()
            assert simulator.state.valid


@pytest.mark.parametrize(("map_name", "domain_rand"), MOVING)
def test_objects_move(make_simulator, map_name, domain_rand):
    simulator = make_simulator(map_name=map_name, domain_rand=domain_rand, max_steps=10_000)
    simulator.reset(seed=1)
    moving = [thing for thing in simulator._upstream.objects if not thing.static]
    starts = np.array([thing.pos for thing in moving])
    farthest = np.zeros(len(moving))
    simulator.camera_on = False
    for _ in range(700):
        simulator.step((0, 0))
        # the farthest, because a duckie that has crossed walks back
        away = np.linalg.norm([thing.pos for thing in moving] - starts, axis=1)
        farthest = np.maximum(farthest, away)
    assert (farthest > 0.05).all()
    simulator.camera_on = True
    assert simulator.step((0, 0))[0].any()


def test_geometry(simulator):
    assert simulator.tile_size == 0.585
    assert (simulator.grid_width, simulator.grid_height) == (8, 7)
    tiles = simulator.drivable_tiles
    assert len(tiles) == 18
    assert {kind for _, _, kind in tiles} == {"straight", "curve_left", "curve_right"}
    for i, j, _ in tiles:
        curves = simulator.lane_curves(i, j)
        assert curves.shape == (2, 4, 2)
        corner = np.array([i, j]) * simulator.tile_size
        assert np.all(curves > corner - 1e-9)
        assert np.all(curves < corner + simulator.tile_size + 1e-9)
    with pytest.raises(ValueError, match=r"tile \(0, 0\) of loop_empty is not drivable"):
        simulator.lane_curves(0, 0)
    with pytest.raises(ValueError, match="is not drivable"):
        simulator.lane_curves(-1, 99)


def test_each_lane_starts_where_another_ends(simulator):
    curves = np.concatenate([simulator.lane_curves(i, j) for i, j, _ in simulator.drivable_tiles])
    starts, ends = curves[:, 0], curves[:, 3]
    gaps = np.linalg.norm(starts[:, None] - ends[None], axis=-1)
    assert gaps.min(axis=0).max() < 1e-9


def test_geometry_is_read_only(simulator):
    tile = simulator.drivable_tiles[0][:2]
    before = simulator.lane_curves(*tile)
    simulator.lane_curves(*tile)[:] = 0
    assert np.array_equal(simulator.lane_curves(*tile), before)


def test_a_map_is_refused_before_anything_is_loaded(make_simulator):
    with pytest.raises(MapError, match="did you mean loop_empty"):
        make_simulator(map_name="loop_emty")
    with pytest.raises(MapError, match="field1 has no road"):
        make_simulator(map_name="field1")


# --- the process -------------------------------------------------------------------------------------------

PROGRAM = """
import logging, sys
from ducklane.settings import SimulatorSettings
from ducklane.simulator.stock.simulator import StockSimulator
handlers = logging.root.handlers[:]
simulator = StockSimulator(SimulatorSettings.model_validate_json(sys.argv[1]))
assert logging.root.handlers == handlers
simulator.reset()
for _ in range(60):
    simulator.step((1, 1))
simulator.reset()
simulator.close()
"""


def run_program(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env={**variables, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("map_name", ["loop_empty", "loop_pedestrians"])
def test_the_simulator_is_silent_and_needs_no_display(small, map_name):
    chosen = small.model_copy(update={"map_name": map_name, "domain_rand": True})
    done = run_program(PROGRAM, chosen.model_dump_json())
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_importing_loads_no_simulator():
    done = run_program(
        "import sys, ducklane.simulator.stock.simulator;"
        "print([name for name in sys.modules if name.startswith(('gym_', 'duckietown', 'pyglet', 'torch'))])"
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_missing_opengl_is_reported(small):
    done = run_program(
        "from ducklane.errors import exits_cleanly\n@exits_cleanly\ndef main():\n"
        + "".join(f"    {line}\n" for line in PROGRAM.strip().splitlines())
        + "main()",
        small.model_dump_json(),
        __EGL_VENDOR_LIBRARY_DIRS="/nonexistent",  # where libEGL looks for drivers
    )
    assert done.returncode == GraphicsError.exit_code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "libegl1 libgl1 libglu1-mesa libgl1-mesa-dri libopengl0" in done.stderr


def test_resets_leave_nothing_behind_in_opengl(simulator):
    def vertices() -> int:
        return sum(simulator._upstream.tri_vlist.domain.allocator.sizes)

    simulator.camera_on = False
    simulator.reset()
    before = vertices()
    for _ in range(20):
        simulator.reset()
    assert vertices() == before > 0
