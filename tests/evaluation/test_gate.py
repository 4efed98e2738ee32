"""A policy passes the gate if it drives well enough on the gate's own task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ducklane.evaluation.gate import GOAL, MUST, Line, gate, verdict
from ducklane.evaluation.scores.summary import Scores
from ducklane.settings import Settings


def scores(line: Line, episodes: int = 20) -> list[Scores]:
    """Episodes that reach the line exactly."""
    episode = Scores(
        driven_lanedir_consec=line.distance_m,
        survival_time=15.0,
        deviation_center_line=0.5,
        in_drivable_lane=(1 - line.in_lane_share) * 15.0,
        deviation_heading=1.0,
        driven_any=9.0,
        driven_lanedir=8.0,
        survived=True,
        lateral_mean_m=line.lateral_m,
        laps=1.0,
    )
    return [episode] * episodes


@pytest.fixture
def task(settings: Any) -> Any:
    return settings


def test_the_shipped_evaluation_is_the_gates_task(task: Any) -> None:
    found = gate(task, scores(Line(9.0, 0.01, 1.0)))
    assert found == {
        "must": True,
        "goal": True,
        "survived": 20,
        "episodes": 20,
        "distance_m_median": 9.0,
        "distance_m_low": 9.0,
        "distance_m_high": 9.0,
        "lateral_m_mean": pytest.approx(0.01),
        "in_lane_share": 1.0,
    }


@pytest.mark.parametrize(
    "worse", [{"distance_m": 5.99}, {"lateral_m": 0.0501}, {"in_lane_share": 0.949}], ids=str
)
def test_every_figure_counts(task: Any, worse: dict[str, float]) -> None:
    within = replace(MUST, lateral_m=MUST.lateral_m - 1e-9, in_lane_share=MUST.in_lane_share + 1e-9)
    assert gate(task, scores(within))["must"]
    found = gate(task, scores(replace(within, **worse)))
    assert not found["must"]
    assert not found["goal"]


def test_one_crash_fails_the_gate(task: Any) -> None:
    driven = scores(Line(9.0, 0.01, 1.0))
    driven[7] = replace(driven[7], survived=False)
    found = gate(task, driven)
    assert (found["must"], found["survived"]) == (False, 19)


def test_the_goal_is_stricter_than_the_line(task: Any) -> None:
    between = Line(GOAL.distance_m - 0.1, GOAL.lateral_m, GOAL.in_lane_share)
    found = gate(task, scores(between))
    assert (found["must"], found["goal"]) == (True, False)


@pytest.mark.parametrize(
    "easier",
    [
        {"evaluate": {"map_name": "small_loop"}},
        {"evaluate": {"episodes": 19}},
        {"evaluate": {"max_seconds": 14.0}},
        {"evaluate": {"start_angle_deg": 20.0}},
        {"simulator": {"distortion": False}},
        {"simulator": {"distortion": False, "camera_width": 320, "camera_height": 240}},
    ],
    ids=str,
)
def test_another_task_does_not_pass_the_gate(
    changed: Callable[..., Settings], easier: dict[str, Any]
) -> None:
    assert not gate(changed(**easier), scores(Line(9.0, 0.01, 1.0)))["must"]


def test_a_policy_that_is_never_in_a_lane_fails(task: Any) -> None:
    lost = [replace(score, lateral_mean_m=None, in_drivable_lane=15.0) for score in scores(MUST)]
    found = gate(task, lost)
    assert found["lateral_m_mean"] is None
    assert not found["must"]
    assert verdict(found) == "gate not passed: 20 of 20 survived, 6.00 m, - off centre, 0.0% in lane"
