"""The training environment: a simulator with the actions, observations and rewards of the task."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ducklane.settings import ObservationSettings, RewardSettings, SimulatorSettings, TaskSettings
from ducklane.simulator.interface import State, final_infos
from ducklane.simulator.stock_reward import stock_reward
from ducklane.task import reward
from ducklane.task.action import action_mapping
from ducklane.task.observation import GRAY_WEIGHTS, FrameStack, FrameTransform
from ducklane.task.privileged import AHEAD, AHEAD_STEP_M, privileged_state

if TYPE_CHECKING:
    from ducklane.simulator.camera.view import Blocks
    from ducklane.simulator.stacking import Stacking

Image = NDArray[np.uint8]
Action = NDArray[np.float32]
Env = gymnasium.Env[Image, Action]


def observation_space(settings: TaskSettings) -> spaces.Box:
    """Stacked images: uint8, channels last."""
    return spaces.Box(0, 255, settings.observation.shape, np.uint8)


def action_space(settings: TaskSettings) -> spaces.Box:
    """What the policy outputs: float32 in [-1, 1]."""
    return spaces.Box(-1, 1, (settings.action.size,), np.float32)


def image_blocks(observation: ObservationSettings, camera: SimulatorSettings) -> Blocks:
    """How the batched simulator averages frames to an observation's size, before colour and stacking."""
    from ducklane.simulator.camera.view import Blocks

    transform = FrameTransform(observation, camera.camera_height, camera.camera_width)
    return Blocks(transform.rows.start, transform.row_weights, transform.column_weights)


def image_stacking(observation: ObservationSettings) -> Stacking:
    """What the batched simulator makes of frames of an observation's size: its colour and stack."""
    from ducklane.simulator.stacking import Stacking

    return Stacking(GRAY_WEIGHTS if observation.color == "gray" else None, observation.frame_stack)


class Environment:
    """Makes the training environment that the settings describe.

    >>> environment = Environment(settings)
    >>> env = environment.wrap(environment.create_env())
    """

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    def create_env(self) -> Env:
        """The bare simulator, one robot: wheel commands in, camera frames out."""
        # imported here: OpenGL and numba take seconds to load, and only the simulating process needs them
        if self.settings.simulator.backend == "batched":
            from ducklane.simulator.single import SingleSimulator

            return SingleSimulator(self.settings.simulator)
        from ducklane.simulator.stock.simulator import StockSimulator

        return StockSimulator(self.settings.simulator)

    def create_vector_env(self, num_envs: int, threads: int | None = None) -> TaskVectorEnv | StockVectorEnv:
        """The task with many robots.

        Args:
            num_envs: number of robots.
            threads: of the batched simulator; `simulator.threads` if None.
        """
        if self.settings.simulator.backend == "batched":
            return TaskVectorEnv(self.settings, num_envs, threads)
        return StockVectorEnv(self, num_envs)

    def wrap(self, env: Env) -> Env:
        """Wrap a simulator in the task: the settings' reward, observation and action."""
        return TaskAction(TaskObservation(TaskReward(env, self.settings), self.settings), self.settings)


class StockVectorEnv(SyncVectorEnv):
    """N stock simulators, stepped one after the other, with the settings' action, observation and reward.

    Infos are those of the robots, as gymnasium collects them.

    Args:
        environment: makes one simulator.
        num_envs: N.
    """

    def __init__(self, environment: Environment, num_envs: int) -> None:
        make = [lambda: environment.wrap(environment.create_env())] * num_envs
        super().__init__(make, autoreset_mode=AutoresetMode.NEXT_STEP)

    def privileged(self) -> NDArray[np.float32]:
        """`privileged_state` of the robots after the last reset or step."""
        simulators: list[Any] = [env.unwrapped for env in self.envs]
        states = zip(*(simulator.state for simulator in simulators), strict=True)
        state = SimpleNamespace(**dict(zip(State._fields, map(np.array, states), strict=True)))
        ahead = [s.lane_ahead(AHEAD, AHEAD_STEP_M) for s in simulators]
        return privileged_state(state, np.stack(ahead))


