"""The difference between two recipes in one score, and how sure it is.

Each recipe was trained with several seeds, and each seed's model drove once from each of the same starts.
Both the seeds and the starts are samples: others would have given other scores.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import DegenerateDataWarning, bootstrap, nct, t

from ducklane.evaluation.scores.intervals import CONFIDENCE, stretch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Summary = Callable[..., Floats]
"""np.median or np.mean."""

POWER = 0.8
"""With this probability an experiment should show a difference that is there."""

RESAMPLES = 4000
MOST_SEEDS = 50
"""Largest number of seeds that is worth proposing."""

_BATCH = 2**21
"""Numbers that are resampled at once: 16 MB."""


@dataclass(frozen=True)
class Difference:
    """How much one recipe, B, differs from another, A, in one score; in the unit of the score."""

    seeds_a: tuple[float, ...]
    """of each seed of A, its score over all drives; NaN if it has none"""
    seeds_b: tuple[float, ...]
    low: float | None = None
    """lower bound of the difference's 95 % interval; None where a recipe has a single seed"""
    high: float | None = None

    @property
    def mean_a(self) -> float:
        """Mean over the seeds of A."""
        return float(np.mean(self.seeds_a))

    @property
    def mean_b(self) -> float:
        """Mean over the seeds of B."""
        return float(np.mean(self.seeds_b))

    @property
    def difference(self) -> float:
        """What B has more than A."""
        return self.mean_b - self.mean_a

    @property
    def shown(self) -> bool:
        """Whether the interval leaves no doubt that there is a difference."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def alike(self) -> bool:
        """Whether all seeds of both recipes have the same score."""
        return len({*self.seeds_a, *self.seeds_b}) == 1

    @property
    def probability_larger(self) -> float:
        """Share of the pairs of a seed of A and one of B in which B's score is larger; ties count half."""
        ahead = np.subtract.outer(self.seeds_b, self.seeds_a)
        return float(np.mean((ahead > 0) + 0.5 * (ahead == 0)))

    @property
    def spread(self) -> float:
        """Standard deviation between seeds of the same recipe, from both; NaN with a single seed."""
        if min(len(self.seeds_a), len(self.seeds_b)) < 2:
            return math.nan
        return math.sqrt((np.var(self.seeds_a, ddof=1) + np.var(self.seeds_b, ddof=1)) / 2)


def difference(
    drives_a: Floats, drives_b: Floats, strata: Sequence[Ints], summary: Summary = np.median
) -> Difference:
    """The difference in one score, with a 95 % interval that covers other seeds and other starts.

    Args:
        drives_a: (seeds, starts) scores of A; NaN where a drive has none.
        drives_b: (seeds, starts) scores of B, from the same starts in the same order.
        strata: the starts on each lane, as indices; together all starts, each once.
        summary: of a seed's drives, np.median or np.mean.

    Raises:
        ValueError: the numbers of starts differ.
    """
    if not drives_a.shape[1] == drives_b.shape[1] == sum(map(len, strata)):
        raise ValueError("A, B and the strata must have the same starts")
    everywhere = np.arange(drives_a.shape[1])
    a, b = (_per_seed(drives, everywhere, summary) for drives in (drives_a, drives_b))
    found = Difference(tuple(a.tolist()), tuple(b.tolist()))
    if min(len(a), len(b)) < 2 or not np.isfinite(found.difference):
        return found
    low, high = interval(found, resampled_differences(drives_a, drives_b, strata, summary))
    return replace(found, low=low, high=high)


