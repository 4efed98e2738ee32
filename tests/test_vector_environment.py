"""Many robots at once behave like as many environments of one robot, whenever their episodes end."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import numpy as np
import pytest

from ducklane.environment import Environment, TaskVectorEnv
from ducklane.evaluation.parity import psnr
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.town.maps import MapError

COMMANDS = np.array([[1.0, 0.7], [0.4, 0.45], [-0.8, 1.0]], np.float32)
"""Of three robots: one soon leaves the road, one drives, one turns on the spot."""


class Alone:
    """One of the robots, in an environment of its own; it begins wherever its twin does."""

    def __init__(self, environment: Environment, pose: tuple[float, ...]) -> None:
        self.env = environment.wrap(environment.create_env())
        self.image, _ = self.env.reset(seed=1, options={"pose": pose})
        self.ended = False

    def step(self, command: np.ndarray, pose: tuple[float, ...]) -> tuple[float, bool, bool, dict[str, Any]]:
        if self.ended:
            self.image, _ = self.env.reset(options={"pose": pose})
            self.ended = False
            return 0.0, False, False, {}
        self.image, reward, terminated, truncated, info = self.env.step(command)
        self.ended = terminated or truncated
        return float(reward), terminated, truncated, info


def poses(env: TaskVectorEnv) -> list[tuple[float, ...]]:
    robots = env.simulator.robots
    return list(zip(robots.x.tolist(), robots.z.tolist(), robots.angle.tolist(), strict=True))


@pytest.mark.parametrize(("map_name", "margin_m"), [("loop_empty", 0.0), ("loop_obstacles", 0.04)])
def test_many_robots_equal_as_many_environments(changed, map_name, margin_m):
    chosen = changed(
        simulator={"max_steps": 60, "map_name": map_name},
        observation={"frame_stack": 3, "color": "rgb"},
        reward={"detour_margin_m": margin_m},
    )
    environment = Environment(chosen)
    many = environment.create_vector_env(3, threads=2)
    many.reset(seed=1)
    images, _ = many.reset(seed=1, options={"poses": poses(many)})
    robots = [Alone(environment, pose) for pose in poses(many)]
    # one goes through the camera's whole frame, many straight to the image
    decibels, ends = [], []
    for _ in range(130):
        decibels += [psnr(images[i], robot.image) for i, robot in enumerate(robots)]
        images, rewards, terminated, truncated, infos = many.step(COMMANDS)
        ended = terminated | truncated
        assert infos.keys() == ({"episode_reward", "_episode_reward"} if ended.any() else set())
        if ended.any():
            np.testing.assert_array_equal(infos["_episode_reward"], ended)
            ends.append(ended.tolist())
        for i, (robot, pose) in enumerate(zip(robots, poses(many), strict=True)):
            reward, *their_ends, info = robot.step(COMMANDS[i], pose)
            assert rewards[i] == pytest.approx(reward, abs=1e-9)
            assert [terminated[i], truncated[i]] == their_ends
            for name, total in info.get("episode_reward", {}).items():
                assert infos["episode_reward"][f"_{name}"][i]
                assert infos["episode_reward"][name][i] == pytest.approx(total, abs=1e-9)
    print(f"{np.mean(decibels):.2f} dB, worst {np.min(decibels):.2f} dB; ends {ends}")
    assert np.mean(decibels) >= 36
    assert np.min(decibels) >= 30
    assert any(any(ended) and not all(ended) for ended in ends)  # not all at once
    assert np.sum(ends, axis=0).min() >= 2
    many.close()
    for robot in robots:
        robot.env.close()


def test_stacks_and_sums_are_reset_for_each_robot_separately(changed):
    chosen = changed(simulator={"max_steps": 60}, observation={"frame_stack": 3, "color": "rgb"})
    env = Environment(chosen).create_vector_env(3, threads=2)
    images, _ = env.reset(seed=1)
    sums, starting, alone = np.zeros(3), np.ones(3, bool), 0
    for _ in range(200):
        fills = (images[..., :3] == images[..., 6:]).all(axis=(1, 2, 3))
        assert fills[starting].all()
        before, (images, rewards, terminated, truncated, infos) = images, env.step(COMMANDS)
        ended = terminated | truncated
        sums += rewards
        if infos:
            components = {name: sum_ for name, sum_ in infos["episode_reward"].items() if name[0] != "_"}
            np.testing.assert_allclose(np.sum(list(components.values()), axis=0)[ended], sums[ended])
            sums[ended] = 0
        assert not np.shares_memory(images, before)
        starting = env.simulator.robots.step == 0
        np.testing.assert_array_equal(images[~starting, ..., :6], before[~starting, ..., 3:])
        assert not rewards[starting].any()
        alone += 0 < starting.sum() < 3
    assert alone >= 2
    env.close()


def test_closing_ends_the_threads(changed):
    before = {*threading.enumerate()}
    env = Environment(changed()).create_vector_env(3, threads=3)
    for _ in range(20):  # the pool starts its second thread when the first is not idle yet: not each time
        env.reset(seed=1)
    started = {*threading.enumerate()} - before
    assert len(started) == 2
    env.close()
    assert not any(thread.is_alive() for thread in started)


def test_an_environment_that_could_not_be_made_is_discarded_silently(changed, monkeypatch):
    """gymnasium then closes it; an error while closing would appear on the terminal after the first one."""
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda failure: said.append(str(failure.exc_value)))
    chosen = changed(simulator={"map_name": "nowhere.yaml"})
    for make in (lambda: BatchedSimulator(chosen.simulator, 2), lambda: TaskVectorEnv(chosen, 2)):
        with pytest.raises(MapError, match=r"nowhere\.yaml"):
            make()
    gc.collect()
    assert said == []
