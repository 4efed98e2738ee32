"""Many robots at once: a gymnasium vector environment in which each robot is alone in its own world."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.stepping import advance
from ducklane.simulator.stock_reward import stock_reward


def commands(steps: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 1, (steps, n, 2))


def driven(simulator: BatchedSimulator, steps: int = 45, seed: int = 0, **reset: Any) -> list[np.ndarray]:
    """Frames, rewards, ends and places of an episode and a half, as one list of arrays."""
    seen = [simulator.reset(seed=3, **reset)[0]]
    for command in commands(steps, simulator.num_envs, seed):
        frames, rewards, terminated, truncated, _ = simulator.step(command)
        seen += [frames, rewards, terminated, truncated, simulator.robots.x.copy()]
    return seen


def starts(simulator: BatchedSimulator) -> np.ndarray:
    robots = simulator.robots
    return np.stack([robots.x, robots.z, robots.angle], axis=1)


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray], robots: Any = slice(None)) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one[robots], other[robots])


def test_the_batch_is_a_vector_environment_that_resets_in_the_next_step(make_batch):
    simulator = make_batch(n=5)
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
def test_the_number_of_threads_changes_nothing(make_batch, changes):
    alone = driven(make_batch(n=5, threads=1, **changes))
    for threads in (2, 3):
        assert_equal(alone, driven(make_batch(n=5, threads=threads, **changes)))


def test_seeds_distinguish_episodes_and_robots(make_batch):
    simulator = make_batch()
    first = driven(simulator)
    assert_equal(first, driven(simulator))
    assert not np.array_equal(first[0], simulator.reset(seed=4)[0])
    assert len(np.unique(simulator.robots.x)) == 4


def test_neighbours_change_nothing(make_batch):
    few, many = make_batch(n=3, domain_rand=True), make_batch(n=6, domain_rand=True)
    few.reset(seed=7)
    many.reset(seed=7)
    given = commands(40, 6)
    for command in given:
        ours, theirs = few.step(command[:3]), many.step(command)
        np.testing.assert_array_equal(ours[0], theirs[0][:3])
        np.testing.assert_array_equal(ours[1], theirs[1][:3])


def test_episodes_start_exactly_at_the_given_poses(make_batch):
    simulator = make_batch()
    simulator.reset(seed=1)
    poses = starts(simulator)
    frames, _ = simulator.reset(options={"poses": poses[::-1]})
    np.testing.assert_array_equal(simulator.robots.x, poses[::-1, 0])
    assert (simulator.robots.step == 0).all()
    again, _ = make_batch().reset(seed=1, options={"poses": poses[::-1]})
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
def test_a_wrong_start_is_refused_and_the_simulator_continues(make_batch, options, problem):
    simulator = make_batch()
    with pytest.raises(ValueError, match=problem):
        simulator.reset(seed=1, options=options)
    simulator.reset(seed=1)
    simulator.step(np.zeros((4, 2)))


@pytest.mark.parametrize("actions", [np.zeros((3, 2)), np.full((4, 2), np.nan), np.zeros(4)])
def test_wrong_actions_are_refused(make_batch, actions):
    simulator = make_batch()
    with pytest.raises(gymnasium.error.ResetNeeded):
        simulator.step(np.zeros((4, 2)))
    simulator.reset(seed=1)
    with pytest.raises(ValueError, match="wheel duty of 4 robots"):
        simulator.step(actions)


def test_several_maps_are_driven_in_turn(make_batch):
    names = ["small_loop", "udem1"]
    together = make_batch(n=4, map_name=names)
    frames, _ = together.reset(seed=2)
    robots = together.robots
    poses = starts(together)
    for number, name in enumerate(names):
        alone = make_batch(n=2, map_name=name)
        seen, _ = alone.reset(seed=0, options={"poses": poses[number::2]})
        np.testing.assert_array_equal(seen, frames[number::2])
        np.testing.assert_array_equal(alone.robots.lane_dist, robots.lane_dist[number::2])


def test_without_a_camera_everything_else_is_the_same(make_batch):
    seeing, blind = make_batch(), make_batch()
    blind.camera_on = False
    for ours, theirs in zip(driven(seeing)[1::5], driven(blind)[1::5], strict=True):
        assert not theirs.any()
        assert ours.any()
    assert_equal(driven(seeing)[2::5], driven(blind)[2::5])


def test_domain_randomization_changes_light_and_camera_in_every_episode(make_batch):
    simulator = make_batch(n=2, domain_rand=True)
    simulator.reset(seed=1)
    start = np.tile(starts(simulator)[0], (2, 1))
    first, _ = simulator.reset(options={"poses": start})
    second, _ = simulator.reset(options={"poses": start})
    for one, other in ((first[0], first[1]), (first[0], second[0])):
        assert np.abs(one.astype(int) - other).mean() > 5


def test_lenses_differ_where_the_settings_say_so(make_batch):
    camera = {"camera_width": 640, "camera_height": 480, "distortion": True}
    simulator = make_batch(n=2, camera_rand=True, **camera)
    simulator.reset(seed=1)
    start = np.tile(starts(simulator)[0], (2, 1))
    frames, _ = simulator.reset(options={"poses": start})
    assert not np.array_equal(frames[0], frames[1])


def test_the_reward_matches_the_stock_simulator(make_batch):
    simulator = make_batch(map_name="loop_obstacles")
    simulator.reset(seed=1)
    starting = np.zeros(4, bool)
    for command in commands(60, 4):
        _, rewards, terminated, truncated, _ = simulator.step(command)
        robots = simulator.robots
        parts = stock_reward(
            lane_dist=robots.lane_dist,
            lane_dot=robots.lane_dot,
            proximity=robots.proximity,
            crashed=terminated,
            truncated=truncated,
        )
        np.testing.assert_allclose(rewards[~starting], sum(parts.values())[~starting], atol=1e-9)
        starting = terminated | truncated


# --- episodes that follow each other -----------------------------------------------------------------------


def test_the_next_episode_starts_as_after_a_reset(make_batch):
    """Whatever the action, and under the light that stock keeps from the last frame of the episode before."""
    simulator, other, twin = (make_batch(max_steps=9) for _ in range(3))
    for each in (simulator, other, twin):
        each.reset(seed=1)
        for command in commands(9, 4):
            ends = each.step(command)[2:4]
        assert np.logical_or(*ends).all()
    frames, *_ = simulator.step(np.ones((4, 2)))
    np.testing.assert_array_equal(other.step(-np.ones((4, 2)))[0], frames)
    np.testing.assert_array_equal(starts(other), starts(simulator))
    np.testing.assert_array_equal(twin.reset(options={"poses": starts(simulator)})[0], frames)
    for command in commands(8, 4, seed=5):  # nothing of the ignored action is left in the motors
        first, second, third = (each.step(command)[0] for each in (simulator, other, twin))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


def test_a_crash_in_the_last_step_is_a_crash(make_batch):
    def ends(max_steps: int) -> list[tuple[bool, bool]]:
        simulator = make_batch(n=1, max_steps=max_steps)
        simulator.camera_on = False
        simulator.reset(seed=1)
        seen = [(False, False)]
        while not any(seen[-1]):
            _, _, terminated, truncated, _ = simulator.step(np.ones((1, 2)))
            seen.append((bool(terminated[0]), bool(truncated[0])))
        return seen[1:]

    crash = len(ends(1000))
    assert 1 < crash < 1000
    assert ends(crash)[-1] == (True, False)
    assert ends(crash - 1)[-1] == (False, True)


# --- seeds -------------------------------------------------------------------------------------------------


def test_a_robot_is_unaffected_by_its_neighbours_seeds_and_commands(make_batch):
    one, other = (make_batch(domain_rand=True, map_name="loop_pedestrians") for _ in range(2))
    frames, theirs = one.reset(seed=[5, 6, 7, 8])[0], other.reset(seed=[50, 60, 7, 80])[0]
    np.testing.assert_array_equal(frames[2], theirs[2])
    assert not np.array_equal(frames[0], theirs[0])
    for command, elsewhere in zip(commands(40, 4), commands(40, 4, seed=1), strict=True):
        elsewhere[2] = command[2]
        assert_equal(list(one.step(command)[:4]), list(other.step(elsewhere)[:4]), robots=2)
        assert one.robots.x[2] == other.robots.x[2]


def test_a_robots_own_seed_gives_the_same_episode_at_any_index(make_batch):
    simulator = make_batch()
    simulator.reset(seed=[4, 9, 4, 2])
    assert (starts(simulator)[0] == starts(simulator)[2]).all()
    assert len(np.unique(starts(simulator)[:, 0])) == 3


@pytest.mark.parametrize(
    "seed", [[1, 2, 3], [1, 2, 3, 4, 5], [1, None, 2, -3], [1, 2, 3, 4.0], "1234", 1.5, -1]
)
def test_wrong_seeds_are_refused_and_change_nothing(make_batch, seed):
    ours, twin = make_batch(), make_batch()
    for simulator in (ours, twin):
        simulator.reset(seed=1)
    with pytest.raises(ValueError, match=r"^seed must be a whole number >= 0, or a list of 4 .*; got .*$"):
        ours.reset(seed=seed)
    for command in commands(40, 4):  # and another episode
        assert_equal(list(ours.step(command)[:4]), list(twin.step(command)[:4]))


def test_seeds_may_be_numpy_integers_and_robots_without_one_continue(make_batch):
    simulator, seeds = make_batch(), np.array([4, 9, 2, 7])
    first, _ = simulator.reset(seed=seeds.tolist())
    for same in (seeds, list(seeds)):
        np.testing.assert_array_equal(simulator.reset(seed=same)[0], first)
    again, _ = simulator.reset(seed=[4, None, 2, 7])
    assert (again == first).all(axis=(1, 2, 3)).tolist() == [True, False, True, True]


# --- actions -----------------------------------------------------------------------------------------------


def test_a_refused_action_moves_no_robot(make_batch):
    ours, twin = make_batch(), make_batch()
    for simulator in (ours, twin):
        simulator.reset(seed=1)
    for command in commands(10, 4):
        with pytest.raises(ValueError, match="wheel duty"):
            ours.step(np.full((4, 2), np.nan))
        assert_equal(list(ours.step(command)[:4]), list(twin.step(command)[:4]))


def test_duty_beyond_the_bounds_is_clipped_and_float64_is_not_rounded(make_batch):
    def places(duty: Any) -> np.ndarray:
        simulator = make_batch()
        simulator.camera_on = False
        simulator.reset(seed=1)
        for _ in range(12):
            simulator.step(np.tile(duty, (4, 1)))
        return starts(simulator)

    np.testing.assert_array_equal(places([7.0, -3.0]), places([1.0, -1.0]))
    assert (places([0.1, 0.2]) != places(np.float32([0.1, 0.2]))).any(axis=1).all()


def test_arrays_of_any_type_need_no_recompilation(make_batch):
    simulator, twin = make_batch(), make_batch()
    for each in (simulator, twin):
        each.reset(seed=1)
    poses, command = starts(simulator), commands(1, 4)[0]
    compiled = list(advance.signatures)
    for form in (read_only, strided, np.asfortranarray, np.ndarray.tolist):
        simulator.reset(options={"poses": form(poses)})
        twin.reset(options={"poses": poses})
        assert_equal(list(simulator.step(form(command))[:4]), list(twin.step(command)[:4]))
    assert advance.signatures == compiled


def read_only(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes()).reshape(array.shape)


def strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=1)[:, ::2]
