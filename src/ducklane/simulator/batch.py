"""Many Duckiebots at once: the stock simulator's physics and pictures, computed on arrays.

Each robot is alone in its own world. What happens to it depends only on its seed and its commands, not on
its neighbours or the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ducklane.machine.buffers import Buffers
from ducklane.machine.hardware import usable_cpus
from ducklane.settings import SimulatorSettings
from ducklane.simulator.arguments import (
    checked_autoreset,
    checked_seed,
    commands_of,
    poses_of,
)
from ducklane.simulator.camera.view import Blocks, whole_frame
from ducklane.simulator.interface import FRAMES_PER_SECOND, StartError, final_infos
from ducklane.simulator.stacking import Stacking
from ducklane.simulator.stepping import (
    Frames,
    Orders,
    Outcome,
    Poses,
    World,
    advance,
    in_whole_frames,
    look,
    look_ahead,
    look_for_detours,
    new_worlds,
)
from ducklane.simulator.stock_reward import stock_reward
from ducklane.simulator.town.maps import check_map
from ducklane.simulator.town.scene import Scene
from ducklane.simulator.world.draws import seed_robots
from ducklane.simulator.world.robots import Robots
from ducklane.simulator.world.things import Things


class BatchedSimulator(gymnasium.vector.VectorEnv[Frames, NDArray[np.float32], NDArray[Any]]):
    """N Duckiebots, one gymnasium vector environment.

    - Actions: Box(-1, 1, (N, 2), float32), the (left, right) wheel duty of each, held for 1/30 s. Values
      beyond the bounds are clipped; float64 is not rounded to float32.
    - Observations: Box(0, 255, (N, height, width, 3), uint8), or with the channels of `stacking`; a new array
      each time, or always `out`.
    - Rewards: those of gym-duckietown; -1000 on leaving the road or colliding.
    - Terminated: the robot left the road or collided. Truncated: `max_steps` reached, and not terminated.
    - Infos: empty. The robots' states are in `robots`, whose fields are those of `State`, [N] each.
    - Autoreset, gymnasium's NEXT_STEP: in the step after the end of a robot's episode its action is ignored,
      the next episode begins, and the reward is 0. With SAME_STEP it begins in the step in which the last one
      ends, which returns its first image; infos then hold "final_obs" and an empty "final_info".

    Args:
        settings: map or maps (robot i drives map i modulo their number), camera, episode length and seed.
        num_envs: N.
        blocks: how frames are averaged to images; None for whole frames.
        threads: to compute on; `settings.threads` if None.
        autoreset_mode: when a robot's next episode begins.
        out: array that each step's images are drawn into, instead of a new one; it is returned every time.
        stacking: colour and number of frames in an image.

    Raises:
        ValueError: there is no such autoreset here, or `out` does not fit.
        MapError: a map does not exist, its file or one that it names is wrong, or it has no road.
    """

    metadata = {  # noqa: RUF012 - gymnasium's
        "render_modes": ["rgb_array"],
        "render_fps": FRAMES_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    closed: bool = True
    """gymnasium's destructor closes what is not closed; true until `__init__` has made something to close."""

    camera_on: bool = True
    """Set to False to skip drawing: images are then black, poses and rewards unchanged."""

    repeatable: bool = True
    """Set to False to draw the first seed at random if `reset` is given none, not to take the settings'."""

    def __init__(
        self,
        settings: SimulatorSettings,
        num_envs: int,
        blocks: Blocks | None = None,
        threads: int | None = None,
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        out: Frames | None = None,
        stacking: Stacking = Stacking(),  # noqa: B008 - immutable
    ) -> None:
        for name in settings.map_names:
            check_map(name)
        self.settings = settings
        self.num_envs = num_envs
        self.render_mode = "rgb_array"
        self.threads = min(num_envs, _threads(settings.threads if threads is None else threads))
        blocks = blocks or whole_frame(settings.camera_height, settings.camera_width)
        self.image_shape = (len(blocks.row_weights), len(blocks.column_weights), stacking.depth)
        self.single_observation_space = gymnasium.spaces.Box(0, 255, self.image_shape, np.uint8)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {**self.metadata, "autoreset_mode": checked_autoreset(autoreset_mode)}
        self._buffers = Buffers((num_envs, *self.image_shape), out)
        self._world = new_worlds(settings, num_envs, blocks, stacking, self.threads)
        self._shares = np.linspace(0, num_envs, self.threads + 1).astype(int).tolist()
        self._restart = np.ones(num_envs, np.bool_)
        self._anywhere = np.full((num_envs, 3), np.nan)
        self._no_commands = np.zeros((num_envs, 2))
        self._last: Outcome | None = None
        self._whole: World | None = None
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None
        self.closed = False

    @property
    def robots(self) -> Robots:
        """States of the robots after the last reset or step; they change in place."""
        return self._world.robots

    @property
    def scene(self) -> Scene:
        """The maps."""
        return self._world.scene

    @property
    def things(self) -> Things:
        """The objects in each robot's world."""
        return self._world.things

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin an episode of every robot, at random valid poses or exactly at `options["poses"]`.

        Args:
            seed: restart the worlds, with their objects and light, from this seed: equal seeds and equal
                actions give equal episodes. Or a list of N, one per robot, where None continues that robot's
                random numbers. Without a seed, worlds and random numbers continue.
            options: {"poses": (N, 3) of x, z, angle in metres and radians}, or None.

        Raises:
            ValueError: a pose is off the road or touches something, an option is unknown, or seeds are not
                whole numbers >= 0, one for all or one per robot.
            StartError: random draws found no valid start.
        """
        poses = poses_of(options, self.num_envs)
        seed = checked_seed(seed, self.num_envs)
        super().reset(seed=seed if isinstance(seed, int) else None)
        new_world = seed is not None or self._last is None
        if new_world:
            self._seed(self._first_seed() if seed is None else seed)
        self._restart[:] = True
        outcome = self._advance(self._orders(poses=poses, new_world=new_world))
        self._restart[:] = False
        self._check_started(outcome)
        if poses is not None and not self.robots.valid.all():
            bad = int(np.argmin(self.robots.valid))
            self._last = None
            raise ValueError(
                f"pose {bad}, {poses[bad].tolist()}, on {self._map_name(bad)} is off the road "
                "or touches something"
            )
        return outcome.frames, {}

    def step(
        self, actions: ArrayLike
    ) -> tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Drive for 1/30 s.

        Args:
            actions: (N, 2) of (left, right) wheel duty.

        Raises:
            ValueError: the actions are not (N, 2) numbers.
            StartError: no valid start was found for a new episode.
        """
        starting = self._restart.copy()
        outcome = self.drive(actions)
        rewards = self._rewards(outcome, starting)
        infos: dict[str, Any] = {}
        if self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP and self._restart.any():
            infos = final_infos(self._restart, outcome.frames, {})
            self.restart()
        return outcome.frames, rewards, outcome.terminated, outcome.truncated, infos

    def drive(self, actions: ArrayLike) -> Outcome:
        """As `step`, without gym-duckietown's rewards: for those who pay rewards of their own, or none."""
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self._advance(self._orders(commands_of(actions, self.num_envs)))
        np.logical_or(outcome.terminated, outcome.truncated, out=self._restart)
        self._check_started(outcome)
        return outcome

    def restart(self) -> None:
        """Begin another episode now for the robots whose episode ended in the last step.

        Their first images replace those of the last step, in the same array.

        Raises:
            StartError: no valid start was found.
        """
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before restart")
        begun = Outcome(self._last.frames, *_flags(self.num_envs))
        for i in np.flatnonzero(self._restart).tolist():
            advance(self._world, begun, self._orders(), i, i + 1, 0)
        self._restart[:] = False
        self._check_started(begun)

    def lane_ahead(self, points: int, step_m: float) -> NDArray[np.float64]:
        """How the lane turns ahead of each robot.

        Args:
            points: number of points along the lane.
            step_m: metres from one to the next.

        Returns:
            (N, points, 2) cosine and sine of the angle, positive to the right, by which the lane has turned
            at each point since the one nearest to the robot; all 0 outside any lane.
        """
        directions = np.zeros((self.num_envs, points, 2))
        look_ahead(self._world, step_m, directions)
        return directions

    def detours(self, margin_m: float) -> NDArray[np.float64]:
        """How far beside its lane's centre each robot should drive, to pass objects in the lane.

        Args:
            margin_m: gap between a robot's side and an object, metres.

        Returns:
            (N,) metres, positive to the right; 0 where nothing is in the way.
        """
        detours = np.zeros(self.num_envs)
        look_for_detours(self._world, margin_m, detours)
        return detours

    def render(self) -> tuple[Frames, ...]:  # type: ignore[override] # gymnasium names no type
        """The last image of each robot."""
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        return tuple(self._last.frames.copy())

    def whole_frames(self) -> Frames:
        """What the robots see now: (N, camera_height, camera_width, 3), however small the images are."""
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before whole_frames")
        size = (self.settings.camera_height, self.settings.camera_width, 3)
        if self.image_shape == size and self._world.stacks.plain:
            return self._last.frames.copy()
        if self._whole is None:
            self._whole = in_whole_frames(self._world, self.settings)
        seen = Outcome(np.empty((self.num_envs, *size), np.uint8), *_flags(self.num_envs))
        look(self._whole, seen)
        return seen.frames

    def close_extras(self, **_: Any) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _first_seed(self) -> int:
        return self.settings.seed if self.repeatable else int(self.np_random.integers(2**31))

    def _seed(self, seed: int | list[int | None]) -> None:
        if isinstance(seed, int):
            self.robots.streams[:] = seed_robots(seed, range(self.num_envs))
            return
        for i, of_robot in enumerate(seed):
            if of_robot is not None:
                self.robots.streams[i] = seed_robots(of_robot, [0])[0]

    def _orders(
        self,
        wheels: NDArray[np.float64] | None = None,
        poses: Poses | None = None,
        new_world: bool = False,
    ) -> Orders:
        return Orders(
            self._no_commands if wheels is None else wheels,
            self._restart,
            self._anywhere if poses is None else poses,
            new_world,
            self.camera_on,
        )

    def _advance(self, orders: Orders) -> Outcome:
        """Step all robots, an equal share on each thread; kernels release Python's global lock."""
        frames = self._buffers.take()
        if not self.camera_on:
            frames.fill(0)
        outcome = Outcome(frames, *_flags(self.num_envs))

        def work(thread: int) -> None:
            advance(self._world, outcome, orders, self._shares[thread], self._shares[thread + 1], thread)

        others = [self._pool.submit(work, thread) for thread in range(1, self.threads)] if self._pool else []
        work(0)
        for other in others:
            other.result()
        self._last = outcome
        return outcome

    def _rewards(self, outcome: Outcome, starting: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What gym-duckietown pays for a step; nothing to robots that only began an episode in it."""
        components = stock_reward(
            lane_dist=self.robots.lane_dist,
            lane_dot=self.robots.lane_dot,
            proximity=self.robots.proximity,
            crashed=outcome.terminated,
            truncated=outcome.truncated,
        )
        return np.where(starting, 0.0, np.sum(list(components.values()), axis=0))

    def _check_started(self, outcome: Outcome) -> None:
        if outcome.no_start.any():
            bad = int(np.argmax(outcome.no_start))
            self._last = None
            raise StartError(self.settings.accept_start_angle_deg, self._map_name(bad))

    def _map_name(self, i: int) -> str:
        names = self.settings.map_names
        return names[i % len(names)]


def _flags(n: int) -> list[NDArray[np.bool_]]:
    """The flags of an `Outcome`, all false."""
    return [np.zeros(n, np.bool_) for _ in range(3)]


def _threads(setting: int) -> int:
    return usable_cpus() if setting == -1 else setting
