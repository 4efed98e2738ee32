"""One episode's scores, and their medians over episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Scores:
    """One episode's scores.

    The fields from `driven_lanedir_consec` to `driven_lanedir` are the official ones, under the official
    names with `_` for `-` and in the official units; the others, and the properties, are easier to read.
    """

    driven_lanedir_consec: float
    """metres along the lane, on each tile only in the lane first used there; higher is better; ranked 1st"""
    survival_time: float
    """seconds until the episode ended; higher is better; ranked 2nd"""
    deviation_center_line: float
    """time integral of the distance from the lane's centre while in a lane, in TILES times seconds (the
    official rules measure it in the tile's frame); lower is better, ranked 3rd"""
    in_drivable_lane: float
    """seconds WITHOUT a lane under the robot within 90 degrees of its heading (the official name says the
    opposite); lower is better, ranked 4th"""
    deviation_heading: float
    """time integral of the angle to the lane while in a lane, radians times seconds; lower is better"""
    driven_any: float
    """metres driven, anywhere and in any direction"""
    driven_lanedir: float
    """metres along the lane, in whichever lane fits best at each step; higher is better"""
    survived: bool
    """whether the episode ended by its time limit rather than by leaving the road or colliding"""
    lateral_mean_m: float | None
    """metres from the lane's centre on average over the time in a lane; None without any; lower is better"""
    laps: float | None
    """`distance_m` over the length of the loop that the lane first used belongs to; 0 without any lane;
    None where that lane branches or ends, so that no single loop exists; higher is better"""

    @property
    def distance_m(self) -> float:
        """Metres driven along the lane, `driven_lanedir_consec`; higher is better."""
        return self.driven_lanedir_consec

    @property
    def survival_s(self) -> float:
        """Seconds driven, `survival_time`; higher is better."""
        return self.survival_time

    @property
    def speed_mps(self) -> float:
        """Metres per second along the lane over the whole episode; higher is better."""
        return self.distance_m / self.survival_s

    @property
    def in_lane_share(self) -> float:
        """Share of the time in a lane and heading within 90 degrees of it, 0 to 1; higher is better."""
        return 1 - self.in_drivable_lane / self.survival_time

    def official(self) -> dict[str, float]:
        """The official scores under their official names."""
        return {
            "driven_lanedir_consec": self.driven_lanedir_consec,
            "survival_time": self.survival_time,
            "deviation-center-line": self.deviation_center_line,
            "in-drivable-lane": self.in_drivable_lane,
            "deviation-heading": self.deviation_heading,
            "driven_any": self.driven_any,
            "driven_lanedir": self.driven_lanedir,
        }

    def readable(self) -> dict[str, float | None]:
        """The scores in metres, seconds, shares and laps."""
        return {
            "distance_m": self.distance_m,
            "survival_s": self.survival_s,
            "speed_mps": self.speed_mps,
            "lateral_mean_m": self.lateral_mean_m,
            "in_lane_share": self.in_lane_share,
            "laps": self.laps,
        }


def summarize(scores: Sequence[Scores]) -> dict[str, Any]:
    """The medians over episodes by which AIDO ranks, ready for JSON.

    Returns:
        `episodes` and `survived`, their counts (survived: higher is better); `official` and `readable`, the
        median of each of `Scores.official()` and `Scores.readable()`, with the units and directions given
        there. `lateral_mean_m` is over the episodes that were ever in a lane, None if none was; `laps` is
        None as soon as one episode has none. AIDO ranks by `driven_lanedir_consec`, then `survival_time`,
        `deviation-center-line` and `in-drivable-lane`.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to summarize")
    official = [score.official() for score in scores]
    readable = {name: [score.readable()[name] for score in scores] for name in scores[0].readable()}
    readable["lateral_mean_m"] = [value for value in readable["lateral_mean_m"] if value is not None]
    return {
        "episodes": len(scores),
        "survived": sum(score.survived for score in scores),
        "official": {name: median(score[name] for score in official) for name in official[0]},
        "readable": {name: _median_if_all(values) for name, values in readable.items()},
    }


def _median_if_all(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present and len(present) == len(values) else None
