"""gym-duckietown's `Simulator` as a gymnasium environment: headless, silent, on today's numpy.

The physics, the pictures and the reward are gym-duckietown's own. What this module adds is a start pose
of one's choice, a camera that can be switched off, and several simulators side by side in one process.
The few places where gym-duckietown 6.1.34 fails on today's numpy, is needlessly slow or shares what it
should not are adapted at run time in one place: the last section of this file.
"""

# ruff: noqa: NPY002 - upstream's moving objects draw from numpy's global generator

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, wraps
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ducklane.errors import UserError, reason
from ducklane.settings import SimulatorSettings
from ducklane.simulator.lens import inverted
from ducklane.simulator.map_format import as_written
from ducklane.simulator.maps import check_map, is_own, map_file, read_map
from ducklane.simulator.resources import MapError, own_resource
from ducklane.simulator.state import State
from ducklane.simulator.stock_camera import Frame, StockCamera

Pose = tuple[float, float, float]
"""(x, z, angle): metres, metres, radians, in the frame of `State`."""

FRAMES_PER_SECOND = 30

MAP_IMAGE_PIXELS = 800
"""Width and height of a map seen from above."""

_SPAWN_TRIES = 3
_FAILED_SPAWN: Pose = (1.0, 1.0, 1.0)
"""Where upstream puts a robot, valid or not, after 5000 draws without finding a start."""


class MapImage(NamedTuple):
    """A map from straight above."""

    pixels: Frame
    """[height, width, 3], x to the right and z down"""
    extent: tuple[float, float, float, float]
    """metres at the left (x), right (x), bottom (z) and top (z) edge, as matplotlib's imshow takes them"""


class GraphicsError(UserError):
    """There is no OpenGL to draw with."""


class StartError(UserError):
    """No valid start pose was found. Exit code 2: the settings leave none.

    Args:
        max_angle_deg: how far a start may be turned from the lane.
        map_name: where none was found.
    """

    exit_code = 2

    def __init__(self, max_angle_deg: float, map_name: str) -> None:
        super().__init__(
            f"simulator.accept_start_angle_deg: no start within {max_angle_deg:g} degrees of the lane was "
            f"found on {map_name}; allow a larger angle"
        )


