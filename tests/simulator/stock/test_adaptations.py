"""The changes made to gym-duckietown at run time: each one is still needed, and still fits.

Where one of these fails after an update of gym-duckietown, duckietown-world or numpy, look again at
`_adapt_upstream` in ducklane/simulator/stock/adaptations.py, and for how maps are read at map_format.py,
resources.py and loading in ducklane/simulator/town.
"""

import ctypes
import hashlib
import importlib
import inspect
import os
import re
import subprocess
import sys
from importlib.metadata import version
from operator import attrgetter

import numpy as np
import pytest

from ducklane.simulator import duckiebot
from ducklane.simulator.stock import adaptations
from ducklane.simulator.town import layout

ADAPTED = {
    ("duckietown_world.world_duckietown.pwm_dynamics", "DynamicModel.integrate"): "1811c99fc36b48a3",
    (
        "duckietown_world.world_duckietown.generic_kinematics",
        "GenericKinematicsSE2.__init__",
    ): "dc4b815199be53e5",
    (
        "duckietown_world.world_duckietown.generic_kinematics",
        "GenericKinematicsSE2.integrate",
    ): "8247e6fe22c00f0c",
    ("gym_duckietown.objects", "DuckieObj.__init__"): "1cb1794b18f28542",
    ("gym_duckietown.objects", "DuckiebotObj.step_duckiebot"): "9cfe2d297e88e662",
    ("gym_duckietown.randomization.randomizer", "Randomizer.randomize"): "97f2f9ddc975bd7d",
    ("gym_duckietown.simulator", "Simulator._load_map"): "d8cdd5c6edbf44d9",
    ("gym_duckietown.simulator", "get_duckiebot_mesh"): "a5cce1808eedc2fc",
    ("duckietown_world.world_duckietown.map_loading", "get_texture_file"): "1633a983056dd3b7",
    ("gym_duckietown.distortion", "Distortion._invert_map"): "8d0bdc2bef5bc036",
}
"""SHA-256, shortened, of the source of what is replaced or whose imports are."""

RELIED_ON = {
    ("gym_duckietown.simulator", "Simulator.reset"): "8b82689e7ba331bd",
    ("gym_duckietown.simulator", "Simulator.step"): "30a947310418f4f6",
    ("gym_duckietown.simulator", "Simulator._compute_done_reward"): "e7a42969420dd702",
    ("gym_duckietown.simulator", "Simulator._load_objects"): "d2c400154dc5ce1d",
    ("gym_duckietown.simulator", "Simulator._interpret_map"): "690ee9f0e6108670",
    ("gym_duckietown.simulator", "Simulator.interpret_object"): "07f31adcfd2c1a99",
    ("gym_duckietown.simulator", "Simulator.weird_from_cartesian"): "1f4797010c9fd5cd",
    ("duckietown_world.world_duckietown.map_loading", "get_transform"): "84d1e9bcf958af16",
    ("duckietown_world.resources", "get_resource_path"): "a862b431ffb65f52",
    ("duckietown_world.resources", "get_data_resources"): "7f170c5ba6d186e7",
    ("gym_duckietown.objmesh", "ObjMesh._load_mtl"): "ceabbd7b850dd318",
    ("gym_duckietown.simulator", "Simulator.get_agent_info"): "a1ce31ceab4c48ba",
    ("gym_duckietown.simulator", "Simulator._render_img"): "59b0d6bd449f2068",
    ("gym_duckietown.simulator", "Simulator.render_obs"): "7ae9dbc380cde1aa",
    ("gym_duckietown.objects", "WorldObj.render"): "bd0e7f1b04af4041",
    ("gym_duckietown.objects", "WorldObj.render_mesh"): "06144234a07a8d53",
    ("gym_duckietown.objects", "TrafficLightObj.step"): "3d1638a759f6027e",
}
"""The same for what is not replaced, but called or substituted in a way that relies on its internals."""

