"""How the lane turns ahead: both simulators agree, and are right."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ducklane.settings import Settings
from ducklane.simulator.single import SingleSimulator
from ducklane.simulator.stock.simulator import StockSimulator

POINTS, STEP_M = 4, 0.15


@pytest.mark.parametrize("map_name", ["loop_empty", "udem1", "zigzag_dists"])
def test_both_simulators_agree_on_the_lane_ahead(changed: Callable[..., Settings], map_name: str) -> None:
    world = changed(simulator={"map_name": map_name, "full_transparency": False}).simulator
    stock = StockSimulator(world.model_copy(update={"backend": "gym-duckietown"}))
    batched = SingleSimulator(world)
    stock.camera_on = False
    turns = []
    for seed in range(25):
        stock.reset(seed=seed)
        state = stock.state
        batched.reset(options={"pose": (state.x, state.z, state.angle)})
        ahead = stock.lane_ahead(POINTS, STEP_M)
        np.testing.assert_allclose(batched.lane_ahead(POINTS, STEP_M), ahead, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(ahead, axis=1), 1, atol=1e-9)
        turns.append(ahead[-1, 1])
    assert max(turns) > 0.5
    assert min(turns) < -0.5
    stock.close()
    batched.close()


def test_right_turns_are_positive(changed: Callable[..., Settings]) -> None:
    batched = SingleSimulator(changed(simulator={"map_name": "loop_empty"}).simulator)
    bends = {"straight": [], "left": [], "right": []}
    for i, j, kind in batched.drivable_tiles:
        for curve in batched.lane_curves(i, j):
            heading = curve[1] - curve[0]
            turn = np.cross([*heading, 0], [*(curve[3] - curve[2]), 0])[2]
            side = "straight" if kind == "straight" else "right" if turn > 0 else "left"
            angle = math.atan2(-heading[1], heading[0])
            if batched.valid_pose(*curve[0], angle):
                batched.reset(options={"pose": (*curve[0], angle)})
                bends[side].append(batched.lane_ahead(1, 0.1)[0])
    assert min(len(found) for found in bends.values()) >= 3
    np.testing.assert_allclose(bends["straight"], [[1, 0]] * len(bends["straight"]), atol=0.01)
    assert max(sine for _, sine in bends["left"]) < 0 < min(sine for _, sine in bends["right"])
    batched.close()
