"""One robot of the batched simulator, as an environment like the stock one."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from ducklane.simulator.interface import State
from ducklane.simulator.single import SingleSimulator
from ducklane.simulator.world.obstacles import valid_pose


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
    for command in np.random.default_rng(0).uniform(-0.2, 1, (100, 2)):
        theirs, ours = udem1.step(command), single.step(command)
        np.testing.assert_allclose(State(*single.state), State(*udem1.state), rtol=0, atol=1e-9)
        assert ours[1:4] == pytest.approx(theirs[1:4], abs=1e-9)
        if ours[2]:
            break
    assert single.valid_pose(*pose, 1.3) == udem1.valid_pose(*pose, 1.3)
    assert not single.valid_pose(0, 0, 0)


def test_one_robot_gets_the_same_answers_about_the_map(small, udem1):
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


def test_poses_of_any_number_type_need_no_recompilation(small):
    single = SingleSimulator(small.model_copy(update={"backend": "batched"}))
    answer, compiled = single.valid_pose(1.0, 1.0, 0.0), list(valid_pose.signatures)
    assert single.valid_pose(1, np.float32(1), 0, safety_factor=1) == answer
    assert valid_pose.signatures == compiled