class TaskVectorEnv(gymnasium.vector.VectorEnv[Image, Action, NDArray[Any]]):
    """N robots in the batched simulator, with the settings' action, observation and reward.

    The simulator draws images as the policy sees them.

    Infos are empty except at the end of episodes: then `infos["episode_reward"]` holds the sums of the
    reward's components, [N] each, valid where `infos["_episode_reward"]` is true. With SAME_STEP autoreset
    this is in `infos["final_info"]`, and the last observations of those episodes are in `infos["final_obs"]`.

    Args:
        settings: of the simulator and the task.
        num_envs: N.
        threads: to simulate on; `simulator.threads` if None.
        autoreset_mode, out: as in `BatchedSimulator`, for observations.
    """

    closed: bool = True
    """As in `BatchedSimulator`."""

    def __init__(
        self,
        settings: TaskSettings,
        num_envs: int,
        threads: int | None = None,
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        out: Image | None = None,
    ) -> None:
        from ducklane.simulator.batch import BatchedSimulator

        self.simulator = BatchedSimulator(
            settings.simulator,
            num_envs,
            image_blocks(settings.observation, settings.simulator),
            threads,
            autoreset_mode=autoreset_mode,
            out=out,
            stacking=image_stacking(settings.observation),
        )
        self.render_mode = self.simulator.render_mode
        self.metadata = self.simulator.metadata
        self.num_envs = num_envs
        self.single_observation_space = observation_space(settings)
        self.single_action_space = action_space(settings)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._settings = settings
        self._mapping = action_mapping(settings.action)
        self._starting = np.ones(num_envs, np.bool_)
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._detour: NDArray[np.float64] | float = 0.0
        self.closed = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Begin an episode of every robot; seed and options are those of `BatchedSimulator`."""
        images, _ = self.simulator.reset(seed=seed, options=options)
        super().reset(seed=seed if isinstance(seed, int) else None)
        self._sums = {}
        self._starting[:] = False
        self._detour = self._find_detours()
        return images, {}

    def step(
        self, actions: Action
    ) -> tuple[Image, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all robots; those whose episode ended in the last step begin another, with reward 0."""
        images, terminated, truncated, _ = self.simulator.drive(self._mapping.to_wheels(actions))
        starting = self._starting
        self._detour = self._find_detours()
        components = step_components(
            self._settings.reward,
            self.simulator.robots,
            detour=self._detour,
            crashed=terminated,
            truncated=truncated,
        )
        if starting.any():
            for values in (components, self._sums):
                for value in values.values():
                    value[starting] = 0.0
        for name, value in components.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._starting = terminated | truncated
        rewards = reduce(np.add, components.values())
        infos = self._infos()
        if infos and self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP:
            infos = final_infos(self._starting, images, infos)
            self._restart()
        return images, rewards, terminated, truncated, infos

    def privileged(self) -> NDArray[np.float32]:
        """`privileged_state` of the robots after the last reset or step."""
        ahead = self.simulator.lane_ahead(AHEAD, AHEAD_STEP_M)
        return privileged_state(self.simulator.robots, ahead, self._detour)

    def _find_detours(self) -> NDArray[np.float64] | float:
        margin_m = self._settings.reward.detour_margin_m
        return self.simulator.detours(margin_m) if margin_m else 0.0

    def _infos(self) -> dict[str, Any]:
        ended = self._starting
        if not ended.any():
            return {}
        sums: dict[str, Any] = {name: total.copy() for name, total in self._sums.items()}
        masks = {f"_{name}": ended for name in sums}
        return {"episode_reward": sums | masks, "_episode_reward": ended}

    def _restart(self) -> None:
        """Begin another episode of the robots whose episode ended; their images are replaced in place."""
        self.simulator.restart()
        for total in self._sums.values():
            total[self._starting] = 0.0
        self._starting = np.zeros(self.num_envs, np.bool_)
        self._detour = self._find_detours()

    def render(self) -> tuple[Image, ...]:  # type: ignore[override] # gymnasium names no type
        """What each robot sees now: N whole frames (camera_height, camera_width, 3)."""
        return tuple(self.simulator.whole_frames())

    def close_extras(self, **kwargs: Any) -> None:
        """Close the simulator."""
        self.simulator.close(**kwargs)


