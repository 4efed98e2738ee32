"""gym-duckietown's `Simulator` as a gymnasium environment: headless, silent, on current numpy.

Physics, pictures and reward are gym-duckietown's own. This module adds start poses of your choice, a camera
that can be switched off, and several simulators side by side in one process.
"""

# ruff: noqa: NPY002 - upstream's moving objects draw from numpy's global generator

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.settings import SimulatorSettings
from ducklane.simulator.interface import (
    FRAMES_PER_SECOND,
    Frame,
    MapImage,
    Pose,
    StartError,
    State,
    only_option,
)
from ducklane.simulator.stock.camera import StockCamera
from ducklane.simulator.stock.upstream import (
    free,
    new_upstream,
    numpy_random_state,
    remake_world,
    reset_upstream,
    seen_from_above,
)
from ducklane.simulator.town.maps import check_map

_SPAWN_TRIES = 3
"""Resets without a given pose, of up to 5000 draws each, before a `StartError`."""

_FAILED_SPAWN: Pose = (1.0, 1.0, 1.0)
"""Where upstream puts a robot, valid or not, when 5000 draws have found no start."""


class StockSimulator(gymnasium.Env[Frame, NDArray[Any]]):
    """One Duckiebot in gym-duckietown's `Simulator`.

    - Action: Box(-1, 1, (2,), float32), the (left, right) wheel duty, held for 1/30 s. Values beyond the
      bounds are clipped; float64 is not rounded to float32.
    - Observation: Box(0, 255, (camera_height, camera_width, 3), uint8), the camera's RGB frame, a new array
      each time.
    - Reward: that of gym-duckietown; -1000 on leaving the road or colliding.
    - Terminated: the robot left the road or collided. Truncated: `max_steps` reached, and not terminated.
    - Info: the fields of `State` and, with `full_transparency`, gym-duckietown's report under "Simulator".

    Several simulators may live in one process and be stepped in any order, but each only in the process and
    the thread that created it.

    Args:
        settings: map, camera, episode length and seed.

    Raises:
        MapError: the map does not exist, its file is wrong, or it has no road.
        GraphicsError: there is no OpenGL.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 - gymnasium's

    camera_on: bool = True
    """Set to False to skip drawing: frames are then black, poses and rewards unchanged.

    The light of an episode depends on the last frame drawn before its reset (see camera/conditions.py).
    """

    first_row: int = 0
    """The topmost row of frames that is used: rows above stay black, which takes less time."""

    def __init__(self, settings: SimulatorSettings) -> None:
        (self._map_name,) = settings.map_names
        check_map(self._map_name)
        self.settings = settings
        self.render_mode = "rgb_array"
        self._frame_shape = (settings.camera_height, settings.camera_width, 3)
        self.observation_space = gymnasium.spaces.Box(0, 255, self._frame_shape, np.uint8)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._objects_random = numpy_random_state(settings.seed)
        self._last: tuple[Frame, State] | None = None
        self._closed = False
        with self._own_numpy_random():
            self._upstream = new_upstream(settings)
        self._camera = StockCamera(self._upstream)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Begin an episode at a random valid pose, or exactly at `options["pose"]`.

        Args:
            seed: restart the world, with its objects and light, from this seed: equal seeds and equal actions
                give equal episodes. Without one, random numbers and moving objects continue.
            options: {"pose": (x, z, angle)} in metres and radians, or None.

        Returns:
            the first frame, and info.

        Raises:
            ValueError: the pose is off the road or touches something, or an option is unknown.
            StartError: random draws found no valid start.
        """
        self._refuse_when_closed()
        pose = _pose_option(options)
        super().reset(seed=seed)
        self._upstream.shadow_window.switch_to()
        with self._own_numpy_random():
            if seed is not None:
                remake_world(self._upstream, seed)
            if pose is None:
                self._reset_anywhere()
            else:
                self._reset_at(pose)
        self._moves = any(not thing.static for thing in self._upstream.objects)
        valid = self.valid_pose(*_pose_of(self._upstream))
        return self._observe(self._upstream.get_agent_info(), valid)

    def step(self, action: ArrayLike) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Drive for 1/30 s.

        Args:
            action: (left, right) wheel duty.

        Raises:
            ValueError: the action is not two numbers.
        """
        self._refuse_when_closed()
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        command = _command(action)
        # only moving objects draw random numbers, and switching generators takes a quarter of a millisecond
        with self._own_numpy_random() if self._moves else contextlib.nullcontext():
            _, reward, done, report = self._upstream.step(command)
        full_length = self._upstream.step_count >= self.settings.max_steps
        # upstream's `done` does not tell a crash from the end of the episode
        valid = not done or (full_length and self.valid_pose(*_pose_of(self._upstream)))
        frame, info = self._observe(report, valid)
        return frame, float(reward), not valid, full_length and valid, info

    def render(self) -> Frame:  # type: ignore[override] # gymnasium allows what its type does not say
        """The last frame."""
        return self._seen()[0].copy()

    def close(self) -> None:
        """Free OpenGL's memory. From then on, reset and step raise `ClosedEnvironmentError`."""
        if not self._closed:
            self._closed = True
            free(self._upstream, self._camera)

    @property
    def state(self) -> State:
        """The robot's state after the last reset or step."""
        return self._seen()[1]

    def lane_ahead(self, points: int, step_m: float) -> NDArray[np.float64]:
        """How the lane turns ahead of the robot: (points, 2), as in `BatchedSimulator.lane_ahead`."""
        directions = np.zeros((points, 2))
        point, first = self._lane_point(*_pose_of(self._upstream))
        along = first
        for ahead in range(points if first is not None else 0):
            point = point + step_m * along
            nearest, tangent = self._lane_point(point[0], point[1], math.atan2(-along[1], along[0]))
            if tangent is not None:
                point, along = nearest, tangent
            directions[ahead] = first @ along, first[0] * along[1] - first[1] * along[0]
        return directions

    def _lane_point(self, x: float, z: float, angle: float) -> tuple[Any, Any]:
        """(x, z) of the nearest point of a lane and of its direction there; (None, None) outside any lane."""
        point, tangent = self._upstream.closest_curve_point(np.array([x, 0.0, z]), angle)
        return (None, None) if point is None else (point[[0, 2]], tangent[[0, 2]])

    def valid_pose(self, x: float, z: float, angle: float, safety_factor: float = 1.0) -> bool:
        """Whether a robot here is on drivable ground and touches nothing.

        Args:
            x, z, angle: metres and radians, in the frame of `State`.
            safety_factor: scales the robot in the check of the ground; random starts use 1.3.
        """
        return bool(self._upstream._valid_pose(np.array([x, 0.0, z]), angle, safety_factor))

    @property
    def tile_size(self) -> float:
        """Side of a map tile, metres."""
        return float(self._upstream.road_tile_size)

    @property
    def grid_width(self) -> int:
        """Tiles along x."""
        return int(self._upstream.grid_width)

    @property
    def grid_height(self) -> int:
        """Tiles along z."""
        return int(self._upstream.grid_height)

    @property
    def drivable_tiles(self) -> list[tuple[int, int, str]]:
        """(i, j, kind) of each drivable tile, which has x in [i, i+1] and z in [j, j+1] times tile_size."""
        return [(*tile["coords"], tile["kind"]) for tile in self._upstream.drivable_tiles]

    def lane_curves(self, i: int, j: int) -> NDArray[np.float64]:
        """Cubic Bezier control points of a tile's lanes, in driving direction.

        Returns:
            (lanes, 4, 2): (x, z) of the four points of each lane, metres.

        Raises:
            ValueError: there is no drivable tile at (i, j).
        """
        tile = self._upstream._get_tile(i, j)
        if tile is None or not tile["drivable"]:
            raise ValueError(f"tile ({i}, {j}) of {self._map_name} is not drivable")
        return np.array(tile["curves"][:, :, [0, 2]], dtype=np.float64)

    def map_image(self) -> MapImage:
        """The map from straight above, with its objects as they are now, without the robot."""
        return seen_from_above(self._upstream)

    def _reset_anywhere(self) -> None:
        for _ in range(_SPAWN_TRIES):
            reset_upstream(self._upstream)
            if _pose_of(self._upstream) != _FAILED_SPAWN:
                return
        raise StartError(self.settings.accept_start_angle_deg, self._map_name)

    def _reset_at(self, pose: Pose) -> None:
        x, z, angle = pose
        if not self.valid_pose(x, z, angle):
            raise ValueError(
                f"pose ({x:g}, {z:g}, {angle:g}) on {self._map_name} is off the road "
                "or touches something; check it with valid_pose first"
            )
        upstream = self._upstream
        from_map = upstream.start_tile, upstream.start_pose
        # upstream adds a start pose to the corner of its tile, which for tile (0, 0) is exactly zero
        upstream.start_tile, upstream.start_pose = {"coords": (0, 0)}, [[x, 0.0, z], angle]
        try:
            reset_upstream(upstream)
        finally:
            upstream.start_tile, upstream.start_pose = from_map

    def _observe(self, report: dict[str, Any], valid: bool) -> tuple[Frame, dict[str, Any]]:
        frame, state = self._draw(), _state_of(self._upstream, report["Simulator"], valid)
        self._last = frame, state
        return frame, {**state._asdict(), **(report if self.settings.full_transparency else {})}

    def _draw(self) -> Frame:
        if not self.camera_on:
            return np.zeros(self._frame_shape, dtype=np.uint8)
        return self._camera.frame(self.first_row)

    def _seen(self) -> tuple[Frame, State]:
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset first: nothing has been seen yet")
        return self._last

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise gymnasium.error.ClosedEnvironmentError("this simulator is closed; make a new one")

    @contextlib.contextmanager
    def _own_numpy_random(self) -> Iterator[None]:
        # upstream's moving objects draw from numpy's global generator; each simulator has its own state of it
        outer = np.random.get_state()
        np.random.set_state(self._objects_random)
        try:
            yield
        finally:
            self._objects_random = np.random.get_state()
            np.random.set_state(outer)