COMPUTED_ALIKE = {
    ("gym_duckietown.simulator", "Simulator._get_curve"): "6496c08e4f7a61d6",
    ("gym_duckietown.graphics", "gen_rot_matrix"): "ddceb92ebc3ad133",
    ("gym_duckietown.graphics", "rotate_point"): "99fd72017fb4a675",
    ("gym_duckietown.graphics", "load_texture"): "607263f9e036fa98",
    ("gym_duckietown.collision", "generate_corners"): "8bcba5a346c8895b",
    ("gym_duckietown.collision", "generate_norm"): "1e2de8794b8bf853",
    ("gym_duckietown.collision", "calculate_safety_radius"): "7d97d82fa759c228",
    ("gym_duckietown.objmesh", "ObjMesh.__init__"): "24887a281213abee",
    ("gym_duckietown.objects", "WorldObj.__init__"): "1d7cf2275890468e",
    ("gym_duckietown.objects", "CheckerboardObj.__init__"): "8aa9c3a2dd2f25f5",
    ("gym_duckietown.objects", "TrafficLightObj.__init__"): "b6db5df351bc7b37",
    ("duckietown_world.world_duckietown.map_loading", "get_xy_slot"): "6ae3f2bd8072c8e8",
    ("duckietown_world.geo.transforms", "SE2Transform.params_from_json_dict"): "de275ccba3216da8",
}
"""The same for what ducklane/simulator/town/loading computes from the same files."""


@pytest.fixture(autouse=True)
def _adapted():
    adaptations.simulator_class()


def upstream(module: str, name: str):
    return attrgetter(name)(importlib.import_module(module))


@pytest.mark.parametrize(("place", "digest"), [*ADAPTED.items(), *RELIED_ON.items(), *COMPUTED_ALIKE.items()])
def test_upstream_is_unchanged_since_it_was_adapted(place, digest):
    source = inspect.getsource(inspect.unwrap(upstream(*place)))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == digest


def test_installed_versions_are_the_adapted_ones():
    assert version("duckietown-gym-daffy") == "6.1.34"
    assert version("duckietown-world-daffy") == "6.4.3"
    assert version("zuper-typing-z6") == "6.2.3"


def test_triton_is_loaded_before_mesa(tmp_path):
    (tmp_path / "triton.py").write_text("import sys; print('pyglet.window' in sys.modules)")
    load = "from ducklane.simulator.stock import adaptations; adaptations._load_graphics()"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    assert subprocess.check_output([sys.executable, "-c", load], env=environment, text=True) == "False\n"


@pytest.mark.parametrize("place", [place for place in ADAPTED if "world_duckietown" not in place[0]])
def test_adaptations_are_applied_once(place):
    adapted = upstream(*place)
    assert hasattr(adapted, "__wrapped__")
    assert not hasattr(adapted.__wrapped__, "__wrapped__")


def test_dynamics_still_need_floats(monkeypatch, simulator):
    import geometry
    from duckietown_world.world_duckietown import pwm_dynamics

    simulator.reset()
    with monkeypatch.context() as unadapted:
        unadapted.setattr(pwm_dynamics, "geo", geometry)
        with pytest.raises(ValueError, match="inhomogeneous"):
            simulator.step((0.5, 0.5))
    simulator.reset()
    simulator.step((0.5, 0.5))


def test_dynamics_use_nothing_else_of_geometry():
    from duckietown_world.world_duckietown import pwm_dynamics

    used = set(re.findall(r"\bgeo\.(\w+)", inspect.getsource(pwm_dynamics)))
    assert used == set(vars(pwm_dynamics.geo))


def test_adapted_velocities_match_upstream_to_the_bit():
    import geometry
    from duckietown_world.world_duckietown import pwm_dynamics

    linear, angular = [np.array([0.1 + 0.2]), 0.0], np.array([1 / 3])
    expected = geometry.se2_from_linear_angular([0.1 + 0.2, 0.0], 1 / 3)
    assert np.array_equal(pwm_dynamics.geo.se2_from_linear_angular(linear, angular), expected)


def test_opengl_still_takes_no_arrays(simulator):
    from pyglet import gl

    with pytest.raises(ctypes.ArgumentError):
        gl.glRotatef(np.array([1.0]), 0, 1, 0)
    with pytest.raises(ctypes.ArgumentError):
        gl.gluPerspective(np.array([75.0]), 1.0, 0.04, 100.0)


def test_duckies_still_wiggle_by_an_array(make_simulator):
    duckie = moving(make_simulator(map_name="loop_pedestrians"))[0]
    assert isinstance(duckie.wiggle, float)
    described = ("kind", "mesh", "pos", "scale", "optional", "static", "angle")
    description = {name: getattr(duckie, name) for name in described}
    type(duckie).__init__.__wrapped__(duckie, description, False, 1.8, 0.585)
    assert duckie.wiggle.shape == (1,)


