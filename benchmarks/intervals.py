"""How often the intervals of `ducklane compare`, and those over a recipe's seeds, hold the truth.

`make bench-coverage` compares recipes whose true difference is known, many times, and writes
benchmarks/results/coverage.json and coverage.md.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from reports import machine, write_report
from scipy.stats import norm, t, ttest_ind

from ducklane.comparing.statistics import Difference, interval, resampled_differences
from ducklane.evaluation.scores.intervals import CONFIDENCE, interval_over_drives, interval_over_seeds

RESULTS = Path(__file__).parent / "results"
Floats = NDArray[np.float64]

STARTS = 20
LANES = [np.arange(10), np.arange(10, 20)]
SEEDS = ((3, 3), (5, 5), (8, 8), (3, 8))
"""Of recipe A and of B."""

COUNTS = (3, 5, 8)
"""Seeds of one recipe."""

DISTANCE_M = 8.0
SPREAD_M = 0.2
"""Standard deviation between seeds."""

OUTER_LANE_M, START_M, DRIVE_M = 0.15, 0.1, 0.05
"""Of a drive: what the outer lane adds and the inner one takes; the standard deviations of what all drives
from a start share, and of what is left."""

Rng = np.random.Generator
Recipe = Callable[[Rng, int, Floats], Floats]
"""(generator, number of seeds, what each start adds in metres) -> (seeds, STARTS) metres."""


def normal(rng: Rng, seeds: int, starts: Floats, spread: float = SPREAD_M) -> Floats:
    """Seeds spread normally."""
    return _driven(rng, rng.normal(DISTANCE_M, spread, seeds), starts)


def skewed(rng: Rng, seeds: int, starts: Floats) -> Floats:
    """Seeds that mostly drive far, and some less far."""
    return _driven(rng, DISTANCE_M + SPREAD_M - rng.exponential(SPREAD_M, seeds), starts)


def crash_prone(rng: Rng, seeds: int, starts: Floats) -> Floats:
    """One seed in five crashes in three drives of five; the others in one of fifty."""
    driven = normal(rng, seeds, starts, SPREAD_M / 2)
    often = np.where(rng.random(seeds) < 0.2, 0.6, 0.02)
    crashed = rng.random(driven.shape) < often[:, None]
    return np.where(crashed, driven * rng.random(driven.shape), driven)


def steady(rng: Rng, seeds: int, starts: Floats) -> Floats:
    """Seeds with a tenth of the usual spread."""
    return normal(rng, seeds, starts, SPREAD_M / 10)


def uneven(rng: Rng, seeds: int, starts: Floats) -> Floats:
    """Seeds with three times the usual spread."""
    return normal(rng, seeds, starts, 3 * SPREAD_M)


def _driven(rng: Rng, means: Floats, starts: Floats) -> Floats:
    return means[:, None] + starts + rng.normal(0, DRIVE_M, (len(means), STARTS))


def _starts(rng: Rng) -> Floats:
    lane = np.where(np.arange(STARTS) < STARTS / 2, OUTER_LANE_M, -OUTER_LANE_M)
    return lane + rng.normal(0, START_M, STARTS)


class World(NamedTuple):
    """Two recipes."""

    name: str
    a: Recipe
    b: Recipe
    shift_m: float = 0.0
    """what B drives farther than its recipe says"""


WORLDS = (
    World("no difference, normal", normal, normal),
    World("no difference, skewed", skewed, skewed),
    World("no difference, both crash-prone", crash_prone, crash_prone),
    World("no difference, A steady, B uneven", steady, uneven),
    World("0.5 m less, normal", normal, normal, -0.5),
    World("B alone crash-prone", normal, crash_prone),
)

METHODS = ("ours", "percentile", "expanded percentile", "Welch's t")


def measure(world: World, seeds: tuple[int, int], rounds: int) -> dict[str, Any]:
    """How often each interval holds the true difference, and how often it leaves out zero."""
    rng = np.random.default_rng(1)
    truth = world.shift_m + _mean(world.b) - _mean(world.a) if world.a is not world.b else world.shift_m
    if world.name.startswith("no difference"):
        truth = 0.0
    held, shown = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0)
    widths: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(rounds):
        starts = _starts(rng)
        a, b = (recipe(rng, count, starts) for recipe, count in zip((world.a, world.b), seeds, strict=True))
        for method, (low, high) in _intervals(a, b + world.shift_m).items():
            held[method] += bool(low <= truth <= high)
            shown[method] += not low <= 0 <= high
            widths[method].append(high - low)
    return {
        "world": world.name,
        "seeds": seeds,
        "difference_m": truth,
        "methods": {
            method: {
                "holds_the_truth": held[method] / rounds,
                "shows_a_difference": shown[method] / rounds,
                "median_width_m": float(np.median(widths[method])),
            }
            for method in METHODS
        },
    }


ALONE = (("normal", normal), ("skewed", skewed), ("crash-prone", crash_prone))
"""Recipes whose median over seeds is looked at: name, recipe."""

OF_MEDIAN = ("ours", "percentile")


def measure_alone(named: tuple[str, Recipe], seeds: int, rounds: int) -> dict[str, Any]:
    """How often each interval of a recipe's median over its seeds holds that of very many seeds."""
    (name, recipe), rng = named, np.random.default_rng(1)
    no_starts = np.zeros(STARTS)
    truth = float(np.median(np.median(recipe(rng, 100_000, no_starts), axis=1)))
    held: dict[str, list[bool]] = {method: [] for method in OF_MEDIAN}
    widths: dict[str, list[float]] = {method: [] for method in OF_MEDIAN}
    for _ in range(rounds):
        scores = np.median(recipe(rng, seeds, no_starts), axis=1).tolist()
        found: list[Mapping[str, float | None]]
        found = [interval_over_seeds(scores), interval_over_drives(scores)]
        for method, bounds in zip(OF_MEDIAN, found, strict=True):
            low, high = (float(bounds[part] or 0.0) for part in ("low", "high"))
            held[method].append(low <= truth <= high)
            widths[method].append(high - low)
    return {
        "recipe": name,
        "seeds": seeds,
        "median_m": truth,
        "methods": {
            method: {
                "holds_the_truth": float(np.mean(held[method])),
                "median_width_m": float(np.median(widths[method])),
            }
            for method in OF_MEDIAN
        },
    }


