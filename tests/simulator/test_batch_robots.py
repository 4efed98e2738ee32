"""What a robot of the batched simulator can rely on: episodes that follow each other, seeds, refusals."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from ducklane.simulator.batch import BatchedSimulator, advance
from ducklane.simulator.obstacles import valid_pose
from ducklane.simulator.single import SingleSimulator


def commands(steps: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 1, (steps, n, 2))


def starts(simulator: BatchedSimulator) -> np.ndarray:
    robots = simulator.robots
    return np.stack([robots.x, robots.z, robots.angle], axis=1)


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray], robots: Any = slice(None)) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one[robots], other[robots])


# --- episodes that follow each other -----------------------------------------------------------------------


def test_the_next_episode_begins_as_a_reset_there_would(make_batch):
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


def test_a_robot_is_the_same_beside_neighbours_of_other_seeds_and_other_commands(make_batch):
    one, other = (make_batch(domain_rand=True, map_name="loop_pedestrians") for _ in range(2))
    frames, theirs = one.reset(seed=[5, 6, 7, 8])[0], other.reset(seed=[50, 60, 7, 80])[0]
    np.testing.assert_array_equal(frames[2], theirs[2])
    assert not np.array_equal(frames[0], theirs[0])
    for command, elsewhere in zip(commands(40, 4), commands(40, 4, seed=1), strict=True):
        elsewhere[2] = command[2]
        assert_equal(list(one.step(command)[:4]), list(other.step(elsewhere)[:4]), robots=2)
        assert one.robots.x[2] == other.robots.x[2]


def test_a_seed_of_its_own_is_the_same_in_any_place(make_batch):
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
    with pytest.raises(ValueError, match=r"^seed is a whole number, .* or a list of 4, .*, not .*$"):
        ours.reset(seed=seed)
    for command in commands(40, 4):  # and another episode
        assert_equal(list(ours.step(command)[:4]), list(twin.step(command)[:4]))


def test_seeds_may_be_numpys_and_a_robot_without_one_goes_on(make_batch):
    simulator, seeds = make_batch(), np.array([4, 9, 2, 7])
    first, _ = simulator.reset(seed=seeds.tolist())
    for same in (seeds, list(seeds)):
        np.testing.assert_array_equal(simulator.reset(seed=same)[0], first)
    again, _ = simulator.reset(seed=[4, None, 2, 7])
    assert (again == first).all(axis=(1, 2, 3)).tolist() == [True, False, True, True]


# --- actions -----------------------------------------------------------------------------------------------


def test_a_refused_action_moves_nobody(make_batch):
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


def test_numbers_are_taken_from_any_array_without_compiling_anew(make_batch):
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


# --- one robot ---------------------------------------------------------------------------------------------


def test_one_robot_asks_the_same_map(small, udem1):
    single = SingleSimulator(small.model_copy(update={"backend": "batched", "map_name": "udem1"}))
    for name in ("tile_size", "grid_width", "grid_height", "drivable_tiles"):
        assert getattr(single, name) == getattr(udem1, name)
    for i, j, _ in udem1.drivable_tiles:
        np.testing.assert_allclose(single.lane_curves(i, j), udem1.lane_curves(i, j), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="not drivable"):
        single.lane_curves(-1, 0)
    generator = np.random.default_rng(0)
    udem1.reset(seed=1)
    single.reset(seed=1)
    size = udem1.tile_size * np.array([udem1.grid_width, udem1.grid_height])
    poses = [(*generator.uniform(0, size).tolist(), generator.uniform(-4, 4)) for _ in range(400)]
    for factor in (1.0, 1.3):
        said = [single.valid_pose(*pose, factor) for pose in poses]
        assert said == [udem1.valid_pose(*pose, factor) for pose in poses]
        assert 20 < sum(said) < 380


def test_one_robot_refuses_what_the_stock_simulator_refuses(small):
    single = SingleSimulator(small.model_copy(update={"backend": "batched"}))
    with pytest.raises(gymnasium.error.ResetNeeded):
        single.step((0, 0))
    for options in ({"pose": (0, 0, 0)}, {"pose": (1, 1)}, {"poses": [(1, 1, 0)]}):
        with pytest.raises(ValueError, match="pose"):
            single.reset(options=options)
    first, _ = single.reset(seed=1)
    before = first.copy()
    for action in ((0.1,), (0.1, 0.2, 0.3), 0.5, [[0.1, 0.2]], (np.nan, 0)):
        with pytest.raises(ValueError, match="wheel duty"):
            single.step(action)
    second = single.step((1, 1))[0]
    single.render()[:] = 0
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(single.render(), second)


def test_one_robot_asks_for_poses_of_any_numbers_without_compiling_anew(small):
    single = SingleSimulator(small.model_copy(update={"backend": "batched"}))
    answer, compiled = single.valid_pose(1.0, 1.0, 0.0), list(valid_pose.signatures)
    assert single.valid_pose(1, np.float32(1), 0, safety_factor=1) == answer
    assert valid_pose.signatures == compiled