class ReferenceSimulator(gymnasium.Env[Frame, NDArray[Any]]):
    """One Duckiebot in gym-duckietown's `Simulator`.

    - Action: Box(-1, 1, (2,), float32), the (left, right) wheel duty, held for 1/30 s. Values beyond the
      bounds are clipped; float64 is not rounded to float32.
    - Observation: Box(0, 255, (camera_height, camera_width, 3), uint8), the camera's RGB frame, a new array
      each time.
    - Reward: gym-duckietown's own; -1000 on leaving the road or colliding.
    - Terminated: the robot left the road or collided. Truncated: `max_steps` reached, and not terminated.
    - Info: the fields of `State` and, under "Simulator", gym-duckietown's own report if `full_transparency`.

    Several simulators may live in one process and be stepped in any order. Each stays in the process and
    the thread that made it.

    Args:
        settings: map, camera, episode length and seed.

    Raises:
        MapError: the map does not exist, its file is wrong, or it has no road.
        GraphicsError: there is no OpenGL.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 - gymnasium's

    camera_on: bool = True
    """Set it to False to skip drawing: frames are then black, and poses and rewards the same.

    The light of an episode depends on the last frame drawn before its reset, as upstream has it.
    """

    first_row: int = 0
    """The topmost row of frames that anybody looks at: those above it stay black, which takes less time."""

    def __init__(self, settings: SimulatorSettings) -> None:
        (self._map_name,) = settings.map_names
        check_map(self._map_name)
        self.settings = settings
        self.render_mode = "rgb_array"
        self._frame_shape = (settings.camera_height, settings.camera_width, 3)
        self.observation_space = gymnasium.spaces.Box(0, 255, self._frame_shape, np.uint8)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._objects_random = _numpy_random_state(settings.seed)
        self._last: tuple[Frame, State] | None = None
        self._closed = False
        with self._own_numpy_random():
            self._upstream = _new_upstream(settings)
        self._camera = StockCamera(self._upstream)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Begin an episode at a random valid pose, or exactly at `options["pose"]`.

        Args:
            seed: make the world anew from this seed, its objects and light too: equal seeds and equal actions
                give equal episodes. Without one the random draws and the moving objects go on.
            options: {"pose": (x, z, angle)} in metres and radians, or nothing.

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
                _start_anew(self._upstream, seed)
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
        # only what moves draws numbers, and lending them takes a quarter of a millisecond
        with self._own_numpy_random() if self._moves else contextlib.nullcontext():
            _, reward, done, report = self._upstream.step(command)
        full_length = self._upstream.step_count >= self.settings.max_steps
        # upstream is done for either reason and does not say which
        valid = not done or (full_length and self.valid_pose(*_pose_of(self._upstream)))
        frame, info = self._observe(report, valid)
        return frame, float(reward), not valid, full_length and valid, info

    def render(self) -> Frame:  # type: ignore[override] # gymnasium allows what its type does not say
        """The last frame."""
        return self._seen()[0].copy()

    def close(self) -> None:
        """Give OpenGL's memory back. Reset and step are refused from then on."""
        if not self._closed:
            self._closed = True
            _free(self._upstream, self._camera)

    @property
    def state(self) -> State:
        """The robot's state after the last reset or step."""
        return self._seen()[1]

    def lane_ahead(self, points: int, step_m: float) -> NDArray[np.float64]:
        """How the lane turns in front of the robot: (points, 2), as of `BatchedSimulator`."""
        directions = np.zeros((points, 2))
        point, first = self._lane_point(*_pose_of(self._upstream))
        along = first
        for ahead in range(points if first is not None else 0):
            point = point + step_m * along
            found, tangent = self._lane_point(point[0], point[1], math.atan2(-along[1], along[0]))
            if tangent is not None:
                point, along = found, tangent
            directions[ahead] = first @ along, first[0] * along[1] - first[1] * along[0]
        return directions

    def _lane_point(self, x: float, z: float, angle: float) -> tuple[Any, Any]:
        """(x, z) of the nearest point of a lane and of its direction there; None and None outside any."""
        point, tangent = self._upstream.closest_curve_point(np.array([x, 0.0, z]), angle)
        return (None, None) if point is None else (point[[0, 2]], tangent[[0, 2]])

    def valid_pose(self, x: float, z: float, angle: float, safety_factor: float = 1.0) -> bool:
        """Whether a robot here is on drivable ground and touches nothing.

        Args:
            x, z, angle: metres and radians, in the frame of `State`.
            safety_factor: by how much to widen the robot on the ground; random starts use 1.3.
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
        """(i, j, kind) of each tile to drive on: x in [i, i+1] and z in [j, j+1] times tile_size."""
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
        """The map as it looks from straight above, with everything that stands on it now but the robot."""
        return _seen_from_above(self._upstream)

    def _reset_anywhere(self) -> None:
        for _ in range(_SPAWN_TRIES):
            _reset(self._upstream)
            if _pose_of(self._upstream) != _FAILED_SPAWN:
                return
        raise StartError(self.settings.accept_start_angle_deg, self._map_name)

    def _reset_at(self, pose: Pose) -> None:
        x, z, angle = pose
        if not self.valid_pose(x, z, angle):
            raise ValueError(
                f"pose ({x:g}, {z:g}, {angle:g}) on {self._map_name} is off the road "
                "or touches something; ask valid_pose first"
            )
        upstream = self._upstream
        from_map = upstream.start_tile, upstream.start_pose
        # upstream adds a start pose to the corner of its tile; that of tile (0, 0) adds exactly nothing
        upstream.start_tile, upstream.start_pose = {"coords": (0, 0)}, [[x, 0.0, z], angle]
        try:
            _reset(upstream)
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
        # lend upstream's moving objects, in the place of numpy's global generator, one of their own
        outer = np.random.get_state()
        np.random.set_state(self._objects_random)
        try:
            yield
        finally:
            self._objects_random = np.random.get_state()
            np.random.set_state(outer)


def _seen_from_above(upstream: Any) -> MapImage:
    from gym_duckietown.graphics import create_frame_buffers
    from pyglet import gl

    upstream.shadow_window.switch_to()
    before = (gl.GLfloat * 16)()
    gl.glGetFloatv(gl.GL_MODELVIEW_MATRIX, before)
    buffers = create_frame_buffers(MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, 4)
    canvas = np.zeros((MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, 3), np.uint8)
    # upstream draws the robot too, wherever it happens to be
    mesh, upstream.mesh = upstream.mesh, SimpleNamespace(render=lambda: None)
    try:
        pixels = upstream._render_img(MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, *buffers, canvas, top_down=True)
    finally:
        upstream.mesh = mesh
    _delete_framebuffers(*buffers)
    gl.glMatrixMode(gl.GL_MODELVIEW)
    gl.glLoadMatrixf(before)  # the next reset places the light under it
    # upstream looks down from the middle, so high that the longer side and 0.1 m around it fill the picture
    x, z = (tiles * upstream.road_tile_size / 2 for tiles in (upstream.grid_width, upstream.grid_height))
    reach = max(x, z) + 0.1
    return MapImage(pixels, (x - reach, x + reach, z + reach, z - reach))


def only_option(options: dict[str, Any] | None, name: str) -> Any:
    """The one option that `reset` has, None where it is not given.

    Raises:
        ValueError: another is.
    """
    options = options or {}
    if unknown := set(options) - {name}:
        raise ValueError(f"reset has the option {name!r} only, not {', '.join(sorted(map(repr, unknown)))}")
    return options.get(name)


def _pose_option(options: dict[str, Any] | None) -> Pose | None:
    given = only_option(options, "pose")
    if given is None:
        return None
    pose = np.asarray(given, dtype=np.float64)
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise ValueError(f"a pose is (x, z, angle), three finite numbers, not {given!r}")
    x, z, angle = pose.tolist()
    return x, z, angle


def _command(action: ArrayLike) -> NDArray[np.float64]:
    command = np.asarray(action, dtype=np.float64)
    if command.shape != (2,) or np.isnan(command).any():
        raise ValueError(f"an action is (left, right) wheel duty, two numbers, not {action!r}")
    return command


def _numpy_random_state(seed: int) -> Any:
    return np.random.RandomState(seed % 2**32).get_state()


def _pose_of(upstream: Any) -> Pose:
    x, _, z = upstream.cur_pos
    return float(x), float(z), float(upstream.cur_angle)


def _state_of(upstream: Any, report: dict[str, Any], valid: bool) -> State:
    x, z, angle = _pose_of(upstream)
    _, velocity = upstream.state.TSE2_from_state()  # an element of se(2)
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


# --- gym-duckietown's Simulator, made, reset and freed ------------------------------------------------------


def _new_upstream(settings: SimulatorSettings) -> Any:
    upstream = _simulator_class()(
        seed=settings.seed,
        map_name=settings.map_names[0],
        max_steps=settings.max_steps,
        camera_width=settings.camera_width,
        camera_height=settings.camera_height,
        accept_start_angle_deg=settings.accept_start_angle_deg,
        full_transparency=True,
        distortion=settings.distortion,
        domain_rand=settings.domain_rand,
        dynamics_rand=settings.dynamics_rand,
        camera_rand=settings.camera_rand,
    )
    upstream.render_obs = lambda segment=False: None  # drawn, if at all, when the step is complete
    _delete_framebuffers(upstream.multi_fbo_human, upstream.final_fbo_human)  # 40 MB, never drawn into here
    _unshare_traffic_lights(upstream)
    return upstream


def _start_anew(upstream: Any, seed: int) -> None:
    """Put the world where upstream's constructor has it, with this seed, before its own first reset."""
    from pyglet import gl

    np.random.set_state(_numpy_random_state(seed))
    upstream.seed(seed)
    upstream._load_objects(upstream.map_data)
    _unshare_traffic_lights(upstream)
    gl.glMatrixMode(gl.GL_MODELVIEW)  # under which reset places the light
    gl.glLoadIdentity()


