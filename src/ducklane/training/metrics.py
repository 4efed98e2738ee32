"""The metrics of each training iteration, under the project's names."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from ray.rllib.callbacks.callbacks import RLlibCallback

from ducklane.training.metric_names import (
    EPISODE_LEN_MEAN,
    EPISODE_REWARD_MEAN,
    EPISODES_AVERAGED,
    EPISODES_FOR_SMOOTHING,
    RANK,
    TIMESTEPS_TOTAL,
    rank,
)

STALLED_ITERATIONS = 3
"""Iterations without a new step after which training is given up: its workers are gone."""


class Reported(NamedTuple):
    """A metric that is logged in each iteration."""

    path: str
    """in RLlib's result"""
    meaning: str
    """with its unit"""


LEARNER = "learners/default_policy/"

METRICS = {
    EPISODE_REWARD_MEAN: Reported(
        EPISODE_REWARD_MEAN,
        "sum of an episode's rewards, mean of the last 100 of all workers, with exploration; the best "
        "checkpoint has most",
    ),
    "episode_reward_min": Reported("episodes/reward_min", "the lowest of these"),
    "episode_reward_max": Reported("episodes/reward_max", "the highest of these"),
    EPISODES_AVERAGED: Reported(
        "episodes/averaged", "episodes in these means, 100 at most; a checkpoint with fewer is not the best"
    ),
    EPISODE_LEN_MEAN: Reported(
        EPISODE_LEN_MEAN, "steps of an episode, mean of the last 100; 30 are one second"
    ),
    "episodes_total": Reported("env_runners/num_episodes_lifetime", "episodes finished since training began"),
    TIMESTEPS_TOTAL: Reported(TIMESTEPS_TOTAL, "environment steps of all robots since training began"),
    "training_iteration": Reported("training_iteration", "batches sampled and learned from"),
    "loss/total": Reported(
        f"{LEARNER}total_loss", "what the optimizer minimises: the weighted sum of all losses"
    ),
    "loss/policy": Reported(f"{LEARNER}policy_loss", "PPO's clipped surrogate"),
    "loss/value": Reported(f"{LEARNER}vf_loss", "the critic's squared error"),
    "loss/state": Reported(
        f"{LEARNER}state_loss", "of the auxiliary task: predicting the true state from the image"
    ),
    "policy/entropy": Reported(f"{LEARNER}entropy", "of the action distribution, nats"),
    "policy/std": Reported(
        f"{LEARNER}action_std", "standard deviation of actions, mean over their components"
    ),
    "policy/kl": Reported(
        f"{LEARNER}mean_kl_loss", "divergence from the policy that sampled the batch, nats"
    ),
    "value/explained_variance": Reported(
        f"{LEARNER}vf_explained_var", "share of the returns' variance that the critic predicts; 1 is perfect"
    ),
    "optimizer/lr": Reported(f"{LEARNER}default_optimizer_learning_rate", "learning rate"),
    "optimizer/grad_norm": Reported(
        f"{LEARNER}gradients_default_optimizer_global_norm", "norm of the gradient before clipping"
    ),
    "optimizer/clipped_share": Reported(
        f"{LEARNER}gradients_clipped",
        "share of the updates, 0 to 1, whose gradient was longer than `rllib.grad_clip` and shortened to it",
    ),
    "time/total_s": Reported("time_total_s", "seconds of training, without the time to start"),
    "time/iteration_s": Reported("time_this_iter_s", "seconds of this iteration"),
    "time/sample_s": Reported("timers/env_runner_sampling_timer", "of these, spent sampling (smoothed)"),
    "time/learn_s": Reported("timers/learner_update_timer", "of these, spent learning (smoothed)"),
}
"""Our name of a metric -> where it comes from, and what it means."""

COMPUTED = {
    "env_steps_per_s": "environment steps per second since the last iteration: sampling, learning, saving",
    "reward/<part>": "sum of a part of the reward (e.g. progress, lateral, crash) per episode, mean of 100",
}
"""Metrics that are computed from several values of RLlib's result -> what each means."""

