"""Which frames a policy is shown, and when the robot stands still."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.errors import UserError
from ducklane.export.policy_file import PolicyFile
from ducklane.robot.driver import STOP_AFTER_S, Driver, FrameHistory


def shown(times_s: list[float], size: int = 3, spacing_s: float = 1 / 30) -> list[float]:
    """Times of the frames in the stack after frames at these times have come."""
    history = FrameHistory(size, spacing_s)
    for time_s in times_s:
        below = history.below(time_s)
        history.add(time_s, np.array(time_s))
    filled = [np.array(times_s[-1])] * (size - 1) if below is None else below
    return [*map(float, filled), times_s[-1]]


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [
        (30, [8 / 30, 9 / 30, 10 / 30]),  # as in training
        (60, [6 / 60, 8 / 60, 10 / 60]),
        (15, [9 / 15, 9 / 15, 10 / 15]),
        (10, [9 / 10, 9 / 10, 10 / 10]),
    ],
)
def test_frames_are_chosen_by_their_age(rate_hz: int, expected: list[float]) -> None:
    assert shown([number / rate_hz for number in range(11)]) == expected


def test_a_missed_frame_changes_only_its_own_place() -> None:
    assert shown([0.0, 1 / 30, 2 / 30, 4 / 30]) == [2 / 30, 2 / 30, 4 / 30]


@given(st.lists(st.floats(-0.008, 0.008), min_size=12, max_size=12))
def test_jitter_of_up_to_a_quarter_of_the_spacing_changes_nothing(jitter: list[float]) -> None:
    times = [number / 30 + late for number, late in enumerate(jitter)]
    assert shown(times) == times[-3:]


def test_the_first_frame_fills_the_stack() -> None:
    assert shown([0.5]) == [0.5] * 3
    assert shown([0.5, 0.533]) == [0.5, 0.5, 0.533]


@pytest.mark.parametrize("jump_s", [-0.2, STOP_AFTER_S + 0.01, -3.0])
def test_after_a_gap_the_stack_begins_anew(jump_s: float) -> None:
    assert shown([1.0, 1.033, 1.066, 1.066 + jump_s]) == [1.066 + jump_s] * 3


def picture(red: int) -> np.ndarray:
    return np.full((4, 6, 3), (red, 0, 0), np.uint8)


def test_it_drives_on_for_a_while_without_a_new_frame(telling: PolicyFile) -> None:
    driver = Driver(telling)
    driver.see(7.0, picture(255))
    assert driver.command(100.0) == (0, 1)
    assert driver.command(100.0 + STOP_AFTER_S) == (0, 1)
    driver.see(7.0, picture(255))  # the same frame again
    assert driver.command(100.1 + STOP_AFTER_S) is None
    driver.see(7.4, picture(51))
    assert driver.command(100.2 + STOP_AFTER_S) == (0, pytest.approx(0.2))


def test_before_the_first_frame_it_stands(telling: PolicyFile) -> None:
    driver = Driver(telling)
    assert driver.command(0.0) is None
    driver.see(0.0, picture(255))
    driver.start()
    assert driver.command(0.0) is None


def test_frames_of_another_size_are_refused(telling: PolicyFile) -> None:
    with pytest.raises(UserError, match="6 x 3 pixels, but the policy takes 6 x 4"):
        Driver(telling).see(0.0, picture(0)[:3])
