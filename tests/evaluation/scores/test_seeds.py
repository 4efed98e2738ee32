"""The scores of a few seeds say what they can about the next ones, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t

from ducklane.evaluation.scores.intervals import interval_over_seeds
from ducklane.evaluation.scores.seeds import SeedScores, over_seeds
from ducklane.evaluation.scores.summary import Scores
from ducklane.policy import Provenance


def seed(number: int, drives: Sequence[Scores]) -> SeedScores:
    origin = Provenance(
        mlflow_run_id="0" * 32,
        git_commit="0" * 40,
        params_digest="0" * 64,
        episode_reward_mean=0.0,
        timesteps_total=1,
        map_name="loop_empty",
        seed=number,
        weights_sha256="0" * 64,
    )
    return SeedScores(origin, drives, drives)


def drive(distance_m: float, *, survived: bool = True, lateral_m: float | None = 0.02) -> Scores:
    return Scores(distance_m, 15.0, 0.1, 0.0, 0.1, distance_m, distance_m, survived, lateral_m, None)


def test_the_interval_of_three_seeds_holds_what_others_reach() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        found = interval_over_seeds(rng.normal(8.0, 0.2, 3).tolist())
        assert found["low"] is not None
        assert found["high"] is not None
        held.append(found["low"] <= 8.0 <= found["high"])
    # of the lowest and the highest of three, which percentiles give, it is 75 %
    assert np.mean(held) > 0.93


def test_the_interval_narrows_with_more_seeds_as_that_of_a_mean_does() -> None:
    values = np.random.default_rng(0).normal(8.0, 0.2, 200)
    found = interval_over_seeds(values.tolist())
    # the median of many spreads sqrt(pi / 2) times as much as the mean
    half = t.isf(0.025, 199) * np.std(values, ddof=1) / np.sqrt(200) * np.sqrt(np.pi / 2)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.25)  # type: ignore[operator]


def test_no_bound_is_beyond_what_a_score_can_be() -> None:
    drives = [drive(8.0), drive(0.1, survived=False)]
    found = over_seeds([seed(1, drives[:1]), seed(2, drives[:1]), seed(3, drives)])
    assert found["count"] == 3
    assert found["survived_share"] == {"median": 1.0, "low": 0.0, "high": 1.0}
    assert found["distance_m"]["low"] == 0.0
    assert found["distance_m"]["median"] == 8.0


def test_one_seed_and_a_seed_that_was_never_in_a_lane_have_no_interval() -> None:
    one = over_seeds([seed(1, [drive(8.0)])])
    assert one["distance_m"] == {"median": 8.0, "low": None, "high": None}
    lost = over_seeds([seed(1, [drive(8.0)]), seed(2, [drive(0.0, lateral_m=None)])])
    assert lost["lateral_mean_m"] == {"median": None, "low": None, "high": None}
    assert lost["distance_m"]["high"] is not None
