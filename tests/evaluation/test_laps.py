"""Many long drives at once give the same results as single ones, and their scores come with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ducklane.baselines import ProportionalController
from ducklane.evaluation.episodes import drive, evaluation_simulator
from ducklane.evaluation.laps import Laps, summarize_laps
from ducklane.policy import TrainedPolicy
from ducklane.settings import Settings
from ducklane.simulator.single import SingleSimulator


def short(changed: Callable[..., Settings], **evaluate: Any) -> Settings:
    return changed(evaluate={"lap_starts": 3, "lap_seconds": 2.0, "max_seconds": 2.0, **evaluate})


def test_laps_start_in_both_lanes_and_match_single_drives(changed: Callable[..., Settings]) -> None:
    settings = short(changed)
    laps = Laps(settings)
    assert len(laps.starts) == 6
    driven = laps.evaluate(ProportionalController())
    assert [len(episode.poses) for episode in driven.episodes] == [61] * 6
    simulator = SingleSimulator(evaluation_simulator(settings).model_copy(update={"backend": "batched"}))
    for start, episode in zip(laps.starts.tolist(), driven.episodes, strict=True):
        alone = drive(simulator, ProportionalController(), tuple(start))
        np.testing.assert_allclose(episode.poses, alone.poses, atol=1e-9)
    simulator.close()


def test_any_number_of_starts_fits_a_map_with_many_lanes(changed: Callable[..., Settings]) -> None:
    settings = short(changed, map_name="udem1")
    assert len(Laps(settings, count=5).starts) == 5 < len(Laps(settings).starts)


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_a_network_is_shown_what_it_was_trained_on(
    changed: Callable[..., Settings], make_policy: Callable[[Settings], TrainedPolicy], color: str
) -> None:
    settings = short(changed)
    settings = settings.model_copy(
        update={"observation": settings.observation.model_copy(update={"color": color})}
    )
    driven = Laps(settings).evaluate(make_policy(settings))
    assert len({len(episode.poses) for episode in driven.episodes}) >= 1
    assert any(np.ptp(episode.poses[:, 0]) > 0 for episode in driven.episodes)


def test_a_robot_that_leaves_the_road_is_out(changed: Callable[..., Settings]) -> None:
    settings = short(changed, lap_seconds=10.0)

    class Straight(ProportionalController):
        def act(self, observations: Any) -> Any:
            return np.ones_like(super().act(observations))

    driven = Laps(settings).evaluate(Straight())
    assert not any(episode.survived for episode in driven.episodes)
    assert len({len(episode.poses) for episode in driven.episodes}) > 1
    assert summarize_laps(driven)["survived"] == 0


def test_the_summary_counts_laps_and_bounds_medians(changed: Callable[..., Settings]) -> None:
    driven = Laps(short(changed)).evaluate(ProportionalController())
    laps = [0.2, 0.99, 1.0, 1.5, 2.0, 3.0]
    scores = [
        replace(score, laps=lap, driven_lanedir_consec=lap * 10)
        for score, lap in zip(driven.scores, laps, strict=True)
    ]
    summary = summarize_laps(replace(driven, scores=scores))
    assert summary["full_lap_share"] == pytest.approx(4 / 6)
    distance = summary["official"]["driven_lanedir_consec"]
    assert distance["median"] == pytest.approx(12.5)
    assert 2 <= distance["low"] < 12.5 < distance["high"] <= 30
    assert summary["official"]["survival_time"] == {"median": 2.0, "low": 2.0, "high": 2.0}