SUMMARIZED = (EPISODE_REWARD_MEAN, EPISODE_LEN_MEAN)
"""The metrics of whose curves summaries are logged at the end, for the columns of MLflow's list of runs."""

SUMMARIES = {
    "best": "in the iteration of the best checkpoint, of which the model is made",
    "last": "in the last iteration",
    "mean": "mean of all iterations: of two curves with the same end, the higher one rose sooner",
}
"""What precedes the name of such a metric -> what its value is."""

REWARD_PREFIX = "reward_"
"""What precedes the name of a reward component in an episode's record."""

EPISODES = "episodes"
"""In RLlib's result: what `LatestEpisodes.summary` returns; in its env runners' part: the records."""

Record = dict[str, float]
"""A finished episode: `return`, `len`, and the sum of each reward component under REWARD_PREFIX."""


class LatestEpisodes:
    """The latest finished episodes of all workers.

    RLlib's own means are over the few episodes that end in one iteration, and fluctuate; and it averages the
    lowest and highest of each worker.
    """

    def __init__(self) -> None:
        self.records: deque[Record] = deque(maxlen=EPISODES_FOR_SMOOTHING)

    def summary(self) -> dict[str, Any]:
        """Their number; means, lowest and highest, if there are any; and the records themselves."""
        names = self.records[0] if self.records else ()
        columns = {name: [record[name] for record in self.records] for name in names}
        means = {f"{name}_mean": fmean(values) for name, values in columns.items()}
        returns = columns.get("return")
        extremes = {"reward_min": min(returns), "reward_max": max(returns)} if returns else {}
        return {"averaged": len(self.records), **means, **extremes, "records": list(self.records)}


class ResultMetrics(RLlibCallback):  # type: ignore[misc]
    """Writes the top-level keys by which Tune stops trials and scores checkpoints.

    Tune silently ignores a nested score attribute and then deletes the best checkpoint; it ranks a result
    without the key best, and one with NaN worst. So the keys are written into every result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latest = LatestEpisodes()
        self._last_total = -1
        self._stalled = 0

    def on_train_result(self, *, result: dict[str, Any], **_: Any) -> None:
        """Add the top-level keys; fail if the training run no longer gets any steps."""
        finished: Any = result.get("env_runners", {}).pop(EPISODES, ())
        # RLlib unwraps a single one
        self.latest.records.extend([finished] if isinstance(finished, dict) else finished)
        result[EPISODES] = episodes = self.latest.summary()
        result[EPISODE_REWARD_MEAN] = float(episodes.get("return_mean", math.nan))
        result[EPISODE_LEN_MEAN] = float(episodes.get("len_mean", math.nan))
        result[EPISODES_AVERAGED] = episodes["averaged"]
        for score in (EPISODE_REWARD_MEAN, EPISODE_LEN_MEAN):
            result[f"{score}{RANK}"] = rank(result, score)
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
    """The metrics of one RLlib result under our names; those that are missing in it are left out."""
    metrics = {name: value for name, (path, _) in METRICS.items() if (value := _at(result, path)) is not None}
    return metrics | dict(_reward_components(result.get(EPISODES, {})))


def summaries(rows: Sequence[Mapping[str, float]], best_step: int | None) -> dict[str, float]:
    """The summaries of a learning curve under their names; those without a value are left out.

    Args:
        rows: the named metrics of all iterations, in order.
        best_step: `timesteps_total` of the best checkpoint, None without one.
    """
    parts = {
        "best": [row for row in rows if row[TIMESTEPS_TOTAL] == best_step],
        "last": rows[-1:],
        "mean": rows,
    }
    columns = {
        f"{kind}/{name}": [row[name] for row in part if math.isfinite(row.get(name, math.nan))]
        for name in SUMMARIZED
        for kind, part in parts.items()
    }
    return {name: fmean(values) for name, values in columns.items() if values}


def _reward_components(episodes: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in episodes.items():
        if key.startswith(REWARD_PREFIX) and key.endswith("_mean"):
            yield f"reward/{key.removeprefix(REWARD_PREFIX).removesuffix('_mean')}", float(value)


def _at(result: Mapping[str, Any], path: str) -> float | None:
    node: Any = result
    for key in path.split("/"):
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return float(node)
