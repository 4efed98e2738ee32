"""Actions become the same wheel commands as in the original environments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.settings import ActionSettings
from ducklane.task.action import action_mapping

KINDS = ("wheels", "velocity_steering", "steering")
number = st.floats(-3, 3, width=32)


def wheels(kind: str, *action: float) -> list[float]:
    return action_mapping(ActionSettings(type=kind)).to_wheels(np.array(action)).tolist()


@given(left=number, right=number)
def test_wheel_commands_are_the_clipped_action(left: float, right: float) -> None:
    assert wheels("wheels", left, right) == pytest.approx(np.clip([left, right], -1, 1))


@given(velocity=st.floats(-1, 1), angle=st.floats(-1, 1))
def test_velocity_steering_matches_duckietown_env(velocity: float, angle: float) -> None:
    # DuckietownEnv: gain 1, trim 0, radius 0.0318 m, k 27, limit 1, wheel distance 0.102 m
    left = (velocity - 0.5 * angle * 0.102) / 0.0318 / 27
    right = (velocity + 0.5 * angle * 0.102) / 0.0318 / 27
    assert wheels("velocity_steering", velocity, angle) == pytest.approx(
        np.clip([left, right], -1, 1), abs=1e-6
    )


@given(heading=st.floats(-1, 1))
def test_steering_slows_the_inner_wheel(heading: float) -> None:
    left, right = wheels("steering", heading)
    assert max(left, right) == pytest.approx(1)
    assert left - right == pytest.approx(heading, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_actions_one_by_one(kind: str) -> None:
    mapping = action_mapping(ActionSettings(type=kind))
    actions = np.random.default_rng(0).uniform(-2, 2, (5, mapping.size)).astype(np.float32)
    assert np.array_equal(
        mapping.to_wheels(actions), np.stack([mapping.to_wheels(action) for action in actions])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_action_size_follows_the_settings(kind: str) -> None:
    assert action_mapping(ActionSettings(type=kind)).size == ActionSettings(type=kind).size
