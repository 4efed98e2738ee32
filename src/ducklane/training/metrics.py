"""What is reported of each training iteration, under the project's names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

EPISODE_REWARD_MEAN = "episode_reward_mean"
EPISODE_LEN_MEAN = "episode_len_mean"
TIMESTEPS_TOTAL = "timesteps_total"

EPISODES_FOR_SMOOTHING = 100
"""Finished episodes that episode_reward_mean, and the mean of each reward component, is taken of."""

STALLED_ITERATIONS = 3
"""Iterations without a single new step after which training gives up: its workers are gone."""

METRICS = {
    EPISODE_REWARD_MEAN: EPISODE_REWARD_MEAN,
    "episode_reward_min": "env_runners/episode_return_min",
    "episode_reward_max": "env_runners/episode_return_max",
    EPISODE_LEN_MEAN: EPISODE_LEN_MEAN,
    "episodes_total": "env_runners/num_episodes_lifetime",
    TIMESTEPS_TOTAL: TIMESTEPS_TOTAL,
    "training_iteration": "training_iteration",
    "loss/total": "learners/default_policy/total_loss",
    "loss/policy": "learners/default_policy/policy_loss",
    "loss/value": "learners/default_policy/vf_loss",
    "loss/state": "learners/default_policy/state_loss",
    "policy/entropy": "learners/default_policy/entropy",
    "policy/std": "learners/default_policy/action_std",
    "policy/kl": "learners/default_policy/mean_kl_loss",
    "value/explained_variance": "learners/default_policy/vf_explained_var",
    "optimizer/lr": "learners/default_policy/default_optimizer_learning_rate",
    "optimizer/grad_norm": "learners/default_policy/gradients_default_optimizer_global_norm",
    "time/total_s": "time_total_s",
    "time/iteration_s": "time_this_iter_s",
    "time/sample_s": "timers/env_runner_sampling_timer",
    "time/learn_s": "timers/learner_update_timer",
    "machine/cpu_percent": "perf/cpu_util_percent",
    "machine/ram_percent": "perf/ram_util_percent",
}
"""Our name of a metric -> its path in RLlib's result."""

REWARD_PREFIX = "reward_"
"""RLlib's results carry the mean episode sum of each reward component under this prefix."""


class ResultMetrics(RLlibCallback):  # type: ignore[misc]
    """Writes the top-level keys that Tune stops on and scores checkpoints by.

    Tune ignores a nested score attribute in silence and then deletes the best checkpoint; a result in
    which the key is missing ranks best, one in which it is NaN ranks worst. So they stand in every result.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_total = -1
        self._stalled = 0

    def on_train_result(self, *, result: dict[str, Any], **_: Any) -> None:
        """Add the top-level keys; give up on a training that no longer gets any steps."""
        sampled = result.get("env_runners", {})
        result[EPISODE_REWARD_MEAN] = float(sampled.get("episode_return_mean", math.nan))
        result[EPISODE_LEN_MEAN] = float(sampled.get("episode_len_mean", math.nan))
        result[TIMESTEPS_TOTAL] = int(result.get("num_env_steps_sampled_lifetime", 0))
        self._stop_if_stalled(result[TIMESTEPS_TOTAL])

    def _stop_if_stalled(self, total: int) -> None:
        self._stalled = self._stalled + 1 if total <= self._last_total else 0
        self._last_total = total
        if self._stalled >= STALLED_ITERATIONS:
            raise RuntimeError(
                f"no new environment step in {STALLED_ITERATIONS} iterations; the workers are gone"
            )


def named_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one RLlib result under our names, without those that it does not have."""
    metrics = {name: value for name, path in METRICS.items() if (value := _at(result, path)) is not None}
    metrics |= dict(_reward_components(result.get("env_runners", {})))
    if duration := metrics.get("time/iteration_s"):
        sampled = result.get("env_runners", {}).get("num_env_steps_sampled", 0)
        metrics["env_steps_per_s"] = float(sampled) / duration
    return metrics


def _reward_components(sampled: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in sampled.items():
        if key.startswith(REWARD_PREFIX):
            yield f"reward/{key.removeprefix(REWARD_PREFIX)}", float(value)


def _at(result: Mapping[str, Any], path: str) -> float | None:
    node: Any = result
    for key in path.split("/"):
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return float(node)
