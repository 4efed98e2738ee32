"""Scores in words and as tables: of all seeds, of the best one, and of what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ducklane.reporting.results import CONTROLLER, LONG, Scored, Values, controllers_values, values_of
from ducklane.tracking.registry import Champion

NOTHING = "–"  # noqa: RUF001 - a dash where there is no number

BASELINES = {
    CONTROLLER: "a controller that reads the true lane position",
    "straight": "drives straight ahead",
    "stand_still": "does not move",
    "spin": "turns on the spot",
    "random": "moves its wheels at random",
}
"""Baseline -> what it does."""


class Score(NamedTuple):
    """How a score is shown."""

    name: str
    """in `seeds.csv`, without what the scores of the long drives begin with"""
    label: str
    factor: float
    form: str

    def shown(self, value: float | None) -> str:
        """The value in the unit of the label."""
        if value is None:
            return NOTHING
        return self.form.format(self.factor * value).replace(".0%", "%")


SCORES = (
    Score("survived_share", "survived", 100, "{:.1f}%"),
    Score("distance_m", "distance (m)", 1, "{:z.2f}"),
    Score("lateral_mean_m", "off centre (cm)", 100, "{:.1f}"),
    Score("in_lane_share", "in lane", 100, "{:.1f}%"),
)


class Cell(NamedTuple):
    """A score in a table."""

    label: str
    value: str
    interval: str = ""
    """its bounds; empty without any"""


@dataclass(frozen=True)
class Row:
    """A driver in a table."""

    driver: str
    about: str
    cells: Sequence[Cell]
    trained: bool = False
    """whether it is a policy of this experiment"""


def fixed_starts(
    scored: Scored, champion: Champion | None = None, baselines: Mapping[str, Any] | None = None
) -> list[Row]:
    """The drives from the fixed starts in gym-duckietown, a row for each driver.

    Args:
        scored: the trained model.
        champion: of the registry, if it is to be compared with.
        baselines: content of the baselines' scores.json, if they are to be compared with.
    """
    compared = [
        Row(name.replace("_", " "), BASELINES.get(name, ""), _cells(values_of(summary)))
        for name, summary in (baselines or {}).items()
    ]
    return [*_trained(scored), *_champions(scored, champion), *compared]


def long_drives(scored: Scored, champion: Champion | None = None) -> list[Row]:
    """The long drives in the batched simulator, a row for each driver; none where there were none."""
    if not scored.laps:
        return []
    values, bounds = controllers_values(scored), _bounds(scored.laps.get(CONTROLLER))
    controller = Row(CONTROLLER, BASELINES[CONTROLLER], _cells(values, LONG, bounds))
    return [*_trained(scored, LONG), *_champions(scored, champion, LONG), controller]


def each_seed(scored: Scored) -> list[Row]:
    """The drives from the fixed starts, a row for each seed."""
    return [
        Row(f"seed {seed.seed}", "the best one" if seed.best else "", _cells(seed.values), seed.best)
        for seed in scored.seeds
    ]


def best_model(scored: Scored) -> Sequence[Cell]:
    """The best model's scores from the fixed starts."""
    return _cells(scored.best.values)


def _trained(scored: Scored, begin: str = "") -> Iterator[Row]:
    best, over = scored.best, scored.scores.get("seeds", {})
    count = len(scored.seeds)
    if count > 1:
        cells = [_over_seeds(score, over.get(begin + score.name, {})) for score in SCORES]
        yield Row(f"all {count} seeds", "median over the seeds", cells, True)
    about = "the model in the film and in policy.onnx" if count > 1 else "the trained policy"
    bounds = _bounds(scored.laps.get("trained")) if begin else {}
    name = f"best seed, {best.seed}" if count > 1 else f"seed {best.seed}"
    yield Row(name, about, _cells(best.values, begin, bounds), True)


def _over_seeds(score: Score, found: Mapping[str, float | None]) -> Cell:
    return Cell(score.label, score.shown(found.get("median")), _interval(score, found))


def _interval(score: Score, found: Mapping[str, float | None]) -> str:
    """The bounds in words; empty where they say no more than the value does."""
    low, high = found.get("low"), found.get("high")
    if low is None or high is None or score.shown(low) == score.shown(high):
        return ""
    return f"{score.shown(low)} to {score.shown(high)}"


def _bounds(laps: Mapping[str, Any] | None) -> dict[str, Mapping[str, float | None]]:
    """The intervals over the long drives of one driver, by the name of the score."""
    return {"distance_m": laps["official"]["driven_lanedir_consec"]} if laps else {}


def _champions(scored: Scored, champion: Champion | None, begin: str = "") -> Iterator[Row]:
    if champion and is_comparable(scored, champion):
        values = values_of(champion.scores)
        yield Row(
            f"champion: version {champion.version}",
            "the best model in the registry",
            _cells(values, begin),
        )


def is_comparable(scored: Scored, champion: Champion) -> bool:
    """Whether a champion is another model, with scores from the same task."""
    ours, others = scored.scores, champion.scores
    if not others or others.get("model_sha256") == ours.get("model_sha256"):
        return False
    if "task" in ours or "task" in others:
        return ours.get("task") == others.get("task")
    return bool(ours["episodes"] == others["episodes"])


def _cells(
    values: Values, begin: str = "", bounds: Mapping[str, Mapping[str, float | None]] | None = None
) -> list[Cell]:
    bounds = bounds or {}
    return [
        Cell(
            score.label,
            score.shown(values.get(begin + score.name)),
            _interval(score, bounds.get(score.name, {})),
        )
        for score in SCORES
    ]
