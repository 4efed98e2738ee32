"""Where a simulator meets the task: commands, frames, states become actions, observations, rewards."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ducklane.settings import Settings
from ducklane.task import reward
from ducklane.task.action import action_mapping
from ducklane.task.observation import FrameStack, FrameTransform

Image = NDArray[np.uint8]
Action = NDArray[np.float32]
Env = gymnasium.Env[Image, Action]


def observation_space(settings: Settings) -> spaces.Box:
    """Stacked images: uint8, channels last."""
    return spaces.Box(0, 255, settings.observation.shape, np.uint8)


def action_space(settings: Settings) -> spaces.Box:
    """What the policy gives: float32 in [-1, 1]."""
    return spaces.Box(-1, 1, (settings.action.size,), np.float32)


class Environment:
    """Makes the training environment that the settings describe.

    >>> environment = Environment(settings)
    >>> env = environment.wrap(environment.create_env())
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def create_env(self) -> Env:
        """The bare simulator: wheel commands in, camera frames out."""
        # imported here: loading OpenGL takes seconds, and only the process that simulates needs it
        from ducklane.simulator.reference import ReferenceSimulator

        return ReferenceSimulator(self.settings.simulator)

    def wrap(self, env: Env) -> Env:
        """Put the task around a simulator: reward, observation and action of the settings."""
        return TaskAction(TaskObservation(TaskReward(env, self.settings), self.settings), self.settings)


class TaskReward(gymnasium.Wrapper[Image, Action, Image, Action]):
    """Pays the settings' reward.

    `info["reward"]` holds the step's components; at the end `info["episode_reward"]` holds their sums.
    """

    def __init__(self, env: Env, settings: Settings) -> None:
        super().__init__(env)
        self._settings = settings.reward
        self._sums: defaultdict[str, float] = defaultdict(float)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Start an episode."""
        self._sums.clear()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Action) -> tuple[Image, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the simulator and pay for it."""
        image, _, terminated, truncated, info = self.env.step(action)
        components = self._components(info, terminated, truncated)
        for name, value in components.items():
            self._sums[name] += value
        info["reward"] = components
        if terminated or truncated:
            info["episode_reward"] = dict(self._sums)
        return image, sum(components.values()), terminated, truncated, info

    def _components(self, info: dict[str, Any], terminated: bool, truncated: bool) -> dict[str, float]:
        if self._settings.type == "stock":
            paid = reward.stock(
                lane_dist=info["lane_dist"],
                lane_dot=info["lane_dot"],
                proximity=info["proximity"],
                crashed=terminated,
                truncated=truncated,
            )
        else:
            paid = reward.lane_progress(
                self._settings,
                forward_speed=info["forward_speed"],
                lane_dist=info["lane_dist"],
                lane_angle=info["lane_angle"],
                crashed=terminated,
            )
        return {name: float(value) for name, value in paid.items()}


class TaskObservation(gymnasium.Wrapper[Image, Action, Image, Action]):
    """Shows the settings' observation: camera frames cropped, averaged and stacked."""

    def __init__(self, env: Env, settings: Settings) -> None:
        super().__init__(env)
        camera = settings.simulator
        self.observation_space = observation_space(settings)
        self._transform = FrameTransform(settings.observation, camera.camera_height, camera.camera_width)
        self._stack = FrameStack(settings.observation.frame_stack)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Start an episode: its first frame fills the stack."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._stack.clear()
        return self._stack.push(self._transform(frame)), info

    def step(self, action: Action) -> tuple[Image, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the simulator and add its frame to the stack."""
        frame, paid, terminated, truncated, info = self.env.step(action)
        return self._stack.push(self._transform(frame)), paid, terminated, truncated, info


class TaskAction(gymnasium.ActionWrapper[Image, Action, Action]):
    """Takes the settings' action and gives the simulator its wheel commands."""

    def __init__(self, env: Env, settings: Settings) -> None:
        super().__init__(env)
        self.action_space = action_space(settings)
        self._mapping = action_mapping(settings.action)

    def action(self, action: Action) -> Action:
        """Map an action to wheel duty."""
        return self._mapping.to_wheels(action)
