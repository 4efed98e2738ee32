"""Where the time of a batched frame goes, measured kernel by kernel on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ducklane.settings import SimulatorSettings
from ducklane.simulator import ground, render, robots
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.camera import LEVELS, Blocks

ROBOTS = 64
PLACE, SUM, SHADE, SKY = range(4)


@numba.njit
def _ground_part(world: Any, image: Any, part: int) -> None:
    cameras, places = world.cameras, world.robots
    chunk, rays = cameras.chunk, cameras.rays
    for i in range(places.x.shape[0]):
        m, first = places.map_index[i], 0
        for level in range(LEVELS):
            end = rays.level_end[0, level]
            texels = world.scene.road.texels[world.scene.road.start[m, level] :]
            while first < end:
                stop = min(first + ground.CHUNK, end)
                if part == PLACE:
                    ground._place_samples(
                        world.scene.road,
                        m,
                        level,
                        rays,
                        0,
                        first,
                        stop,
                        places.x[i],
                        places.z[i],
                        places.angle[i],
                        chunk.places[0],
                    )
                if part == SUM:
                    ground._sum_samples(texels, rays, 0, first, stop, chunk.places[0], chunk.sums[0])
                if part == SHADE:
                    ground._shade(
                        rays,
                        0,
                        first,
                        stop,
                        chunk.sums[0],
                        cameras.lit[i],
                        cameras.conditions,
                        i,
                        chunk.colors[0],
                        image,
                    )
                first = stop
        if part == SKY:
            ground._fill_sky(rays, 0, cameras.conditions, i, image)


@numba.njit
def _frames(world: Any, image: Any, part: int) -> None:
    for i in range(world.robots.x.shape[0]):
        render.draw_frame(world.scene, world.robots, world.things, world.cameras, i, 0, image)


@numba.njit
def _grounds(world: Any, image: Any, part: int) -> None:
    places, cameras = world.robots, world.cameras
    for i in range(places.x.shape[0]):
        ground.draw_ground(
            world.scene.road,
            places.map_index[i],
            cameras.rays,
            0,
            places.x[i],
            places.z[i],
            places.angle[i],
            cameras.lit[i],
            cameras.conditions,
            i,
            cameras.chunk,
            0,
            image,
        )


@numba.njit
def _steps(world: Any, image: Any, part: int) -> None:
    for i in range(world.robots.x.shape[0]):
        robots.step_robot(world.scene.layout, world.things, world.robots, i, 0.3, 0.3)


def parts(settings: SimulatorSettings, blocks: Blocks) -> dict[str, float]:
    """Microseconds a frame by part, each the median of 15, and a copy of the frame as the floor."""
    simulator = BatchedSimulator(settings, ROBOTS, blocks, threads=1)
    simulator.reset(seed=0)
    world = simulator._world
    height, width, _ = simulator.image_shape
    image = np.zeros((height * width, 3), np.uint8)
    ground_us = _microseconds(lambda: _grounds(world, image, 0))
    found = {
        "placing samples": _microseconds(lambda: _ground_part(world, image, PLACE)),
        "reading textures": _microseconds(lambda: _ground_part(world, image, SUM)),
        "light, colours, writing": _microseconds(lambda: _ground_part(world, image, SHADE)),
        "sky": _microseconds(lambda: _ground_part(world, image, SKY)),
        "ground and sky in all": ground_us,
        "objects": _microseconds(lambda: _frames(world, image, 0)) - ground_us,
        "physics, lane, collisions": _microseconds(lambda: _steps(world, image, 0)),
    }
    frames = np.zeros((ROBOTS, height, width, 3), np.uint8)
    found["floor: a copy of the frame"] = _microseconds(lambda: frames.copy())
    found["a step in all"] = _microseconds(lambda: simulator.step(np.full((ROBOTS, 2), 0.3)))
    return {name: round(value, 2) for name, value in found.items()}


def _microseconds(work: Callable[[], Any]) -> float:
    work()  # compiles
    times = []
    for _ in range(15):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) / ROBOTS * 1e6