def _pose_option(options: dict[str, Any] | None) -> Pose | None:
    option = only_option(options, "pose")
    if option is None:
        return None
    pose = np.asarray(option, dtype=np.float64)
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise ValueError(f"a pose must be (x, z, angle), three finite numbers; got {option!r}")
    x, z, angle = pose.tolist()
    return x, z, angle


def _command(action: ArrayLike) -> NDArray[np.float64]:
    command = np.asarray(action, dtype=np.float64)
    if command.shape != (2,) or np.isnan(command).any():
        raise ValueError(f"an action must be (left, right) wheel duty, two numbers; got {action!r}")
    return command


def _pose_of(upstream: Any) -> Pose:
    x, _, z = upstream.cur_pos
    return float(x), float(z), float(upstream.cur_angle)


def _state_of(upstream: Any, report: dict[str, Any], valid: bool) -> State:
    x, z, angle = _pose_of(upstream)
    # the velocity in the robot's frame, an element of se(2): [[0, -w, v], [w, 0, 0], [0, 0, 0]]
    _, velocity = upstream.state.TSE2_from_state()
    lane = report.get("lane_position", {})
    return State(
        x=x,
        z=z,
        angle=angle,
        speed=float(upstream.speed),
        forward_speed=float(velocity[0, 2]),
        yaw_rate=float(velocity[1, 0]),
        lane_dist=float(lane.get("dist", math.nan)),
        lane_angle=float(lane.get("angle_rad", math.nan)),
        lane_dot=float(lane.get("dot_dir", math.nan)),
        proximity=float(report["proximity_penalty"]),
        valid=valid,
    )
