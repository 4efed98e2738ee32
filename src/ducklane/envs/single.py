"""One robot, as `gymnasium.make` gives it: the vector environment of the same name with a single robot.

Its observations, rewards and episodes are therefore those of the vector environment, bit for bit.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ducklane.environment import TaskVectorEnv
from ducklane.envs import vector
from ducklane.envs.keywords import checked_render_mode
from ducklane.envs.window import Window
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.interface import FRAMES_PER_SECOND, Frame, State, only_option


class OneRobot(gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A vector environment's only robot.

    Info holds the fields of `State` and, at the end of an episode of `LaneFollowing`, "episode_reward": the
    sums of the reward's components.

    Args:
        robots: a vector environment of one robot.
        render_mode: "rgb_array" for whole frames from `render`, "human" for a window, or None.

    Raises:
        SettingsError: there is no such render mode.
        UserError: a window is asked for, and there is no display.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 - gymnasium's

    def __init__(self, robots: TaskVectorEnv | BatchedSimulator, render_mode: str | None = None) -> None:
        title = type(self).__name__
        self.render_mode = checked_render_mode(title, render_mode, ("rgb_array", "human"))
        self._window = Window(f"{title} {id(self):x}") if render_mode == "human" else None
        self._robots = robots
        self.observation_space = robots.single_observation_space
        self.action_space = robots.single_action_space

    @property
    def simulator(self) -> BatchedSimulator:
        """The simulator with this one robot in it."""
        return self._robots if isinstance(self._robots, BatchedSimulator) else self._robots.simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode at a random valid pose, or exactly at `options["pose"]`.

        Args:
            seed: of this and all later episodes; the first reset without one draws its own.
            options: {"pose": (x, z, angle)} in metres and radians, or None.

        Raises:
            ValueError: the pose is off the road or touches something, or an option is unknown.
            StartError: random draws found no valid start.
        """
        pose = only_option(options, "pose")
        images, _ = self._robots.reset(seed=seed, options=None if pose is None else {"poses": [pose]})
        super().reset(seed=seed)
        self._show()
        return images[0], self._info({})

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Drive for 1/30 s.

        Raises:
            ValueError: the action is not one of the action space's shape.
        """
        images, rewards, terminated, truncated, infos = self._robots.step(np.asarray(action)[None])
        self._show()
        return images[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), self._info(infos)

    def render(self) -> Frame | None:  # type: ignore[override] # gymnasium allows what its type does not say
        """What the camera sees: the whole frame, RGB; None unless `render_mode` is "rgb_array"."""
        return self.simulator.whole_frames()[0] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Release everything."""
        self._robots.close()
        if self._window is not None:
            self._window.close()

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self.simulator.whole_frames()[0])

    def _info(self, infos: dict[str, Any]) -> dict[str, Any]:
        robots = self.simulator.robots
        state = {name: getattr(robots, name)[0].item() for name in State._fields}
        sums = infos.get("episode_reward", {}).items()
        ended = {"episode_reward": {name: float(total[0]) for name, total in sums if name[0] != "_"}}
        return state | ended if sums else state


class LaneFollowing(OneRobot):
    """The task of this project: small stacked images, the settings' action and reward.

    Args:
        render_mode: as in `OneRobot`.
        keywords: settings, as in `task_settings`.

    Raises:
        SettingsError: a keyword is unknown or wrong.
        MapError: a map does not exist, or no robot can drive on it.
    """

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        super().__init__(vector.lane_following(1, **{"threads": 1} | keywords), render_mode)


class Duckietown(OneRobot):
    """What gym-duckietown's Simulator gives: whole RGB frames, wheel duty and its own reward.

    Args:
        render_mode: as in `OneRobot`.
        keywords: keys of the section `simulator`.

    Raises:
        SettingsError: a keyword is unknown or wrong.
        MapError: a map does not exist, or no robot can drive on it.
    """

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        super().__init__(vector.duckietown(1, **{"threads": 1} | keywords), render_mode)
