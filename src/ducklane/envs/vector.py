"""Many robots, as `gymnasium.make_vec` gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ducklane.environment import TaskVectorEnv
from ducklane.envs.keywords import autoreset, checked_render_mode, simulator_settings, task_settings
from ducklane.simulator.batch import BatchedSimulator

LANE_FOLLOWING = "ducklane/LaneFollowing-v0"
DUCKIETOWN = "ducklane/Duckietown-v0"


def lane_following(
    num_envs: int,
    render_mode: str | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    out: NDArray[np.uint8] | None = None,
    **keywords: Any,
) -> TaskVectorEnv:
    """N robots with the task of this project.

    Args:
        num_envs: N.
        render_mode: "rgb_array" or None; `render` gives whole frames in either case.
        autoreset_mode: when a robot's next episode begins.
        out: array [N, height, width, channels] to write observations into, instead of a new one each step.
        keywords: settings, as in `task_settings`.

    Raises:
        SettingsError: a keyword is unknown or wrong.
        ValueError: `out` does not fit.
        MapError: a map does not exist, or no robot can drive on it.
    """
    checked_render_mode(LANE_FOLLOWING, render_mode, ("rgb_array",))
    settings = task_settings(LANE_FOLLOWING, keywords)
    env = TaskVectorEnv(settings, num_envs, autoreset_mode=autoreset(LANE_FOLLOWING, autoreset_mode), out=out)
    env.simulator.repeatable = False
    return env


def duckietown(
    num_envs: int,
    render_mode: str | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    out: NDArray[np.uint8] | None = None,
    **keywords: Any,
) -> BatchedSimulator:
    """N robots with whole RGB frames, wheel duty and gym-duckietown's own reward.

    Arguments and errors are those of `lane_following`, without the sections of the task.
    """
    checked_render_mode(DUCKIETOWN, render_mode, ("rgb_array",))
    settings = simulator_settings(DUCKIETOWN, keywords)
    mode = autoreset(DUCKIETOWN, autoreset_mode)
    env = BatchedSimulator(settings, num_envs, autoreset_mode=mode, out=out)
    env.repeatable = False
    return env