def _mean(recipe: Recipe) -> float:
    """The mean score of very many seeds, each from starts of its own."""
    rng = np.random.default_rng(0)
    return float(np.mean([np.median(recipe(rng, 1, _starts(rng))) for _ in range(40_000)]))


def _intervals(a: Floats, b: Floats) -> dict[str, tuple[float, float]]:
    of_a, of_b = np.median(a, axis=1), np.median(b, axis=1)
    found = Difference(tuple(of_a.tolist()), tuple(of_b.tolist()))
    resampled = resampled_differences(a, b, LANES, np.median)
    tail, fewest = (1 - CONFIDENCE) / 2, min(len(a), len(b))
    farther = norm.cdf(-math.sqrt(fewest / (fewest - 1)) * t.isf(tail, fewest - 1))
    return {
        "ours": interval(found, resampled),
        "percentile": _percentiles(resampled, tail),
        "expanded percentile": _percentiles(resampled, farther),
        "Welch's t": _welch(of_a, of_b),
    }


def _percentiles(resampled: Floats, tail: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _welch(a: Floats, b: Floats) -> tuple[float, float]:
    bounds = ttest_ind(b, a, equal_var=False).confidence_interval(CONFIDENCE)
    return float(bounds.low), float(bounds.high)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "# How often an interval holds the true difference",
        "",
        f"`make bench-coverage` writes this file: made-up recipes, a pair compared {report['rounds']} times "
        f"from {STARTS} starts on two lanes; seeds differ by {SPREAD_M:g} m (standard deviation) on "
        f"{DISTANCE_M:g} m. Each cell: how often a 95 % interval holds the true difference, and its median "
        "width. Shown: how often ours leaves out zero, a false alarm where there is no difference.",
        "",
        f"| recipes | seeds | {' | '.join(METHODS)} | shown |",
        f"| --- | --- |{' ---: |' * (len(METHODS) + 1)}",
    ]
    for row in report["comparisons"]:
        shown = f"{100 * row['methods']['ours']['shows_a_difference']:.1f} %"
        lines.append(
            f"| {row['world']} | {row['seeds'][0]} and {row['seeds'][1]} | {_cells(row)} | {shown} |"
        )
    lines += [
        "",
        "The same for the median over the seeds of one recipe, as `seeds` in scores.json has it:",
        "",
        f"| recipe | seeds | {' | '.join(OF_MEDIAN)} |",
        f"| --- | ---: |{' ---: |' * len(OF_MEDIAN)}",
        *(f"| {row['recipe']} | {row['seeds']} | {_cells(row)} |" for row in report["medians"]),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> str:
    return " | ".join(
        f"{100 * found['holds_the_truth']:.1f} %, {found['median_width_m']:.2f} m"
        for found in row["methods"].values()
    )


def main(rounds: int = 400) -> None:
    """Compare, and write the results."""
    pairs = list(itertools.product(WORLDS, SEEDS))
    with ProcessPoolExecutor(min(2, len(os.sched_getaffinity(0)))) as pool:
        comparisons = list(pool.map(measure, *zip(*pairs, strict=True), itertools.repeat(rounds)))
        alone = list(itertools.product(ALONE, COUNTS))
        medians = list(pool.map(measure_alone, *zip(*alone, strict=True), itertools.repeat(rounds)))
    report = {"machine": machine("numpy", "scipy"), "rounds": rounds}
    report |= {"comparisons": comparisons, "medians": medians}
    write_report(RESULTS, "coverage", report, table(report))
    print(table(report))


if __name__ == "__main__":
    typer.run(main)
