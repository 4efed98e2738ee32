"""The environment that the settings describe, on the real simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from ducklane.environment import Environment
from ducklane.settings import Settings

Changed = Callable[..., Settings]

QUICK: dict[str, Any] = {"max_steps": 40, "distortion": False, "camera_width": 160, "camera_height": 120}
SEEN = {"crop_top": 40, "width": 40, "height": 20}
SMALL_NETWORK = {"conv_filters": [[8, 4, 2]]}


@pytest.fixture
def quick(changed: Changed) -> Changed:
    def change(**sections: dict[str, Any]) -> Settings:
        simulator = QUICK | sections.pop("simulator", {})
        observation = SEEN | sections.pop("observation", {})
        return changed(simulator=simulator, observation=observation, network=SMALL_NETWORK, **sections)

    return change


def make(settings: Settings) -> Any:
    environment = Environment(settings)
    return environment.wrap(environment.create_env())


@pytest.mark.parametrize("backend", ["batched", "gym-duckietown"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("action", ["wheels", "velocity_steering", "steering"])
def test_the_environment_passes_gymnasiums_checks(
    quick: Changed, color: str, action: str, backend: str
) -> None:
    chosen = quick(
        observation={"color": color, "frame_stack": 2},
        action={"type": action},
        simulator={"backend": backend},
    )
    env = make(chosen)
    check_env(env, skip_render_check=True)
    assert env.observation_space.shape == (20, 40, 6 if color == "rgb" else 2)
    env.close()


@pytest.mark.parametrize("kind", ["lane_progress", "stock"])
def test_the_reward_is_the_sum_of_its_components_by_step_and_by_episode(quick: Changed, kind: str) -> None:
    env = make(quick(reward={"type": kind}))
    env.reset(seed=3)
    total, done = 0.0, False
    while not done:
        _, reward, terminated, truncated, info = env.step(np.array([0.6, 0.6], np.float32))
        assert reward == pytest.approx(sum(info["reward"].values()))
        total, done = total + reward, terminated or truncated
    assert sum(info["episode_reward"].values()) == pytest.approx(total)
    env.close()


@pytest.mark.parametrize("backend", ["batched", "gym-duckietown"])
def test_the_stock_reward_is_the_simulators_own(quick: Changed, backend: str) -> None:
    world = {"map_name": "loop_obstacles", "backend": backend}
    environment = Environment(quick(reward={"type": "stock"}, simulator=world))
    simulator = environment.create_env()
    env = environment.wrap(simulator)
    rng = np.random.default_rng(0)
    for seed in range(3):
        env.reset(seed=seed)
        done = False
        while not done:
            commands = rng.uniform(0, 1, 2).astype(np.float32)
            own: list[float] = []
            step = simulator.step

            def spy(action: Any, step: Any = step, own: list[float] = own) -> Any:
                result = step(action)
                own.append(result[1])
                return result

            simulator.step = spy
            _, reward, terminated, truncated, _ = env.step(commands)
            simulator.step = step
            assert reward == pytest.approx(own[0], abs=1e-9)
            done = terminated or truncated
    env.close()


def test_standing_spinning_and_reversing_earn_less_than_driving(quick: Changed) -> None:
    env = make(quick(simulator={"max_steps": 60}))
    simulator = env.unwrapped
    start = _lane_pose(simulator)

    def earned(left: float, right: float) -> float:
        env.reset(seed=1, options={"pose": start})
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = env.step(np.array([left, right], np.float32))
            total, done = total + reward, terminated or truncated
        return total

    driving = earned(0.6, 0.6)
    assert driving > 5
    for name, (left, right) in {
        "stand": (0, 0),
        "spin": (-1, 1),
        "circle": (0, 1),
        "reverse": (-0.6, -0.6),
    }.items():
        assert earned(left, right) < driving - 5, name
    env.close()


def _lane_pose(simulator: Any) -> tuple[float, float, float]:
    """The start of a straight lane that two more straight tiles follow."""
    straights = {(i, j) for i, j, kind in simulator.drivable_tiles if kind == "straight"}
    for i, j in sorted(straights):
        for curve in simulator.lane_curves(i, j):
            direction = np.round((curve[3] - curve[0]) / simulator.tile_size).astype(int)
            if {
                (i + direction[0], j + direction[1]),
                (i + 2 * direction[0], j + 2 * direction[1]),
            } <= straights:
                x, z = curve[0] + 0.3 * (curve[3] - curve[0])
                return float(x), float(z), math.atan2(-direction[1], direction[0])
    raise AssertionError("no three straight tiles in a row")


def test_the_same_seed_gives_the_same_episode(quick: Changed) -> None:
    env = make(quick())

    def episode() -> tuple[np.ndarray, list[float]]:
        first, _ = env.reset(seed=11)
        return first, [float(env.step(np.array([0.4, 0.5], np.float32))[1]) for _ in range(10)]

    (seen, rewards), (seen_again, rewards_again) = episode(), episode()
    assert np.array_equal(seen, seen_again)
    assert rewards == rewards_again
    env.close()


def test_the_first_frame_fills_the_stack_and_later_frames_shift_it(quick: Changed) -> None:
    env = make(quick(observation={"frame_stack": 3, "color": "rgb"}))
    seen, _ = env.reset(seed=5)
    assert np.array_equal(seen[..., :3], seen[..., 6:])
    for _ in range(8):
        before, (seen, *_) = seen, env.step(np.array([1.0, 0.4], np.float32))
        assert np.array_equal(seen[..., :6], before[..., 3:])
    assert not np.array_equal(seen[..., 3:6], seen[..., 6:])
    env.close()