def _reset(upstream: Any) -> None:
    upstream.tri_vlist.delete()  # each reset makes these anew and would leave the old ones in OpenGL's memory
    upstream.reset()
    upstream.last_action = upstream.wheelVels = np.zeros(2)  # or the first report tells of the last episode


def _unshare_traffic_lights(upstream: Any) -> None:
    # A light shows its pattern by changing the texture of a mesh that upstream shares within the process.
    lights = [thing for thing in upstream.objects if thing.kind == "trafficlight"]
    if lights:
        mesh = copy.copy(lights[0].mesh)
        mesh.textures = list(mesh.textures)
        for light in lights:
            light.mesh = mesh


def _free(upstream: Any, camera: StockCamera) -> None:
    upstream.shadow_window.switch_to()
    for vertices in (upstream.road_vlist, upstream.ground_vlist, upstream.tri_vlist):
        vertices.delete()
    _delete_framebuffers(upstream.multi_fbo, upstream.final_fbo, *camera.own_buffers)
    upstream.shadow_window.close()


def _delete_framebuffers(*framebuffers: Any) -> None:
    from pyglet import gl

    for framebuffer in framebuffers:
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, framebuffer)
        for attachment in (gl.GL_COLOR_ATTACHMENT0, gl.GL_DEPTH_ATTACHMENT):
            _delete_attached(attachment)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, 0)
        gl.glDeleteFramebuffers(1, framebuffer)


