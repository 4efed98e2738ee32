"""A difference is found where there is one, and its interval says how far it can be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ducklane.comparing.statistics import Difference, difference, power, seeds_needed, visible

STARTS = 20
LANES = [np.arange(10), np.arange(10, 20)]


def drives(seeds: list[float], lanes: float = 0.3, noise: float = 0.0) -> np.ndarray:
    """Seeds that drive so far on average, farther on the outer lane."""
    along = np.where(np.arange(STARTS) < 10, lanes / 2, -lanes / 2)
    scattered = np.random.default_rng(5).normal(0, noise, (len(seeds), STARTS))
    return np.array(seeds)[:, None] + along + scattered


def test_a_planted_difference_is_found() -> None:
    found = difference(drives([8.0, 8.1, 7.9], noise=0.05), drives([7.1, 7.0, 7.2], noise=0.05), LANES)
    assert found.difference == pytest.approx(-0.9, abs=0.03)
    assert found.shown
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.9 < found.high < 0
    assert found.probability_larger == 0


def test_seeds_of_one_recipe_do_not_differ() -> None:
    found = difference(drives([8.0, 8.1, 7.9]), drives([8.05, 7.85, 8.1]), LANES)
    assert not found.shown
    assert not found.alike
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_one_bad_seed_of_three_shows_nothing() -> None:
    """Each of its 20 drives is bad, which says nothing about the next seed."""
    good, one_bad = drives([8.0, 8.1, 7.9], noise=0.1), drives([8.0, 7.9, 3.0], noise=0.1)
    assert not difference(good, one_bad, LANES).shown


def test_starts_count_for_both_recipes_alike() -> None:
    """The same start is as hard for both: however uneven the starts, a steady difference is sure."""
    a, b = drives([8.0, 8.0, 8.0], lanes=4), drives([7.9, 7.9, 7.9], lanes=4)
    found = difference(a, b, [np.arange(STARTS)], np.mean)
    assert (found.low, found.high) == pytest.approx((-0.1, -0.1))


def test_the_interval_is_welchs_where_starts_do_not_matter() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(3)
    a, b = rng.normal(8, 0.2, 12), rng.normal(7.8, 0.3, 9)
    found = difference(drives(list(a), lanes=0), drives(list(b), lanes=0), LANES, np.mean)
    welch = ttest_ind(b, a, equal_var=False).confidence_interval()
    assert found.low == pytest.approx(welch.low, abs=0.03)
    assert found.high == pytest.approx(welch.high, abs=0.03)


def test_a_recipe_of_few_steady_seeds_does_not_widen_the_interval() -> None:
    uneven = list(np.random.default_rng(3).normal(7.8, 0.3, 12))
    widths = []
    for steady in ([8.0, 8.001], [8.0, 8.001] * 6):
        found = difference(drives(steady, lanes=0), drives(uneven, lanes=0), LANES, np.mean)
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(widths[1], rel=0.02)


def test_the_same_scores_give_the_same_interval_again() -> None:
    a, b = drives([8.0, 8.1, 7.9], noise=0.1), drives([7.9, 8.3, 7.8], noise=0.2)
    assert difference(a, b, LANES) == difference(a, b, LANES)


def test_recipes_that_all_survive_are_alike() -> None:
    found = difference(np.ones((3, STARTS)), np.ones((3, STARTS)), LANES, np.mean)
    assert found.alike
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.probability_larger == 0.5


def test_one_seed_has_no_interval() -> None:
    found = difference(drives([8.0]), drives([7.0, 7.1, 7.2]), LANES)
    assert found.difference == pytest.approx(-0.9)
    assert found.low is None
    assert not found.shown
    assert math.isnan(found.spread)
    assert seeds_needed(found) is None


def test_drives_without_a_score_are_left_out() -> None:
    a = drives([2.0, 2.1, 1.9], lanes=0)
    a[0, :19] = np.nan
    found = difference(a, drives([2.0, 2.1, 2.2], lanes=0), LANES)
    assert found.seeds_a[0] == 2.0
    assert found.low is not None
    a[0] = np.nan
    assert math.isnan(difference(a, drives([2.0, 2.1], lanes=0), LANES).difference)


def test_a_start_alone_on_its_lane_is_kept() -> None:
    lanes = [np.arange(19), np.array([19])]
    found = difference(drives([8.0, 8.1, 7.9]), drives([7.0, 7.2, 7.1]), lanes)
    assert found.shown


def test_other_starts_are_refused() -> None:
    with pytest.raises(ValueError, match="the same starts"):
        difference(drives([8.0, 8.1]), drives([8.0, 8.1])[:, :10], LANES)


def test_ties_count_half() -> None:
    assert Difference((1.0, 2.0), (2.0, 3.0)).probability_larger == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 64), (0.8, 26), (1.0, 17)])
def test_power_is_that_of_the_books(effect: float, seeds: int) -> None:
    """Cohen (1992), table 2: the seeds for a power of 80 %."""
    assert power(effect, seeds) >= 0.8 > power(effect, seeds - 1)


def test_the_seeds_that_a_difference_needs() -> None:
    found = Difference((0.0, 1.0, 2.0), (1.0, 2.0, 3.0))
    assert found.spread == 1
    assert seeds_needed(found) == 17
    assert visible(found, 17) == pytest.approx(0.99, abs=0.01)
    assert seeds_needed(Difference((0.0, 1.0, 2.0), (0.1, 1.1, 2.1))) is None
    assert seeds_needed(Difference((0.0, 0.1), (90.0, 90.1))) == 2
