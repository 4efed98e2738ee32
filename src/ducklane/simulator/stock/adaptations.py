"""Imports gym-duckietown 6.1.34 silently, and adapts it at run time.

It is changed where it fails on current Python and numpy, is needlessly slow, or shares what it should not;
each change has its reason beside it. tests/simulator/stock/test_adaptations.py fails if upstream changes.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from functools import cache, partial, wraps
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ducklane.errors import UserError, reason
from ducklane.simulator.camera.lens import inverted
from ducklane.simulator.stock.importing import importable, silence
from ducklane.simulator.town.map_format import as_written
from ducklane.simulator.town.maps import is_own, map_file, read_map
from ducklane.simulator.town.resources import MapError, own_resource


class GraphicsError(UserError):
    """There is no OpenGL to draw with."""


@cache
def simulator_class() -> Callable[..., Any]:
    """gym-duckietown's Simulator, imported silently, headless and adapted."""
    with silence():
        _load_graphics()
        _adapt_upstream()
        from gym_duckietown.simulator import Simulator
    simulator_class: Callable[..., Any] = Simulator
    return simulator_class


def _load_graphics() -> None:
    # torch with CUDA brings triton, whose LLVM crashes if it is loaded after that of Debian 12's Mesa
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401
    import pyglet

    # both must be set before pyglet.gl is imported
    pyglet.options["headless"] = True  # EGL, no X server
    pyglet.options["debug_gl"] = False  # do not check for an error after each of a frame's 230 OpenGL calls
    try:
        import pyglet.font.freetype
        import pyglet.window
    except Exception as error:
        # pyglet raises whatever its platform code runs into
        raise GraphicsError(
            f"there is no OpenGL without a display here ({error}); install the Debian packages "
            "libegl1 libgl1 libglu1-mesa libgl1-mesa-dri libopengl0 libfreetype6 libfontconfig1"
        ) from error


def _adapt_upstream() -> None:
    """Apply every change to gym-duckietown 6.1.34 and its dependencies, each with its reason."""
    import_duckietown_world()
    import contracts
    import geometry
    from duckietown_world import resources

    # the project's own meshes and pictures may be in the folder maps, not only in the working directory;
    # before the other imports, for those modules copy the function
    resources.get_resource_path = _of_ones_own_first(resources.get_resource_path)

    from duckietown_world.world_duckietown import generic_kinematics, map_loading, pwm_dynamics
    from gym_duckietown import distortion, objects, simulator
    from gym_duckietown.randomization import randomizer

    # geometry checks the types of its arguments on every call, which is wasted in a loop
    contracts.disable_all()

    # DynamicModel.integrate mixes floats with arrays of one element, which numpy >= 1.24 refuses to combine
    pwm_dynamics.geo = SimpleNamespace(
        linear_angular_from_se2=geometry.linear_angular_from_se2,
        se2_from_linear_angular=lambda linear, angular: geometry.se2_from_linear_angular(
            [_number(part) for part in linear], _number(angular)
        ),
    )

    # each step asks geometry four times whether a pose is valid: half of the time spent on physics
    generic_kinematics.geo = SimpleNamespace(
        SE2=SimpleNamespace(
            belongs=_unchecked,
            group_from_algebra=geometry.SE2.group_from_algebra,
            multiply=geometry.SE2.multiply,
        ),
        se2=SimpleNamespace(belongs=_unchecked),
    )

    # a walking duckie's wiggle, hence its angle, is an array of one element, which ctypes refuses
    objects.DuckieObj.__init__ = _with_float_wiggle(objects.DuckieObj.__init__)

    # so are the camera's angle and field of view under domain randomisation; the trim must remain an array,
    # for upstream takes its first element
    randomizer.Randomizer.randomize = _with_floats(randomizer.Randomizer.randomize)

    # a moving Duckiebot that has left the road raises an exception, and its randomised trim does drive it off
    objects.DuckiebotObj.step_duckiebot = _standing_off_road(objects.DuckiebotObj.step_duckiebot)

    # Upstream takes only the name from a map file's path, and looks for it among its own maps. On a map of R
    # rows and C columns it places objects given by pos R - C + 1 rows too low. The project's map files are
    # corrected; packaged maps are left as they are, so that scores on them stay comparable.
    simulator.Simulator._load_map = _or_a_file(simulator.Simulator._load_map)

    # each reset searches the packaged files for each tile's texture: a third of a second on a typical map
    simulator.get_texture_file = map_loading.get_texture_file

    # the lens is inverted in loops over pixels: two seconds per simulator
    distortion.Distortion._invert_map = _in_arrays(distortion.Distortion._invert_map)

    # the robot's own mesh takes half a second to read, and is visible only in views that are not used here
    simulator.get_duckiebot_mesh = _when_needed(simulator.get_duckiebot_mesh)


@cache
def import_duckietown_world() -> ModuleType:
    """Import duckietown_world, on Python 3.12 too; required before any other import from upstream.

    It must come before geometry, which otherwise needs a package that it does not declare.
    """
    with importable():
        package = importlib.import_module("duckietown_world")
    map_loading: Any = importlib.import_module("duckietown_world.world_duckietown.map_loading")
    # for each tile of a map, all packaged files are searched for five pictures: over a second on a typical
    # map
    map_loading.get_texture_file = _remembered(map_loading.get_texture_file)
    return package


def _of_ones_own_first(find: Callable[[str], str]) -> Callable[[str], str]:
    @wraps(find)
    def adapted(name: str) -> str:
        # map files are found by `map_file`
        own = None if name.endswith(".yaml") else own_resource(name)
        return find(name) if own is None else str(own)

    return adapted


def _unchecked(_: Any) -> None:
    pass


def _remembered(find: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Cache results, and the KeyErrors of names that stand for nothing."""
    results: dict[str, list[str]] = {}
    errors: dict[str, KeyError] = {}

    @wraps(find)
    def adapted(name: str) -> list[str]:
        if name in errors:
            raise errors[name]
        if name not in results:
            try:
                results[name] = find(name)
            except KeyError as error:
                errors[name] = error
                raise
        return results[name]

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
            # upstream's error contains the whole map; its context is the actual cause
            cause = reason(error.__context__ or error)
            raise MapError(
                f"map_name: {map_name}: gym-duckietown cannot load it ({cause}); check its objects' meshes "
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
    """A mesh that is read on first use."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read(), name)  # upstream caches meshes