def _delete_attached(attachment: int) -> None:
    from pyglet import gl

    kind, name = gl.GLint(), gl.GLint()
    for query, answer in (
        (gl.GL_FRAMEBUFFER_ATTACHMENT_OBJECT_TYPE, kind),
        (gl.GL_FRAMEBUFFER_ATTACHMENT_OBJECT_NAME, name),
    ):
        gl.glGetFramebufferAttachmentParameteriv(gl.GL_FRAMEBUFFER, attachment, query, answer)
        if kind.value == gl.GL_NONE:
            return
    delete = gl.glDeleteTextures if kind.value == gl.GL_TEXTURE else gl.glDeleteRenderbuffers
    delete(1, gl.GLuint(name.value))


# --- gym-duckietown, imported and adapted at run time -------------------------------------------------------

_LOGGERS = ("commons", "typing", "duckietown_world", "geometry", "aido_schemas", "nodes", "gym-duckietown")


@cache
def _simulator_class() -> Callable[..., Any]:
    """gym-duckietown's Simulator, imported in silence, without a display, and adapted."""
    with _silence():
        _load_graphics()
        _adapt_upstream()
        from gym_duckietown.simulator import Simulator
    simulator_class: Callable[..., Any] = Simulator
    return simulator_class


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow what upstream prints and logs on import, and undo what it does to Python's logging."""
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    logging.disable()  # or each line is made ready, with a look at all files under way: two seconds
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)
            logging.root.handlers[:] = handlers
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)


