"""The gate: the scores that a policy from the default run must reach, and those that are its goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ducklane.evaluation.scores.intervals import interval_over_drives
from ducklane.evaluation.scores.summary import Scores
from ducklane.settings import Settings


@dataclass(frozen=True)
class Line:
    """Scores that 20 episodes of 15 s have to reach, all of them survived."""

    distance_m: float
    """median metres along the lane, at least"""
    lateral_m: float
    """mean metres from the lane's centre, at most"""
    in_lane_share: float
    """mean share of the time in the lane, within 90 degrees of its direction, at least"""


MUST = Line(distance_m=6.0, lateral_m=0.05, in_lane_share=0.95)
GOAL = Line(distance_m=7.5, lateral_m=0.035, in_lane_share=0.99)

MAP_NAME, EPISODES, SECONDS, START_ANGLE_DEG = "loop_empty", 20, 15.0, 40.0
"""The gate's task: on another map, or with fewer, shorter or easier episodes, no line counts as reached."""

CAMERA = {"camera_width": 640, "camera_height": 480, "distortion": True}
"""The robot's own camera: through another, no line counts as reached either."""


def gate(settings: Settings, scores: Sequence[Scores]) -> dict[str, Any]:
    """Compare the scores of an evaluation with both lines.

    Args:
        settings: all of them.
        scores: one per episode.

    Returns:
        `must` and `goal`, whether each line is reached; `survived` and `episodes`, counts;
        `distance_m_median` with the bounds `distance_m_low` and `distance_m_high` of its 95 % interval,
        `lateral_m_mean` (None if never in a lane) and `in_lane_share` over the episodes.
    """
    distance = interval_over_drives([score.distance_m for score in scores])
    laterals = [score.lateral_mean_m for score in scores if score.lateral_mean_m is not None]
    results = {
        "survived": sum(score.survived for score in scores),
        "episodes": len(scores),
        "distance_m_median": distance["median"],
        "distance_m_low": distance["low"],
        "distance_m_high": distance["high"],
        "lateral_m_mean": fmean(laterals) if laterals else None,
        "in_lane_share": fmean(score.in_lane_share for score in scores),
    }
    counts = _is_the_task(settings)
    return {"must": counts and _reaches(MUST, results), "goal": counts and _reaches(GOAL, results), **results}


def _is_the_task(settings: Settings) -> bool:
    evaluate = settings.evaluate
    return (
        evaluate.map_name == MAP_NAME
        and evaluate.episodes >= EPISODES
        and evaluate.max_seconds >= SECONDS
        and evaluate.start_angle_deg >= START_ANGLE_DEG
        and all(getattr(settings.simulator, key) == value for key, value in CAMERA.items())
    )


def _reaches(line: Line, results: dict[str, Any]) -> bool:
    return (
        results["survived"] == results["episodes"]
        and results["lateral_m_mean"] is not None
        and results["distance_m_median"] >= line.distance_m
        and results["lateral_m_mean"] <= line.lateral_m
        and results["in_lane_share"] >= line.in_lane_share
    )


def verdict(results: dict[str, Any]) -> str:
    """The gate in one line of text."""
    reached = "goal reached" if results["goal"] else "passed" if results["must"] else "not passed"
    lateral = "-" if results["lateral_m_mean"] is None else f"{100 * results['lateral_m_mean']:.1f} cm"
    return (
        f"gate {reached}: {results['survived']} of {results['episodes']} survived, "
        f"{results['distance_m_median']:.2f} m, {lateral} off centre, {results['in_lane_share']:.1%} in lane"
    )
