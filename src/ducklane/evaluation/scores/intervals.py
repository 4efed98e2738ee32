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
    return _bootstrapped(values, CONFIDENCE)


def interval_over_seeds(values: Sequence[float]) -> dict[str, float | None]:
    """The same for few values; the bounds are None for a single one.

    A percentile interval of n values is too narrow by about sqrt((n - 1) / n), and by the difference between
    the normal and Student's t distribution. So its percentiles lie further out; for three seeds they are the
    lowest and the highest value.

    References:
        Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 5.3.
    """
    if len(values) < 2:
        return {"median": float(np.median(values)), "low": None, "high": None}
    return {**_bootstrapped(values, widened(len(values)))}


def widened(n: int) -> float:
    """The confidence level at which percentiles of n values' bootstrap make a 95 % interval."""
    quantile = t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return 1 - 2 * float(norm.cdf(-math.sqrt(n / (n - 1)) * quantile))


def _bootstrapped(values: Sequence[float], confidence: float) -> dict[str, float]:
    center = float(np.median(values))
    if len(set(values)) == 1:
        return {"median": center, "low": center, "high": center}
    interval = bootstrap(
        (np.array(values),),
        np.median,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {"median": center, "low": float(interval.low), "high": float(interval.high)}