def _load_graphics() -> None:
    # torch for CUDA brings triton, whose LLVM crashes where it is loaded after that of Debian 12's Mesa
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401
    import pyglet

    # both must be set before pyglet.gl is imported
    pyglet.options["headless"] = True  # EGL, no X server
    pyglet.options["debug_gl"] = False  # ask after none of a frame's 230 calls of OpenGL whether it failed
    try:
        import pyglet.font.freetype
        import pyglet.window
    except Exception as error:
        # pyglet raises whatever its platform code comes upon
        raise GraphicsError(
            f"there is no OpenGL without a display here ({error}); install the Debian packages "
            "libegl1 libgl1 libglu1-mesa libgl1-mesa-dri libopengl0 libfreetype6 libfontconfig1"
        ) from error


def _adapt_upstream() -> None:
    """Every change to gym-duckietown 6.1.34 and the packages under it, each with its reason."""
    import_duckietown_world()
    import contracts
    import geometry
    from duckietown_world import resources

    # meshes and pictures of one's own may lie in the folder maps, not only in the working directory; first of
    # all, for the modules below take the function over
    resources.get_resource_path = _of_ones_own_first(resources.get_resource_path)

    from duckietown_world.world_duckietown import generic_kinematics, map_loading, pwm_dynamics
    from gym_duckietown import distortion, objects, simulator
    from gym_duckietown.randomization import randomizer

    # geometry checks the types of every call's arguments: a waste in a loop
    contracts.disable_all()

    # DynamicModel.integrate mixes floats with arrays of one element, which numpy >= 1.24 refuses to join
    pwm_dynamics.geo = SimpleNamespace(
        linear_angular_from_se2=geometry.linear_angular_from_se2,
        se2_from_linear_angular=lambda linear, angular: geometry.se2_from_linear_angular(
            [_number(part) for part in linear], _number(angular)
        ),
    )

    # each step asks geometry four times whether a pose is one: half of the time of the physics
    generic_kinematics.geo = SimpleNamespace(
        SE2=SimpleNamespace(
            belongs=_unchecked,
            group_from_algebra=geometry.SE2.group_from_algebra,
            multiply=geometry.SE2.multiply,
        ),
        se2=SimpleNamespace(belongs=_unchecked),
    )

    # a walking duckie's wiggle, hence its angle, is an array of one element; ctypes passes none to OpenGL
    objects.DuckieObj.__init__ = _with_float_wiggle(objects.DuckieObj.__init__)

    # so are the camera's angle and field of view under domain randomization; of the trim it takes the first
    randomizer.Randomizer.randomize = _with_floats(randomizer.Randomizer.randomize)

    # a moving Duckiebot that has left the road ends the process; its randomized trim does drive it off
    objects.DuckiebotObj.step_duckiebot = _standing_off_road(objects.DuckiebotObj.step_duckiebot)

    # of the path of a map file upstream takes the name only, and looks for that among its own. On a map of R
    # rows and C columns it puts objects placed by pos R - C + 1 rows too low; in map files they stand as
    # written, packaged maps stay as they are, so that scores on them compare
    simulator.Simulator._load_map = _or_a_file(simulator.Simulator._load_map)

    # each reset searches the packaged files for each tile's texture: a third of a second on a common map
    simulator.get_texture_file = map_loading.get_texture_file

    # the lens is inverted by loops over pixels: two seconds for each simulator
    distortion.Distortion._invert_map = _in_arrays(distortion.Distortion._invert_map)

    # the mesh of a robot takes half a second to read, and one's own is seen in upstream's own views only
    simulator.get_duckiebot_mesh = _when_needed(simulator.get_duckiebot_mesh)


@cache
def import_duckietown_world() -> ModuleType:
    """Import duckietown_world, as anything under gym-duckietown must be imported: on Python 3.12, too.

    It comes before geometry, which asks for an undeclared package otherwise.
    """
    # zuper_typing 6.2.3 sets TypeVar.__repr__ when it is imported, which Python refuses since 3.12
    with _own_setattr("zuper_typing.monkey_patching_typing", _set_but_on_type_variables):
        package = importlib.import_module("duckietown_world")
    map_loading: Any = importlib.import_module("duckietown_world.world_duckietown.map_loading")
    # each tile of a map searches all packaged files for five pictures: more than a second on a common map
    map_loading.get_texture_file = _remembered(map_loading.get_texture_file)
    return package


