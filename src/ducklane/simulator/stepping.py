"""A step of many robots, as kernels on arrays: physics, objects and the camera."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.settings import SimulatorSettings
from ducklane.simulator.camera.conditions import draw_conditions, new_conditions
from ducklane.simulator.camera.ground import new_chunk
from ducklane.simulator.camera.lens import DUCKIEBOT_LENS, Lens, random_lens
from ducklane.simulator.camera.raster import new_canvas
from ducklane.simulator.camera.render import Cameras, draw_frame, prepare_camera
from ducklane.simulator.camera.sampling import aim, new_rays
from ducklane.simulator.camera.view import (
    FIELD_OF_VIEW_RAD,
    HEIGHT_M,
    PITCH_RAD,
    Blocks,
    pixels_of,
    projection,
    stack_views,
    view,
    whole_frame,
    windows_of,
)
from ducklane.simulator.scenes import load_full_tiles, load_scene
from ducklane.simulator.stacking import Stacking, Stacks, new_stacks, push
from ducklane.simulator.town.road import NO_TILES
from ducklane.simulator.town.scene import Scene
from ducklane.simulator.world.detour import detour
from ducklane.simulator.world.lane import lane_ahead
from ducklane.simulator.world.robots import (
    Robots,
    new_robots,
    start_robot,
    start_robot_anywhere,
    start_world,
    step_robot,
)
from ducklane.simulator.world.things import Things, new_things

Frames = NDArray[np.uint8]
"""(N, height, width, channels): RGB, or as a `Stacking` says."""

Poses = NDArray[np.float64]
"""(N, 3): x, z, angle; metres, metres, radians, in the frame of `State`."""


class World(NamedTuple):
    """Everything the kernels work on."""

    scene: Scene
    robots: Robots
    things: Things
    cameras: Cameras
    stacks: Stacks
    domain_rand: bool
    max_steps: int


class Orders(NamedTuple):
    """What the robots are to do in a step."""

    wheels: NDArray[np.float64]
    """(N, 2) wheel duty"""
    restart: NDArray[np.bool_]
    """(N,) which robots begin an episode instead"""
    poses: Poses
    """where they begin; NaN for a random start"""
    new_world: bool
    """place their objects again, and forget the last frame's light"""
    draw: bool
    """draw frames"""


class Outcome(NamedTuple):
    """The results of a step, [N] each."""

    frames: Frames
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    no_start: NDArray[np.bool_]
    """no valid start was found for a new episode"""


def new_worlds(
    settings: SimulatorSettings, n: int, blocks: Blocks, stacking: Stacking, threads: int
) -> World:
    """The worlds of N robots before their first step, with memory for each thread to draw in."""
    scene = load_scene(settings.map_names)
    robots = new_robots(
        np.arange(n) % len(settings.map_names),
        seed=settings.seed,
        max_steps=settings.max_steps,
        max_start_angle_deg=settings.accept_start_angle_deg,
        domain_rand=settings.domain_rand,
        dynamics_rand=settings.dynamics_rand,
    )
    return World(
        scene,
        robots,
        new_things(n, scene.layout),
        _new_cameras(settings, scene, n, blocks, threads),
        new_stacks(stacking, n, threads, len(blocks.row_weights) * len(blocks.column_weights)),
        settings.domain_rand,
        settings.max_steps,
    )


def in_whole_frames(world: World, settings: SimulatorSettings) -> World:
    """The same worlds, seen by the same cameras, whose images are whole frames in colour."""
    blocks = whole_frame(settings.camera_height, settings.camera_width)
    cameras = _new_cameras(settings, world.scene, len(world.robots.x), blocks, threads=1)
    return world._replace(
        cameras=cameras._replace(conditions=world.cameras.conditions),
        stacks=new_stacks(Stacking(), n=0, threads=0, pixels=0),
    )


