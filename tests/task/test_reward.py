"""Driving pays; standing still, spinning and driving backwards do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.settings import RewardSettings
from ducklane.simulator.stock_reward import stock_reward
from ducklane.task.reward import lane_progress

SETTINGS = RewardSettings(
    type="lane_progress",
    progress_weight=2.0,
    lane_width_m=0.2,
    lateral_weight=2.0,
    crash_penalty=5.0,
    detour_margin_m=0.0,
)
distance = st.floats(-0.4, 0.4)
speed = st.floats(0.01, 0.6)


def paid(forward_speed: float, lane_dist: float, lane_angle: float, crashed: bool = False) -> float:
    components = lane_progress(
        SETTINGS, forward_speed=forward_speed, lane_dist=lane_dist, lane_angle=lane_angle, crashed=crashed
    )
    return float(sum(components.values()))


@given(speed=speed, dist=distance, angle=st.floats(-1.5, 1.5))
def test_driving_forward_beats_standing_and_driving_backward(speed: float, dist: float, angle: float) -> None:
    in_lane = abs(dist) < SETTINGS.lane_width_m
    forward, standing, backward = (paid(v, dist, angle) for v in (speed, 0.0, -speed))
    assert forward >= standing >= backward
    if in_lane:
        assert forward > standing > backward


@given(speed=speed, dist=distance)
def test_facing_against_the_lane_pays_nothing_for_progress(speed: float, dist: float) -> None:
    assert paid(speed, dist, math.pi) <= paid(0.0, dist, math.pi)


@given(speed=speed, near=st.floats(0, 0.4), more=st.floats(0.001, 0.4), side=st.sampled_from([-1, 1]))
def test_the_centre_pays_most(speed: float, near: float, more: float, side: int) -> None:
    assert paid(speed, side * near, 0.0) > paid(speed, side * (near + more), 0.0)


def test_full_speed_on_the_centre_pays_the_weight() -> None:
    assert paid(0.6, 0.0, 0.0) == pytest.approx(2.0)


def test_nothing_is_earned_outside_a_lane() -> None:
    assert paid(0.6, math.nan, math.nan) == pytest.approx(-0.4)


def test_a_crash_costs_its_penalty_once() -> None:
    assert paid(0.3, 0.1, 0.0, crashed=True) == pytest.approx(paid(0.3, 0.1, 0.0) - 5)


def test_a_batch_equals_its_robots_one_by_one() -> None:
    rng = np.random.default_rng(0)
    batch = {
        "forward_speed": rng.uniform(-0.6, 0.6, 8),
        "lane_dist": np.where(rng.random(8) < 0.3, np.nan, rng.uniform(-0.3, 0.3, 8)),
        "lane_angle": rng.uniform(-3, 3, 8),
        "crashed": rng.random(8) < 0.5,
    }
    together = lane_progress(SETTINGS, **batch)
    for robot in range(8):
        alone = lane_progress(SETTINGS, **{name: values[robot] for name, values in batch.items()})
        assert {name: values[robot] for name, values in together.items()} == {
            name: float(value) for name, value in alone.items()
        }


def test_stock_pays_nothing_at_a_timeout_and_minus_1000_at_a_crash() -> None:
    state = {"lane_dist": 0.02, "lane_dot": 1.0, "proximity": -0.1}
    assert sum(stock_reward(**state, crashed=False, truncated=True).values()) == 0
    assert sum(stock_reward(**state, crashed=True, truncated=False).values()) == -1000
    assert sum(stock_reward(**state, crashed=False, truncated=False).values()) == pytest.approx(1.2 - 0.2 - 4)