@contextlib.contextmanager
def _own_setattr(name: str, setattr_: Callable[[Any, str, Any], None]) -> Iterator[None]:
    """Let the module of this name, imported meanwhile, call this function where it says `setattr`."""

    class Finder:
        @staticmethod
        def find_spec(
            fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            spec = PathFinder.find_spec(fullname, path, target) if fullname == name else None
            if spec is None or spec.loader is None:
                return None
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                vars(module)["setattr"] = setattr_
                execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
            return spec

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)


def _set_but_on_type_variables(target: Any, name: str, value: Any) -> None:
    if target is not TypeVar:
        setattr(target, name, value)


def _of_ones_own_first(find: Callable[[str], str]) -> Callable[[str], str]:
    @wraps(find)
    def adapted(name: str) -> str:
        # of a map's file `map_file` decides
        own = None if name.endswith(".yaml") else own_resource(name)
        return find(name) if own is None else str(own)

    return adapted


def _unchecked(_: Any) -> None:
    pass


def _remembered(find: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Find what a name stands for once, and that it stands for nothing once."""
    found: dict[str, list[str]] = {}
    missing: dict[str, KeyError] = {}

    @wraps(find)
    def adapted(name: str) -> list[str]:
        if name in missing:
            raise missing[name]
        if name not in found:
            try:
                found[name] = find(name)
            except KeyError as error:
                missing[name] = error
                raise
        return found[name]

    return adapted


def _number(value: Any) -> float:
    return float(np.asarray(value).item())


def _with_float_wiggle(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def adapted(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.wiggle = _number(self.wiggle)

    return adapted


def _with_floats(randomize: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(randomize)
    def adapted(self: Any, rng: Any) -> dict[str, Any]:
        drawn = randomize(self, rng)
        return {
            key: value.item() if np.size(value) == 1 and key != "trim" else value
            for key, value in drawn.items()
        }

    return adapted


def _standing_off_road(step_duckiebot: Callable[..., None]) -> Callable[..., None]:
    @wraps(step_duckiebot)
    def adapted(self: Any, delta_time: float, closest_curve_point: Callable[..., Any], others: Any) -> None:
        nearest, _ = closest_curve_point(self.pos, self.angle)
        if nearest is not None:
            step_duckiebot(self, delta_time, closest_curve_point, others)

    return adapted


def _or_a_file(load_map: Callable[..., None]) -> Callable[..., None]:
    @wraps(load_map)
    def adapted(self: Any, map_name: str) -> None:
        if not is_own(map_name):
            load_map(self, map_name)
            return
        self.map_name, self.map_file_path = map_file(map_name).stem, str(map_file(map_name))
        self.map_data = as_written(read_map(map_name))
        try:
            self._interpret_map(self.map_data)
        except Exception as error:
            # the cause is in the context of an error that holds the whole map
            cause = reason(error.__context__ or error)
            raise MapError(
                f"map_name: {map_name}: gym-duckietown cannot load it ({cause}); look at its objects' meshes "
                "and pictures"
            ) from error

    return adapted


def _in_arrays(invert_map: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(invert_map)
    def adapted(self: Any, mapx: Any, mapy: Any) -> Any:
        return inverted(mapx, mapy)

    return adapted


def _when_needed(get_mesh: Callable[[str], Any]) -> Callable[[str], Any]:
    mesh_of = cache(lambda color: _Mesh(partial(get_mesh, color)))

    @wraps(get_mesh)
    def adapted(color: str) -> Any:
        return mesh_of(color)

    return adapted


class _Mesh:
    """A mesh that is read when somebody asks for something of it."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read(), name)  # which upstream keeps
