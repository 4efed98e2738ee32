"""The names of the metrics that the code itself refers to; importing them does not load Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping

EPISODE_REWARD_MEAN = "episode_reward_mean"
EPISODE_LEN_MEAN = "episode_len_mean"
TIMESTEPS_TOTAL = "timesteps_total"

EPISODES_AVERAGED = "episodes_averaged"

EPISODES_FOR_SMOOTHING = 100
"""Finished episodes over which episode_reward_mean and the reward components are averaged."""

RANK = "_rank"
"""What follows a score's name in the name of its rank."""

_A_MISSING_EPISODE = 1e9
"""More than any score differs from another."""


def rank(metrics: Mapping[str, float], score: str) -> float:
    """By what checkpoints are ordered: the score, but behind all whose score is a mean of more episodes.

    In its first iterations a training run has finished few episodes, and one lucky start could stay its best.

    Args:
        metrics: of the checkpoint's iteration.
        score: name of the metric; higher is better.

    Returns:
        NaN without a score.
    """
    missing = EPISODES_FOR_SMOOTHING - metrics.get(EPISODES_AVERAGED, EPISODES_FOR_SMOOTHING)
    return metrics.get(score, math.nan) - _A_MISSING_EPISODE * missing
