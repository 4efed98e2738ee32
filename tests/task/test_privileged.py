"""What only training may know, as numbers for a network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ducklane.task.privileged import AHEAD, STATE_SIZE, privileged_state


@given(
    dist=st.floats(-0.3, 0.3) | st.just(np.nan),
    detour=st.floats(-0.1, 0.1),
    angle=st.floats(-np.pi, np.pi),
    speed=st.floats(-0.6, 0.6),
    yaw_rate=st.floats(-8, 8),
)
def test_the_state_is_finite_and_holds_the_lane_position(
    dist: float, detour: float, angle: float, speed: float, yaw_rate: float
) -> None:
    outside = np.isnan(dist)
    state = SimpleNamespace(
        lane_dist=np.array([dist]),
        lane_angle=np.array([np.nan if outside else angle]),
        forward_speed=np.array([speed]),
        yaw_rate=np.array([yaw_rate]),
    )
    known = privileged_state(state, np.full((1, AHEAD, 2), 0.5), np.array([detour]))
    assert known.shape == (1, STATE_SIZE)
    assert known.dtype == np.float32
    assert np.isfinite(known).all()
    assert np.abs(known).max() <= 4
    assert known[0, 0] == outside
    expected = [0, 0, 0] if outside else [(dist - detour) / 0.11, np.sin(angle), np.cos(angle)]
    np.testing.assert_allclose(known[0, 1:4], expected, atol=1e-6)
    np.testing.assert_allclose(known[0, 4:6], [speed / 0.6, yaw_rate / 2], atol=1e-6)


def test_robots_keep_their_order() -> None:
    n = 5
    state = SimpleNamespace(
        lane_dist=np.linspace(-0.1, 0.1, n),
        lane_angle=np.zeros(n),
        forward_speed=np.linspace(0, 0.6, n),
        yaw_rate=np.zeros(n),
    )
    ahead = np.arange(n * AHEAD * 2).reshape(n, AHEAD, 2) / 100
    known = privileged_state(state, ahead)
    assert (np.diff(known[:, 1]) > 0).all()
    np.testing.assert_allclose(known[:, 6:], ahead.reshape(n, -1), rtol=1e-6)
