"""Logged metrics mean what docs/metrics.md says: over all workers' episodes, and all minibatches."""

from __future__ import annotations

import math
from typing import Any

import pytest
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from ducklane.training.metric_names import rank
from ducklane.training.metrics import ResultMetrics, named_metrics, summaries


def result(*workers: list[float], steps: int = 100) -> dict[str, Any]:
    """RLlib's result of an iteration in which these episodes ended, a list of returns for each worker."""
    root = MetricsLogger(root=True)
    loggers = [MetricsLogger() for _ in workers]
    for logger, returns in zip(loggers, workers, strict=True):
        for value in returns:
            record = {"return": value, "len": 10.0, "reward_progress": value / 2}
            logger.log_value("episodes", record, reduce="item_series")
    root.aggregate([logger.reduce() for logger in loggers], key="env_runners")
    return {**root.compile(), "num_env_steps_sampled_lifetime": steps}


def test_extremes_and_means_are_over_the_episodes_of_all_workers() -> None:
    found = result([-50.0, 10.0, 20.0], [90.0, 100.0, 300.0, 300.0, 300.0])
    ResultMetrics().on_train_result(result=found)
    metrics = named_metrics(found)
    assert metrics["episode_reward_min"] == -50
    assert metrics["episode_reward_max"] == 300
    assert metrics["episode_reward_mean"] == pytest.approx(1070 / 8)  # not the mean of two workers' means
    assert metrics["reward/progress"] == pytest.approx(1070 / 16)
    assert metrics["episodes_averaged"] == 8


def test_means_are_over_the_last_hundred_episodes() -> None:
    callback = ResultMetrics()
    callback.on_train_result(result=result([1000.0] * 50, steps=1))
    latest = result([1.0] * 60, [2.0] * 40, steps=2)
    callback.on_train_result(result=latest)
    metrics = named_metrics(latest)
    assert metrics["episodes_averaged"] == 100
    assert metrics["episode_reward_mean"] == pytest.approx(1.4)
    assert metrics["episode_reward_max"] == 2
    # an iteration in which none ends
    callback.on_train_result(result=(quiet := result(steps=3)))
    assert named_metrics(quiet)["episode_reward_mean"] == pytest.approx(1.4)


def test_a_single_episode_counts() -> None:
    ResultMetrics().on_train_result(result=(found := result([7.0])))
    assert named_metrics(found)["episode_reward_mean"] == 7


def test_without_an_episode_there_is_no_mean() -> None:
    callback = ResultMetrics()
    callback.on_train_result(result=(empty := result([], [])))
    assert math.isnan(empty["episode_reward_mean"])
    assert math.isnan(empty["episode_reward_mean_rank"])
    assert "episode_reward_min" not in named_metrics(empty)


def test_a_mean_of_few_episodes_ranks_behind_one_of_a_hundred() -> None:
    lucky = {"episode_reward_mean": 900.0, "episodes_averaged": 1.0}
    full = {"episode_reward_mean": 300.0, "episodes_averaged": 100.0}
    better = {"episode_reward_mean": 301.0, "episodes_averaged": 100.0}
    ranks = [rank(metrics, "episode_reward_mean") for metrics in (lucky, full, better)]
    assert ranks == sorted(ranks)
    assert ranks[0] < ranks[1] < ranks[2]


def test_a_curve_is_summed_up_by_its_best_checkpoint_its_end_and_its_mean() -> None:
    rows = [
        {"timesteps_total": 64.0, "episode_len_mean": 10.0},  # before any episode had ended
        {"timesteps_total": 128.0, "episode_reward_mean": 9.0, "episode_len_mean": 20.0},
        {"timesteps_total": 192.0, "episode_reward_mean": 5.0, "episode_len_mean": 30.0},
    ]
    summed = summaries(rows, best_step=128)
    assert summed == {
        "best/episode_reward_mean": 9,
        "last/episode_reward_mean": 5,
        "mean/episode_reward_mean": 7,
        "best/episode_len_mean": 20,
        "last/episode_len_mean": 30,
        "mean/episode_len_mean": 20,
    }
    assert summaries(rows[:1], best_step=None) == {"last/episode_len_mean": 10, "mean/episode_len_mean": 10}
