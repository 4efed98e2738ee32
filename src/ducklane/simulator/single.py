"""The batched simulator with one robot, as a gymnasium environment with the interface of the stock one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.settings import SimulatorSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.interface import FRAMES_PER_SECOND, Frame, MapImage, State, only_option
from ducklane.simulator.town.maps import road_tiles
from ducklane.simulator.world.obstacles import valid_pose


class SingleSimulator(gymnasium.Env[Frame, NDArray[Any]]):
    """The batched simulator's physics and pictures, one robot and whole camera frames at a time.

    Actions, observations, rewards, methods and properties are those of `StockSimulator`; info holds the
    fields of `State`, without gym-duckietown's report.

    Args:
        settings: one map, camera, episode length and seed.

    Raises:
        MapError: the map does not exist, its file or one that it names is wrong, or it has no road.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 - gymnasium's

    first_row: int = 0
    """As in `StockSimulator`, but all rows are drawn whatever its value."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.render_mode = "rgb_array"
        self._batch = BatchedSimulator(settings, 1, threads=1)
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space
        self._frame: Frame | None = None

    @property
    def camera_on(self) -> bool:
        """Set to False to skip drawing: frames are then black, poses and rewards unchanged."""
        return self._batch.camera_on

    @camera_on.setter
    def camera_on(self, on: bool) -> None:
        self._batch.camera_on = on

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Begin an episode at a random valid pose, or exactly at `options["pose"]`.

        Args:
            seed: restart the world from this seed.
            options: {"pose": (x, z, angle)} in metres and radians, or None.

        Raises:
            ValueError: the pose is off the road or touches something, or an option is unknown.
            StartError: random draws found no valid start.
        """
        super().reset(seed=seed)
        pose = only_option(options, "pose")
        frames, _ = self._batch.reset(seed=seed, options=None if pose is None else {"poses": [pose]})
        self._frame = frames[0]
        return self._frame, self._info()

    def step(self, action: ArrayLike) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Drive for 1/30 s.

        Args:
            action: (left, right) wheel duty.

        Raises:
            ValueError: the action is not two numbers.
        """
        frames, rewards, terminated, truncated, _ = self._batch.step(np.asarray(action)[None])
        self._frame = frames[0]
        return self._frame, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), self._info()

    def render(self) -> Frame:  # type: ignore[override] # gymnasium allows what its type does not say
        """The last frame."""
        if self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        return self._frame.copy()

    def close(self) -> None:
        """Release everything."""
        self._batch.close()

    @property
    def state(self) -> State:
        """The robot's state after the last reset or step."""
        if self._frame is None:
            raise gymnasium.error.ResetNeeded("call reset first")
        robots = self._batch.robots
        return State(*(getattr(robots, name)[0].item() for name in State._fields))

    def lane_ahead(self, points: int, step_m: float) -> NDArray[np.float64]:
        """How the lane turns ahead of the robot: (points, 2), as in `BatchedSimulator.lane_ahead`."""
        directions: NDArray[np.float64] = self._batch.lane_ahead(points, step_m)[0]
        return directions

    def detour(self, margin_m: float) -> float:
        """How far beside its lane's centre the robot should drive, as in `BatchedSimulator.detours`."""
        return float(self._batch.detours(margin_m)[0])

    def valid_pose(self, x: float, z: float, angle: float, safety_factor: float = 1.0) -> bool:
        """Whether a robot here is on drivable ground and touches nothing.

        Args:
            x, z, angle: metres and radians, in the frame of `State`.
            safety_factor: scales the robot in the check of the ground; random starts use 1.3.
        """
        # always floats, so that the kernel is compiled for one signature only
        numbers = map(float, (x, z, angle, safety_factor))
        return bool(valid_pose(self._batch.scene.layout, self._batch.things, 0, 0, *numbers))

    @property
    def tile_size(self) -> float:
        """Side of a map tile, metres."""
        return float(self._batch.scene.layout.tile_size[0])

    @property
    def grid_width(self) -> int:
        """Tiles along x."""
        return int(self._batch.scene.layout.grid_width[0])

    @property
    def grid_height(self) -> int:
        """Tiles along z."""
        return int(self._batch.scene.layout.grid_height[0])

    @property
    def drivable_tiles(self) -> list[tuple[int, int, str]]:
        """(i, j, kind) of each drivable tile, which has x in [i, i+1] and z in [j, j+1] times tile_size."""
        return [(*place, kind) for place, kind in road_tiles(self.settings.map_names[0]).items()]

    def lane_curves(self, i: int, j: int) -> NDArray[np.float64]:
        """Cubic Bezier control points of a tile's lanes, in driving direction.

        Returns:
            (lanes, 4, 2): (x, z) of the four points of each lane, metres.

        Raises:
            ValueError: there is no drivable tile at (i, j).
        """
        layout = self._batch.scene.layout
        if (i, j) not in road_tiles(self.settings.map_names[0]):
            raise ValueError(f"tile ({i}, {j}) of {self.settings.map_names[0]} is not drivable")
        tile = layout.tiles[0, j, i]
        curves: NDArray[np.float64] = tile["curves"][: tile["curve_count"]].copy()
        return curves

    def map_image(self) -> MapImage:
        """The map from straight above, drawn by gym-duckietown, with its objects at their initial positions.

        Raises:
            GraphicsError: there is no OpenGL.
        """
        from ducklane.simulator.stock.simulator import StockSimulator

        stock = StockSimulator(self.settings.model_copy(update={"backend": "gym-duckietown"}))
        try:
            stock.reset(seed=self.settings.seed)
            return stock.map_image()
        finally:
            stock.close()

    def _info(self) -> dict[str, Any]:
        return self.state._asdict()