class TaskReward(gymnasium.Wrapper[Image, Action, Image, Action]):
    """Replaces the simulator's reward by that of the settings.

    `info["reward"]` holds the step's components, and at the end `info["episode_reward"]` their sums.
    """

    def __init__(self, env: Env, settings: TaskSettings) -> None:
        super().__init__(env)
        self._settings = settings.reward
        self._sums: defaultdict[str, float] = defaultdict(float)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Begin an episode."""
        self._sums.clear()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Action) -> tuple[Image, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the simulator and compute the reward."""
        image, _, terminated, truncated, info = self.env.step(action)
        components = self._components(info, terminated, truncated)
        for name, value in components.items():
            self._sums[name] += value
        info["reward"] = components
        if terminated or truncated:
            info["episode_reward"] = dict(self._sums)
        return image, sum(components.values()), terminated, truncated, info

    def _components(self, info: dict[str, Any], terminated: bool, truncated: bool) -> dict[str, float]:
        state = SimpleNamespace(**info)
        margin_m = self._settings.detour_margin_m
        simulator: Any = self.unwrapped
        detour = simulator.detour(margin_m) if margin_m else 0.0
        components = step_components(
            self._settings, state, detour=detour, crashed=terminated, truncated=truncated
        )
        return {name: float(value) for name, value in components.items()}


def step_components(
    settings: RewardSettings, state: Any, *, detour: ArrayLike, crashed: ArrayLike, truncated: ArrayLike
) -> reward.Components:
    """Components of the settings' reward for a step.

    Args:
        settings: of the reward.
        state: an object with the fields of `State`: numbers for one robot, arrays for many.
        detour: metres beside the lane's centre at which the robot should drive; for `lane_progress` only.
        crashed, truncated: how the step ended.
    """
    if settings.type == "stock":
        return stock_reward(
            lane_dist=state.lane_dist,
            lane_dot=state.lane_dot,
            proximity=state.proximity,
            crashed=crashed,
            truncated=truncated,
        )
    return reward.lane_progress(
        settings,
        forward_speed=state.forward_speed,
        lane_dist=state.lane_dist - detour,
        lane_angle=state.lane_angle,
        crashed=crashed,
    )


class TaskObservation(gymnasium.Wrapper[Image, Action, Image, Action]):
    """Turns camera frames into the settings' observation: cropped, averaged and stacked."""

    def __init__(self, env: Env, settings: TaskSettings) -> None:
        super().__init__(env)
        camera = settings.simulator
        self.observation_space = observation_space(settings)
        self._transform = FrameTransform(settings.observation, camera.camera_height, camera.camera_width)
        self._stack = FrameStack(settings.observation.frame_stack)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Begin an episode: its first frame fills the stack."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._stack.clear()
        return self._stack.push(self._transform(frame)), info

    def step(self, action: Action) -> tuple[Image, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the simulator and add its frame to the stack."""
        frame, step_reward, terminated, truncated, info = self.env.step(action)
        return self._stack.push(self._transform(frame)), step_reward, terminated, truncated, info


class TaskAction(gymnasium.ActionWrapper[Image, Action, Action]):
    """Maps the settings' action to the simulator's wheel commands."""

    def __init__(self, env: Env, settings: TaskSettings) -> None:
        super().__init__(env)
        self.action_space = action_space(settings)
        self._mapping = action_mapping(settings.action)

    def action(self, action: Action) -> Action:
        """Map an action to wheel duty."""
        return self._mapping.to_wheels(action)
