"""The environments for Stable-Baselines3, whose vector environments have an interface of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from ducklane.envs.vector import LANE_FOLLOWING


class StableBaselinesVecEnv(VecEnv):
    """N robots in one environment, as Stable-Baselines3 takes them.

    Its `VecMonitor` around this records returns and lengths of episodes.

    Args:
        num_envs: N.
        name: of a registered environment.
        keywords: as for `gymnasium.make_vec`.
    """

    def __init__(self, num_envs: int, name: str = LANE_FOLLOWING, **keywords: Any) -> None:
        self.envs = gymnasium.make_vec(
            name,
            num_envs,
            vectorization_mode="vector_entry_point",
            autoreset_mode=AutoresetMode.SAME_STEP,
            **keywords,
        )
        self._actions: NDArray[np.float32] | None = None
        super().__init__(num_envs, self.envs.single_observation_space, self.envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin an episode of every robot, from the seeds given to `seed`."""
        seeds = list(self._seeds) if any(seed is not None for seed in self._seeds) else None
        observations, _ = self.envs.reset(seed=seeds)  # type: ignore[arg-type] # ours takes a list
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all robots."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        ended = terminated | truncated
        of_robots: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(ended).tolist():
            of_robots[i] = {
                "terminal_observation": infos["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
            }
        return observations, rewards.astype(np.float32), ended, of_robots

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """What each robot's camera sees."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the environment, once for each robot."""
        return [getattr(self.envs.unwrapped, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the environment, which all robots share."""
        setattr(self.envs.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the environment once; its result, once for each robot."""
        result = getattr(self.envs.unwrapped, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """False for each robot: the wrappers of single environments do not fit around them."""
        return [False for _ in self._get_indices(indices)]