def _new_cameras(settings: SimulatorSettings, scene: Scene, n: int, blocks: Blocks, threads: int) -> Cameras:
    height, width = settings.camera_height, settings.camera_width
    own_view = settings.camera_rand and settings.distortion
    own_rays = own_view or settings.domain_rand
    exact = settings.fidelity == "exact"
    drawn = pixels_of(blocks) if exact else blocks
    pairs = [
        (view(height, width, lens, drawn), projection(height, width, lens, drawn))
        for lens in _lenses(settings, n)
    ]
    views, projections = stack_views([pair[0] for pair in pairs]), stack_views([pair[1] for pair in pairs])
    pixels = views.x.shape[1]
    rays = new_rays(n if own_rays else 1, pixels, compact=own_rays)
    if not own_rays and not exact:
        aim(views, 0, rays, 0, HEIGHT_M, PITCH_RAD, float(np.tan(FIELD_OF_VIEW_RAD / 2)))
    return Cameras(
        views=views,
        projection=projections,
        rays=rays,
        lit=np.zeros((n, pixels), np.float32),
        own_view=own_view,
        own_rays=own_rays,
        conditions=new_conditions(n),
        canvas=new_canvas(threads, len(drawn.row_weights), len(drawn.column_weights), scene.meshes),
        chunk=new_chunk(threads, pixels),
        exact=exact,
        tiles=load_full_tiles(settings.map_names) if exact else NO_TILES,
        rows=windows_of(blocks.row_weights),
        columns=windows_of(blocks.column_weights),
    )


def _lenses(settings: SimulatorSettings, n: int) -> list[Lens | None]:
    """The lenses: one for all robots, or one per robot; None for rectified frames."""
    if not settings.distortion:
        return [None]
    if not settings.camera_rand:
        return [DUCKIEBOT_LENS]
    return [random_lens(np.random.default_rng([settings.seed, i])) for i in range(n)]


@lean_kernel
def advance(world: World, outcome: Outcome, orders: Orders, first: int, end: int, thread: int) -> None:
    """Step robots [first, end), or begin an episode for those to restart.

    Args:
        world: all robots' worlds; changed in place.
        outcome: of all robots, output.
        orders: to all robots.
        first, end: the robots of this call.
        thread: the one that draws.
    """
    robots, poses, wheels = world.robots, orders.poses, orders.wheels
    for i in range(first, end):
        if orders.restart[i]:
            _begin(world, outcome, i, poses[i, 0], poses[i, 1], poses[i, 2], orders.new_world)
        else:
            step_robot(world.scene.layout, world.things, robots, i, wheels[i, 0], wheels[i, 1])
            outcome.terminated[i] = not robots.valid[i]
            outcome.truncated[i] = robots.valid[i] and robots.step[i] >= world.max_steps
        if orders.draw:
            _draw(world, outcome, i, thread, orders.restart[i])


@lean_kernel
def _begin(world: World, outcome: Outcome, i: int, x: float, z: float, angle: float, new_world: bool) -> None:
    robots, layout = world.robots, world.scene.layout
    last_x, last_z, last_angle = robots.x[i], robots.z[i], robots.angle[i]
    if new_world:
        start_world(layout, world.things, robots, i)
    draw_conditions(
        world.cameras.conditions,
        i,
        robots.streams[i],
        world.domain_rand,
        world.cameras.own_view,
        new_world,
        last_x,
        last_z,
        last_angle,
    )
    prepare_camera(world.cameras, i)
    if np.isnan(x):
        outcome.no_start[i] = not start_robot_anywhere(layout, world.things, robots, i)
    else:
        start_robot(layout, world.things, robots, i, x, z, angle)


@lean_kernel
def _draw(world: World, outcome: Outcome, i: int, thread: int, starting: bool) -> None:
    stacks, image = world.stacks, outcome.frames[i]
    frame = image.reshape((image.size // 3, 3)) if stacks.plain else stacks.frames[thread]
    draw_frame(world.scene, world.robots, world.things, world.cameras, i, thread, frame)
    if not stacks.plain:
        push(stacks, i, thread, starting, image.reshape(image.size))


@lean_kernel
def look(world: World, outcome: Outcome) -> None:
    """Draw what all robots see now, and change nothing else."""
    for i in range(len(outcome.frames)):
        prepare_camera(world.cameras, i)
        _draw(world, outcome, i, 0, starting=False)


@lean_kernel
def look_ahead(world: World, step_m: float, directions: NDArray[np.float64]) -> None:
    """Write `lane_ahead` of all robots into `directions`."""
    layout, robots = world.scene.layout, world.robots
    for i in range(len(directions)):
        m, x, z, angle = robots.map_index[i], robots.x[i], robots.z[i], robots.angle[i]
        lane_ahead(layout, m, x, z, angle, step_m, directions[i])


@lean_kernel
def look_for_detours(world: World, margin_m: float, detours: NDArray[np.float64]) -> None:
    """Write `detour` of all robots into `detours`."""
    layout, robots = world.scene.layout, world.robots
    for i in range(len(detours)):
        m, x, z, angle = robots.map_index[i], robots.x[i], robots.z[i], robots.angle[i]
        detours[i] = detour(layout, world.things, i, m, x, z, angle, margin_m)
