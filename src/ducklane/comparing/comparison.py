"""Two recipes side by side: what differs between them, and every score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ducklane.comparing.scored import SIMULATORS, Scored, check_task, differing, lanes, load
from ducklane.comparing.statistics import Difference, Summary, difference, seeds_needed, visible
from ducklane.project.recipe import is_of_recipe
from ducklane.project.stages import TRAIN, stages

MORE_SEEDS = 8
"""Seeds of each recipe for which it is said what they would show; where there are as many, twice those."""

NOT_SHOWN = "no difference shown"


@dataclass(frozen=True)
class Score:
    """A score that is compared."""

    column: str
    name: str
    unit: str
    per_unit: float
    """what one of the file's is in `unit`"""
    digits: int
    of_drives: Summary
    """a seed's score from its drives'"""
    higher_is_better: bool = True

    def text(self, value: float | None, sign: str = "", digits: int | None = None) -> str:
        """A value of the file's in `unit`; "-" if it is not known.

        Args:
            value: None or NaN if not known.
            sign: "+" to write it always.
            digits: after the point; those of the score by default.
        """
        if value is None or math.isnan(value):
            return "-"
        return f"{value * self.per_unit:{sign}z.{self.digits if digits is None else digits}f}"


SCORES = (
    Score("survived", "survived", "%", 100, 1, np.mean),
    Score("distance_m", "distance", "m", 1, 2, np.median),
    Score("lateral_mean_m", "off centre", "cm", 100, 2, np.median, higher_is_better=False),
    Score("in_lane_share", "in lane", "%", 100, 1, np.mean),
)


@dataclass(frozen=True)
class Compared:
    """One score of both recipes in one simulator."""

    simulator: str
    score: Score
    found: Difference

    @property
    def probability_better(self) -> float:
        """Share of the pairs of seeds in which B's is better; ties count half."""
        larger = self.found.probability_larger
        return larger if self.score.higher_is_better else 1 - larger

    @property
    def verdict(self) -> str:
        """In words."""
        if self.found.low is None:
            return "unknown"
        if self.found.alike:
            return "the same"
        if not self.found.shown:
            return NOT_SHOWN
        return "better" if (self.found.difference > 0) == self.score.higher_is_better else "worse"


@dataclass(frozen=True)
class Comparison:
    """Recipe B against recipe A."""

    a: Scored
    b: Scored
    scores: Sequence[Compared]

    @property
    def settings(self) -> dict[str, tuple[object, object]]:
        """The settings of the recipes that differ: `section.key` -> A's and B's value."""
        train = stages()[TRAIN]
        return {
            key: values
            for key, values in differing(self.a.settings, self.b.settings)
            if is_of_recipe(key, train)
        }

    @property
    def fewest_seeds(self) -> int:
        """The smaller number of seeds."""
        return min(len(self.a.seeds), len(self.b.seeds))

    @property
    def more_seeds(self) -> int:
        """The seeds of each recipe for which it is said what they would show."""
        return MORE_SEEDS if self.fewest_seeds < MORE_SEEDS else 2 * self.fewest_seeds

    @property
    def models_in_both(self) -> int:
        """Models that count for A and for B."""
        return len({seed.model for seed in self.a.seeds} & {seed.model for seed in self.b.seeds})

    def as_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON: metres, and shares from 0 to 1."""
        return {
            "name": self.b.name,
            **_about(self.b),
            "settings": {key: list(values) for key, values in self.settings.items()},
            "same_code": self.a.code == self.b.code,
            "scores": {
                simulator: {
                    each.score.column: self._figures(each)
                    for each in self.scores
                    if each.simulator == simulator
                }
                for simulator in SIMULATORS
            },
        }

    def _figures(self, compared: Compared) -> dict[str, Any]:
        found = compared.found
        return {
            "a": {"seeds": [_known(score) for score in found.seeds_a], "mean": _known(found.mean_a)},
            "b": {"seeds": [_known(score) for score in found.seeds_b], "mean": _known(found.mean_b)},
            "difference": _known(found.difference),
            "low": found.low,
            "high": found.high,
            "p_better": compared.probability_better if found.low is not None else None,
            "verdict": compared.verdict,
            "seeds_that_show_this_difference": seeds_needed(found),
            "more_seeds": self.more_seeds,
            "difference_that_more_seeds_show": _known(visible(found, self.more_seeds)),
        }


def compare(names: Sequence[str]) -> list[Comparison]:
    """The second and each further of these, against the first.

    Args:
        names: as for `scored.load`, at least two.

    Raises:
        ComparisonError: one of them has no scores, or they were not scored on the same task.
    """
    a, *others = [load(name) for name in names]
    for b in others:
        check_task(a, b)
    return [Comparison(a, b, list(_scores(a, b))) for b in others]


def as_dict(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All figures, ready for JSON."""
    a = comparisons[0].a
    return {
        "name": a.name,
        **_about(a),
        "task": dict(a.task),
        "comparisons": [comparison.as_dict() for comparison in comparisons],
    }


def _about(scored: Scored) -> dict[str, Any]:
    return {
        "recipe": scored.recipe,
        "code": scored.code,
        "commit": scored.commit,
        "seeds": [{"seed": seed.seed, "model_sha256": seed.model} for seed in scored.seeds],
    }


def _scores(a: Scored, b: Scored) -> list[Compared]:
    compared = []
    for simulator in SIMULATORS:
        of_a, of_b = ([seed.drives[simulator] for seed in scored.seeds] for scored in (a, b))
        strata = lanes([*of_a, *of_b])
        for score in SCORES:
            drives_a, drives_b = (
                np.stack([drives.scores[score.column] for drives in of]) for of in (of_a, of_b)
            )
            found = difference(drives_a, drives_b, strata, score.of_drives)
            if score.unit == "%" and found.low is not None and found.high is not None:
                # shares differ by at most 1
                found = replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))
            compared.append(Compared(simulator, score, found))
    return compared


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
