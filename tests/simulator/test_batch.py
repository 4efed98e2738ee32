"""Many robots at once: a gymnasium vector environment whose robots are each alone in a world of their own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.single import SingleSimulator
from ducklane.simulator.state import State
from ducklane.task import reward


@pytest.fixture
def make(make_batch):
    return make_batch


def commands(steps: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 1, (steps, n, 2))


def driven(simulator: BatchedSimulator, steps: int = 45, seed: int = 0, **reset: Any) -> list[np.ndarray]:
    """Frames, rewards, ends and places of an episode and a half, as one list of arrays."""
    seen = [simulator.reset(seed=3, **reset)[0]]
    for command in commands(steps, simulator.num_envs, seed):
        frames, rewards, terminated, truncated, _ = simulator.step(command)
        seen += [frames, rewards, terminated, truncated, simulator.robots.x.copy()]
    return seen


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray], robots: Any = slice(None)) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one[robots], other[robots])


def test_is_a_vector_environment_that_resets_in_the_next_step(make):
    simulator = make(n=5)
    assert isinstance(simulator, gymnasium.vector.VectorEnv)
    assert simulator.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    frames, infos = simulator.reset(seed=1)
    assert frames in simulator.observation_space
    assert frames.shape == (5, 48, 64, 3)
    assert infos == {}
    before, ended = frames, np.zeros(5, bool)
    for command in commands(70, 5):
        poses = simulator.robots.x.copy()
        frames, rewards, terminated, truncated, infos = simulator.step(command)
        assert infos == {}
        assert not np.shares_memory(frames, before)
        assert not (terminated & truncated).any()
        # after an end: another start, for nothing
        assert (rewards[ended] == 0).all()
        assert not (terminated | truncated)[ended].any()
        assert (simulator.robots.step[ended] == 0).all()
        assert (simulator.robots.x[ended] != poses[ended]).all()
        assert (rewards[terminated] == -1000).all()
        assert (truncated == (~terminated & (simulator.robots.step == 30))).all()
        before, ended = frames, terminated | truncated


@pytest.mark.parametrize("changes", [{}, {"domain_rand": True, "map_name": "loop_pedestrians"}])
def test_the_number_of_threads_changes_nothing(make, changes):
    alone = driven(make(n=5, threads=1, **changes))
    for threads in (2, 3):
        assert_equal(alone, driven(make(n=5, threads=threads, **changes)))


def test_seeds_tell_episodes_apart_and_robots_too(make):
    simulator = make()
    first = driven(simulator)
    assert_equal(first, driven(simulator))
    assert not np.array_equal(first[0], simulator.reset(seed=4)[0])
    assert len(np.unique(simulator.robots.x)) == 4


def test_neighbours_change_nothing(make):
    few, many = make(n=3, domain_rand=True), make(n=6, domain_rand=True)
    few.reset(seed=7)
    many.reset(seed=7)
    given = commands(40, 6)
    for command in given:
        ours, theirs = few.step(command[:3]), many.step(command)
        np.testing.assert_array_equal(ours[0], theirs[0][:3])
        np.testing.assert_array_equal(ours[1], theirs[1][:3])


def test_begins_exactly_where_it_is_told(make):
    simulator = make()
    simulator.reset(seed=1)
    poses = np.stack([simulator.robots.x, simulator.robots.z, simulator.robots.angle], axis=1)
    frames, _ = simulator.reset(options={"poses": poses[::-1]})
    np.testing.assert_array_equal(simulator.robots.x, poses[::-1, 0])
    assert (simulator.robots.step == 0).all()
    again, _ = make().reset(seed=1, options={"poses": poses[::-1]})
    assert frames.shape == again.shape


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"poses": np.zeros((4, 3))}, r"pose 0, .* on loop_empty is off the road"),
        ({"poses": np.full((4, 3), np.nan)}, "finite"),
        ({"poses": np.zeros((2, 3))}, "of 4 robots"),
        ({"pose": (1, 1, 0)}, "'poses' only, not 'pose'"),
    ],
)
def test_a_wrong_start_is_refused_and_the_simulator_goes_on(make, options, problem):
    simulator = make()
    with pytest.raises(ValueError, match=problem):
        simulator.reset(seed=1, options=options)
    simulator.reset(seed=1)
    simulator.step(np.zeros((4, 2)))


@pytest.mark.parametrize("actions", [np.zeros((3, 2)), np.full((4, 2), np.nan), np.zeros(4)])
def test_wrong_actions_are_refused(make, actions):
    simulator = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        simulator.step(np.zeros((4, 2)))
    simulator.reset(seed=1)
    with pytest.raises(ValueError, match="wheel duty of 4 robots"):
        simulator.step(actions)


def test_several_maps_are_driven_in_turn(make):
    names = ["small_loop", "udem1"]
    together = make(n=4, map_name=names)
    frames, _ = together.reset(seed=2)
    robots = together.robots
    poses = np.stack([robots.x, robots.z, robots.angle], axis=1)
    for number, name in enumerate(names):
        alone = make(n=2, map_name=name)
        seen, _ = alone.reset(seed=0, options={"poses": poses[number::2]})
        np.testing.assert_array_equal(seen, frames[number::2])
        np.testing.assert_array_equal(alone.robots.lane_dist, robots.lane_dist[number::2])


def test_without_a_camera_all_else_is_the_same(make):
    seeing, blind = make(), make()
    blind.camera_on = False
    for ours, theirs in zip(driven(seeing)[1::5], driven(blind)[1::5], strict=True):
        assert not theirs.any()
        assert ours.any()
    assert_equal(driven(seeing)[2::5], driven(blind)[2::5])


def test_domain_randomization_changes_light_and_camera_in_every_episode(make):
    simulator = make(n=2, domain_rand=True)
    simulator.reset(seed=1)
    start = [(simulator.robots.x[0], simulator.robots.z[0], simulator.robots.angle[0])] * 2
    first, _ = simulator.reset(options={"poses": start})
    second, _ = simulator.reset(options={"poses": start})
    for one, other in ((first[0], first[1]), (first[0], second[0])):
        assert np.abs(one.astype(int) - other).mean() > 5


def test_lenses_differ_where_the_settings_say_so(make):
    camera = {"camera_width": 640, "camera_height": 480, "distortion": True}
    simulator = make(n=2, camera_rand=True, **camera)
    simulator.reset(seed=1)
    start = [(simulator.robots.x[0], simulator.robots.z[0], simulator.robots.angle[0])] * 2
    frames, _ = simulator.reset(options={"poses": start})
    assert not np.array_equal(frames[0], frames[1])


def test_the_reward_is_the_stock_one(make):
    simulator = make(map_name="loop_obstacles")
    simulator.reset(seed=1)
    starting = np.zeros(4, bool)
    for command in commands(60, 4):
        _, rewards, terminated, truncated, _ = simulator.step(command)
        robots = simulator.robots
        parts = reward.stock(
            lane_dist=robots.lane_dist,
            lane_dot=robots.lane_dot,
            proximity=robots.proximity,
            crashed=terminated,
            truncated=truncated,
        )
        np.testing.assert_allclose(rewards[~starting], sum(parts.values())[~starting], atol=1e-9)
        starting = terminated | truncated


def test_one_robot_is_an_environment_like_the_stock_one(small, udem1):
    settings = small.model_copy(update={"backend": "batched", "map_name": "udem1"})
    single = SingleSimulator(settings)
    check_env(single, skip_render_check=True)
    assert single.drivable_tiles == udem1.drivable_tiles
    i, j, _ = single.drivable_tiles[3]
    np.testing.assert_allclose(single.lane_curves(i, j), udem1.lane_curves(i, j))
    udem1.reset(seed=1)
    pose = udem1.state[:3]
    udem1.reset(seed=1, options={"pose": pose})
    single.reset(seed=1, options={"pose": pose})
    for command in commands(100, 1)[:, 0]:
        theirs, ours = udem1.step(command), single.step(command)
        np.testing.assert_allclose(State(*single.state), State(*udem1.state), rtol=0, atol=1e-9)
        assert ours[1:4] == pytest.approx(theirs[1:4], abs=1e-9)
        if ours[2]:
            break
    assert single.valid_pose(*pose, 1.3) == udem1.valid_pose(*pose, 1.3)
    assert not single.valid_pose(0, 0, 0)
