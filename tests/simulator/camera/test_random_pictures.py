"""Domain randomization in the batched simulator's pictures, against gym-duckietown's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ducklane.environment import image_blocks
from ducklane.evaluation.parity import psnr
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.camera.conditions import AMBIENT_OF_SCENE
from ducklane.simulator.camera.render import draw_frame, prepare_camera
from ducklane.simulator.camera.view import Blocks
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.task.observation import FrameTransform


def drawn_by_stock(simulator: StockSimulator) -> dict[str, Any]:
    """What its last reset drew, as `Conditions` has it; the lamp is read from OpenGL itself."""
    from pyglet import gl

    upstream = simulator._upstream
    upstream.shadow_window.switch_to()

    def lamp(what: int) -> np.ndarray:
        values = (gl.GLfloat * 4)()
        gl.glGetLightfv(gl.GL_LIGHT0, what, values)
        return np.array(values)

    noise = np.asarray(upstream.randomization_settings["camera_noise"]) * upstream.domain_rand
    ambient = AMBIENT_OF_SCENE + lamp(gl.GL_AMBIENT)[:3]
    return {
        "noise": noise,
        "height": upstream.cam_height + noise[1],
        "pitch": math.radians(upstream.cam_angle[0]),
        "tangent": math.tan(math.radians(upstream.cam_fov_y) / 2),
        "light": lamp(gl.GL_POSITION),
        "ambient": ambient,
        "diffuse": lamp(gl.GL_DIFFUSE)[:3],
        "ground": 255 * np.asarray(upstream.ground_color)[:3] * ambient,
        "sky": 255 * np.minimum(1, upstream.horizon_color),
    }


def seen_under(conditions: dict[str, Any], visible: list[bool], simulator: BatchedSimulator) -> np.ndarray:
    """What its first robot sees from where it is, in this light and with this camera."""
    world = simulator._world
    for name, value in conditions.items():
        getattr(world.cameras.conditions, name)[0] = value
    world.things.visible[0] = visible
    prepare_camera(world.cameras, 0)
    image = np.empty(simulator.image_shape, np.uint8)
    draw_frame(world.scene, world.robots, world.things, world.cameras, 0, 0, image.reshape(-1, 3))
    return image


@pytest.fixture
def transform(settings) -> FrameTransform:
    camera = settings.simulator
    in_color = settings.observation.model_copy(update={"color": "rgb"})
    return FrameTransform(in_color, camera.camera_height, camera.camera_width)


@pytest.fixture
def blocks(settings) -> Blocks:
    return image_blocks(settings.observation, settings.simulator)


@pytest.mark.parametrize(
    ("map_name", "fidelity", "mean_db"),
    [("loop_empty", "fast", 34), ("udem1", "fast", 34), ("loop_empty", "exact", 46)],
)
def test_randomized_pictures_are_close_to_the_stock_simulators(
    settings, transform, blocks, map_name, fidelity, mean_db
):
    """Once both have the same light, colours and camera; the lamp's place depends on earlier frames, too."""
    world = settings.simulator.model_copy(
        update={"map_name": map_name, "domain_rand": True, "fidelity": fidelity}
    )
    stock, batched = StockSimulator(world), BatchedSimulator(world, 1, blocks, threads=1)
    stock.reset(seed=1)
    same, apart = [], []
    for _ in range(6):
        stock.reset()
        pose = stock.state[:3]
        theirs = transform(stock.reset(options={"pose": pose})[0])
        (own,), _ = batched.reset(options={"poses": [pose]})
        visible = [thing.visible for thing in stock._upstream.objects]
        same.append(psnr(seen_under(drawn_by_stock(stock), visible, batched), theirs))
        apart.append(psnr(own, theirs))
    stock.close()
    print(f"{map_name:30} {np.mean(same):6.2f} dB, worst {np.min(same):6.2f} dB, {np.mean(apart):6.2f} apart")
    assert np.mean(same) >= mean_db
    assert np.min(same) >= 28
    assert np.mean(apart) < 25


@pytest.mark.parametrize("randomized", ["domain_rand", "camera_rand"])
def test_random_draws_are_distributed_as_in_the_stock_simulator(settings, blocks, randomized):
    world = settings.simulator.model_copy(update={randomized: True})
    stock, batched = StockSimulator(world), BatchedSimulator(world, 4, blocks, threads=1)
    stock.camera_on = batched.camera_on = False
    theirs, ours = [], []
    for seed in range(100):
        stock.reset(seed=seed)
        theirs.append(drawn_by_stock(stock))
        batched.reset(seed=seed)
        conditions = batched._world.cameras.conditions
        ours += [{name: getattr(conditions, name)[i].copy() for name in theirs[0]} for i in range(4)]
    stock.close()
    for name in theirs[0]:
        for one, other in zip(columns(ours, name), columns(theirs, name), strict=True):
            assert_alike(one, other, name)


def columns(drawn: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([np.atleast_1d(draw[name]) for draw in drawn]).T


def assert_alike(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Equal constants, or a two-sample Kolmogorov-Smirnov test at about one in ten thousand."""
    if np.ptp(theirs) == 0:
        np.testing.assert_allclose(ours, theirs[0], rtol=1e-6, atol=1e-6, err_msg=name)
        return
    ours, theirs = np.sort(ours).round(6), np.sort(theirs).round(6)
    points = np.concatenate([ours, theirs])
    gaps = [np.searchsorted(sample, points, side="right") / len(sample) for sample in (ours, theirs)]
    limit = 2.2 * np.sqrt(1 / len(ours) + 1 / len(theirs))
    assert np.max(np.abs(gaps[0] - gaps[1])) < limit, name