def test_randomization_still_draws_arrays_of_one():
    from gym_duckietown.randomization import Randomizer

    adapted = Randomizer().randomize(np.random.default_rng(3))
    raw = Randomizer.randomize.__wrapped__(Randomizer(), np.random.default_rng(3))
    assert raw["camera_fov_y"].shape == (1,)
    assert adapted.keys() == raw.keys()
    for key, value in raw.items():
        assert np.array_equal(np.ravel(adapted[key]), value)
        assert np.ndim(adapted[key]) == (1 if value.size > 1 or key == "trim" else 0)


def test_the_trim_of_randomized_dynamics_can_be_drawn(make_simulator):
    simulator = make_simulator(dynamics_rand=True)
    simulator.camera_on = False
    turns = []
    for seed in (1, 2):
        simulator.reset(seed=seed)
        before = simulator.state.angle
        for _ in range(10):
            simulator.step([0.5, 0.5])
        turns.append(simulator.state.angle - before)
    assert 0 != turns[0] != turns[1] != 0


def test_duckiebots_off_the_road_stand_still(make_simulator):
    bot = moving(make_simulator(map_name="loop_dyn_duckiebots"))[0]
    bot.pos = np.array([-5.0, 0.0, -5.0])

    def nowhere(pos, angle):
        return None, None

    with pytest.raises(Exception, match="Cannot find closest point"):
        type(bot).step_duckiebot.__wrapped__(bot, 1 / 30, nowhere, [])
    bot.step_duckiebot(1 / 30, nowhere, [])
    assert bot.pos.tolist() == [-5.0, 0.0, -5.0]


def test_textures_match_those_that_upstream_finds():
    from gym_duckietown import simulator

    for kind in ("straight", "curve_left", "4way", "grass"):
        name = f"tiles-processed/photos/{kind}/texture"
        assert simulator.get_texture_file(name) == simulator.get_texture_file.__wrapped__(name)
    for _ in range(2):
        with pytest.raises(KeyError, match="Could not find any texture for lava"):
            simulator.get_texture_file("lava")


def test_the_mesh_of_a_duckiebot_is_read_when_it_is_drawn(make_simulator):
    from gym_duckietown.objmesh import ObjMesh
    from gym_duckietown.simulator import get_duckiebot_mesh

    own = make_simulator()._upstream.mesh
    assert own is get_duckiebot_mesh("red")
    read = get_duckiebot_mesh.__wrapped__("red")
    assert type(read) is ObjMesh
    assert own.min_coords is read.min_coords
    assert own.vlists is read.vlists


def test_traffic_lights_still_share_their_mesh_upstream(make_simulator):
    from gym_duckietown.objmesh import ObjMesh

    first, second = (make_simulator(map_name="4way") for _ in range(2))
    cached = next(mesh for mesh in ObjMesh.cache.values() if mesh.mesh_name == "trafficlight")
    lights = [light for simulator in (first, second) for light in lights_of(simulator)]
    assert len({id(light.mesh) for light in lights}) == 2
    assert cached not in [light.mesh for light in lights]
    assert all(light.mesh.vlists is cached.vlists for light in lights)


def test_argument_checks_of_geometry_are_off():
    import contracts

    assert contracts.all_disabled()


def moving(simulator) -> list:
    return [thing for thing in simulator._upstream.objects if not thing.static]


def lights_of(simulator) -> list:
    return [thing for thing in simulator._upstream.objects if thing.kind == "trafficlight"]


def test_measures_match_upstream() -> None:
    adaptations.simulator_class()
    upstream = importlib.import_module("gym_duckietown.simulator")
    assert duckiebot.ROBOT_WIDTH == upstream.ROBOT_WIDTH
    assert duckiebot.ROBOT_LENGTH == upstream.ROBOT_LENGTH
    assert duckiebot.SAFETY_RADIUS == upstream.AGENT_SAFETY_RAD
    assert duckiebot.FORWARD_M == upstream.CAMERA_FORWARD_DIST
    assert layout.SPAWN_DISTANCE_M == upstream.MIN_SPAWN_OBJ_DIST
