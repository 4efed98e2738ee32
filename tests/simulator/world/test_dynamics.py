import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.simulator.interface import STEP_SECONDS
from ducklane.simulator.world.dynamics import (
    COMMANDS_KEPT,
    NO_COMMAND,
    command_lags,
    pose_after,
    speeds_after,
    wrapped,
)

STEPS = 4000


@pytest.fixture(scope="module")
def upstream():
    """duckietown_world's dynamics, adapted to today's numpy."""
    from ducklane.simulator.stock.adaptations import simulator_class

    simulator_class()
    from duckietown_world.world_duckietown import dynamics_delay, pwm_dynamics

    return dynamics_delay, pwm_dynamics


def test_commands_act_with_the_same_delay_as_upstream(upstream):
    class Recorder:
        def __init__(self) -> None:
            self.applied = []

        def integrate(self, dt, command):
            self.applied.append(command)
            return self

    delays, _ = upstream
    recorder = Recorder()
    state = delays.DelayedDynamics(recorder, 0.15, 0, None)
    for step in range(1, STEPS + 1):
        state = state.integrate(STEP_SECONDS, step)
    lags = command_lags(STEPS)
    ours = [None if lag == NO_COMMAND else step - lag for step, lag in enumerate(lags)]
    assert ours[1:] == recorder.applied
    assert lags.max() < COMMANDS_KEPT
    assert set(lags[5:].tolist()) == {3, 4}


def test_delays_of_a_short_episode_match_the_start_of_a_long_one():
    assert np.array_equal(command_lags(50), command_lags(STEPS)[:51])


@pytest.mark.parametrize("trim", [0.0, 0.05, -0.03])
def test_speeds_and_poses_match_upstream(upstream, trim):
    _, pwm = upstream
    import geometry

    state = pwm.get_DB18_uncalibrated(delay=0, trim=trim).initialize(
        c0=(geometry.SE2_from_translation_angle([0.0, 0.0], 0.4), geometry.se2_from_linear_angular([0, 0], 0))
    )
    x, z, angle, forward, yaw = 0.0, 0.0, 0.4, 0.0, 0.0
    rng = np.random.default_rng(0)
    for step in range(400):
        left, right = rng.uniform(-1, 1, 2) if step % 100 > 20 else (0.5, 0.5)
        state = state.integrate(STEP_SECONDS, pwm.PWMCommands(left, right))
        forward, yaw = speeds_after(forward, yaw, left, right, trim)
        x, z, angle = pose_after(x, z, angle, forward, yaw)
        (their_x, their_y), their_angle = geometry.translation_angle_from_SE2(state.q0)
        assert (x, -z) == pytest.approx((their_x, their_y), abs=1e-12)
        assert math.remainder(angle - their_angle, 2 * math.pi) == pytest.approx(0, abs=1e-12)
        assert (forward, yaw) == pytest.approx((state.v0[0, 2], state.v0[1, 0]), abs=1e-12)


def test_a_tiny_turn_counts_as_straight():
    assert pose_after(0.0, 0.0, 0.5, 0.3, 2.9e-7)[2] == 0.5
    assert pose_after(0.0, 0.0, 0.5, 0.3, 3.1e-7)[2] > 0.5


@given(st.floats(-1000, 1000))
def test_wrapped_angles_keep_their_direction(angle):
    assert abs(wrapped(angle)) <= math.pi
    assert math.remainder(wrapped(angle) - angle, 2 * math.pi) == pytest.approx(0, abs=1e-9)
