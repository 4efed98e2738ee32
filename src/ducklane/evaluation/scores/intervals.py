"""How sure a median is: intervals over drives, and over the few seeds of a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap, norm, t

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Of the bootstrap."""


def interval_over_drives(values: Sequence[float]) -> dict[str, float]:
    """The `median` with the bounds `low` and `high` of its 95 % interval (percentile bootstrap)."""
    center = float(np.median(values))
    if len(set(values)) == 1:
        return {"median": center, "low": center, "high": center}
    interval = bootstrap(
        (np.array(values),),
        np.median,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {"median": center, "low": float(interval.low), "high": float(interval.high)}


def interval_over_seeds(values: Sequence[float]) -> dict[str, float | None]:
    """The same for few values, stretched about the median; the bounds are None for a single one."""
    if len(values) < 2:
        return {"median": float(np.median(values)), "low": None, "high": None}
    found = interval_over_drives(values)
    count, center = len(values), found["median"]
    wider = stretch(count - 1, math.sqrt((count - 1) / count))
    low, high = (center + wider * (found[bound] - center) for bound in ("low", "high"))
    return {"median": center, "low": low, "high": high}


def stretch(freedom: float, narrowed: float) -> float:
    """How much wider than the bootstrap says an interval must be, as it is too narrow with few values.

    Hesterberg (2015, "What Teachers Should Know About the Bootstrap") takes percentiles further out: those
    that t instead of the normal distribution asks for, with the usual n / (n - 1). With three values there
    are none so far out: the means of resampled values end at the largest and the smallest. So the bounds are
    moved out instead, by the same factor. `benchmarks/intervals.py` shows what the alternatives cover.

    Args:
        freedom: degrees of freedom of t.
        narrowed: the standard error among resampled values over the true one.
    """
    tail = (1 - CONFIDENCE) / 2
    return float(t.isf(tail, freedom) / norm.isf(tail)) / narrowed