def interval(found: Difference, resampled: Floats) -> tuple[float, float]:
    """The bounds of a difference's 95 % interval.

    Args:
        found: the difference, of at least two seeds of each recipe.
        resampled: as it might have been with other seeds and starts.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    wider, middle = _stretch(np.array(found.seeds_a), np.array(found.seeds_b)), found.difference
    return float(middle - wider * (middle - low)), float(middle + wider * (high - middle))


def resampled_differences(
    drives_a: Floats, drives_b: Floats, strata: Sequence[Ints], summary: Summary
) -> Floats:
    """(RESAMPLES,) differences with seeds and starts drawn anew; arguments as for `difference`.

    rliable, the usual package for this, draws each start's runs by themselves, so that the drives of one bad
    seed count as many bad drives that have nothing to do with each other. Here a seed comes with all its
    drives, and a start with those of all seeds of both recipes.
    """
    # a stratum of one start cannot be resampled
    drawn = [stratum for stratum in strata if len(stratum) > 1]
    kept = np.concatenate([np.zeros(0, np.int64), *(stratum for stratum in strata if len(stratum) == 1)])

    def statistic(seeds_a: Ints, seeds_b: Ints, *starts: Ints, axis: int = -1) -> Floats:
        fixed = np.broadcast_to(kept, (*seeds_a.shape[:-1], len(kept)))
        chosen = np.concatenate([*starts, fixed], axis=axis)
        of_a, of_b = (_per_seed(drives, chosen, summary) for drives in (drives_a, drives_b))
        mean_a, mean_b = (
            np.take_along_axis(np.moveaxis(scores, 0, axis), seeds, axis).mean(axis)
            for scores, seeds in ((of_a, seeds_a), (of_b, seeds_b))
        )
        return mean_b - mean_a

    count_a, count_b = len(drives_a), len(drives_b)
    with warnings.catch_warnings():
        # of NaN, where a seed's drawn drives have no score; and its own interval is not used
        warnings.simplefilter("ignore", DegenerateDataWarning)
        return bootstrap(
            (np.arange(count_a), np.arange(count_b), *drawn),
            statistic,
            n_resamples=RESAMPLES,
            batch=max(1, _BATCH // (max(count_a, count_b) * drives_a.shape[1])),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution


def _per_seed(drives: Floats, starts: Ints, summary: Summary) -> Floats:
    """(seeds, ...) scores of the drives from (..., starts)."""
    chosen = drives[:, starts]
    if not np.isnan(drives).any():
        return summary(chosen, axis=-1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice|Mean of empty slice", RuntimeWarning)
        return (np.nanmedian if summary is np.median else np.nanmean)(chosen, axis=-1)


def _stretch(a: Floats, b: Floats) -> float:
    """How much wider the interval of a difference must be; the degrees of freedom are Welch's."""
    counts = np.array([len(a), len(b)])
    shares = np.array([np.var(scores, ddof=1) / len(scores) for scores in (a, b)])
    if not shares.any():
        shares = 1 / counts
    # of n seeds drawn from n, the mean has a variance of only (n - 1) / n times as much
    narrowed = math.sqrt(float((shares * (counts - 1) / counts).sum() / shares.sum()))
    welch = float(shares.sum() ** 2 / (shares**2 / (counts - 1)).sum())
    return stretch(max(float(counts.min() - 1), welch), narrowed)


def power(effect: float, seeds: int) -> float:
    """The probability that a two-sided t test at 5 % shows a difference.

    Args:
        effect: the difference over the standard deviation between seeds.
        seeds: of each recipe, at least 2.
    """
    freedom = 2 * seeds - 2
    shift = abs(effect) * math.sqrt(seeds / 2)
    bound = t.isf((1 - CONFIDENCE) / 2, freedom)
    # far from zero the other tail is nothing, and scipy gives NaN for it
    other_tail = nct.cdf(-bound, freedom, shift) if shift < 3 else 0.0
    return float(nct.sf(bound, freedom, shift) + other_tail)


def visible(found: Difference, seeds: int) -> float:
    """The difference that so many seeds of each recipe would show with 80 % power; NaN with a single seed."""
    return found.spread * float(brentq(lambda effect: power(effect, seeds) - POWER, 1e-3, 12))


def seeds_needed(found: Difference) -> int | None:
    """The seeds of each recipe that would show a difference of the observed size with 80 % power.

    Returns:
        None if more than MOST_SEEDS would be needed, or if the spread between seeds is not known.
    """
    if not found.spread > 0:
        return None
    # beyond 20 spreads, which two seeds show, nct loses its digits
    effect = min(abs(found.difference) / found.spread, 20)
    return next((seeds for seeds in range(2, MOST_SEEDS + 1) if power(effect, seeds) >= POWER), None)
