"""Rollouts record what the robots did, and advantages match the definition in PPO's papers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing

from ducklane.environment import Environment
from ducklane.machine.hardware import Machine
from ducklane.settings import Settings
from ducklane.training.learning.module import ACTIONS_KEPT, PAST_ACTIONS, STATE
from ducklane.training.ppo import ppo_config
from ducklane.training.sampling import FramesOnce, Rollout, RolloutsToBatch, VectorEnvRunner, gae, to_columns

ROBOTS = 6


@pytest.fixture(scope="module")
def small(changed: Callable[..., Settings]) -> Settings:
    """Episodes so short that some are cut, begun so far off the lane that some leave the road."""
    return changed(
        simulator={"max_steps": 50, "accept_start_angle_deg": 90},
        rllib={"env_per_worker": ROBOTS, "train_batch_size": 60 * ROBOTS, "minibatch_size": ROBOTS},
    )


def runner(settings: Settings, worker_index: int = 0) -> VectorEnvRunner:
    config = ppo_config(settings, Machine(cpus=1, gpus=0))
    made = VectorEnvRunner(config=config, worker_index=worker_index)
    torch.nn.init.orthogonal_(made.module.network.action_head.weight, 0.5)
    torch.nn.init.constant_(made.module.network.action_head.bias, 0.8)
    return made


def naive_gae(rollout: Rollout, gamma: float, lambda_: float, robot: int) -> list[float]:
    """One robot, from the definition: the discounted sum of surprises until the episode ends."""
    steps = len(rollout.rewards)
    advantages = []
    for first in range(steps):
        total, weight = 0.0, 1.0
        for t in range(first, steps):
            after = 0.0 if rollout.crashed[t, robot] else float(rollout.values[t + 1, robot])
            surprise = float(rollout.rewards[t, robot]) + gamma * after - float(rollout.values[t, robot])
            total += weight * surprise
            weight *= gamma * lambda_
            if rollout.ended[t, robot]:
                break
        advantages.append(total)
    return advantages


@given(seed=st.integers(0, 2**32 - 1), gamma=st.floats(0, 1), lambda_=st.floats(0, 1))
def test_advantages_match_gae(seed: int, gamma: float, lambda_: float) -> None:
    rng = np.random.default_rng(seed)
    crashed, cut = rng.random((2, 9, 3)) < 0.2
    rollout = Rollout(
        columns={},
        values=rng.normal(size=(10, 3)).astype(np.float32),
        rewards=rng.normal(size=(9, 3)).astype(np.float32),
        crashed=crashed,
        ended=crashed | cut,
        sampled=np.ones((9, 3), np.bool_),
    )
    expected = np.array([naive_gae(rollout, gamma, lambda_, robot) for robot in range(3)]).T
    np.testing.assert_allclose(gae(rollout, gamma, lambda_), expected, atol=1e-4)


def test_a_rollout_records_what_the_robots_did(small: Settings) -> None:
    sampler = runner(small)
    (first,) = sampler.sample(num_timesteps=20 * ROBOTS)
    (rollout,) = sampler.sample(num_timesteps=60 * ROBOTS)
    before = len(first.rewards)
    # the same actions in an environment of its own: it goes through the same
    env = Environment(small).create_vector_env(ROBOTS, threads=1)
    seed = np.random.SeedSequence([small.simulator.seed, 0]).generate_state(1)[0] // 2
    images, _ = env.reset(seed=int(seed))
    ended = np.zeros(ROBOTS, np.bool_)
    assert len(rollout) >= 60 * ROBOTS
    for t in range(before + len(rollout.rewards)):
        part, i = (first, t) if t < before else (rollout, t - before)
        np.testing.assert_array_equal(part.columns[Columns.OBS][i], images)
        np.testing.assert_array_equal(part.columns[STATE][i], env.privileged())
        np.testing.assert_array_equal(part.sampled[i], ~ended)
        images, rewards, crashed, cut, _ = env.step(part.columns[Columns.ACTIONS][i])
        ended = crashed | cut
        np.testing.assert_allclose(part.rewards[i], rewards, rtol=1e-6)
        np.testing.assert_array_equal(part.crashed[i], crashed)
        np.testing.assert_array_equal(part.ended[i], ended)
    assert (rollout.ended & ~rollout.crashed).any()
    assert rollout.crashed.any()
    env.close()
    sampler.stop()


def test_log_probabilities_and_values_come_from_the_network(small: Settings) -> None:
    sampler = runner(small)
    (rollout,) = sampler.sample()
    columns = {name: torch.from_numpy(column[7]) for name, column in rollout.columns.items()}
    with torch.no_grad():
        outputs = sampler.module.forward_exploration(columns)
        mean, log_std = outputs[Columns.ACTION_DIST_INPUTS].tensor_split(2, dim=-1)
        likely = torch.distributions.Normal(mean, log_std.exp()).log_prob(columns[Columns.ACTIONS])
    np.testing.assert_allclose(columns[Columns.ACTION_LOGP], likely.sum(-1), rtol=1e-4)
    np.testing.assert_allclose(rollout.values[7], outputs[Columns.VF_PREDS], rtol=1e-4)
    sampler.stop()


def test_past_actions_are_those_of_the_episode(small: Settings) -> None:
    sampler = runner(small)
    (rollout,) = sampler.sample()
    steps = len(rollout.rewards)
    past = rollout.columns[PAST_ACTIONS].reshape(steps, ROBOTS, ACTIONS_KEPT, -1)
    actions = np.clip(rollout.columns[Columns.ACTIONS], -1, 1)
    for robot in range(ROBOTS):
        age = 0
        for t in range(steps):
            for back in range(ACTIONS_KEPT):
                expected = actions[t - 1 - back, robot] if back < age else 0
                np.testing.assert_array_equal(past[t, robot, back], expected)
            age = age + 1 if rollout.sampled[t, robot] else 0
    assert not rollout.sampled.all()
    sampler.stop()


def test_episodes_are_counted_whole_across_rollouts(small: Settings) -> None:
    sampler = runner(small)
    rollouts = [sampler.sample(num_timesteps=25 * ROBOTS)[0] for _ in range(4)]
    rewards, sampled, ended = (
        np.concatenate([getattr(rollout, name) for rollout in rollouts])
        for name in ("rewards", "sampled", "ended")
    )
    returns, lengths = [], []
    for robot in range(ROBOTS):
        begun = 0
        for t in np.flatnonzero(ended[:, robot]):
            returns.append(rewards[begun : t + 1, robot].sum())
            lengths.append(sampled[begun : t + 1, robot].sum())
            begun = t + 1
    metrics = sampler.get_metrics()
    assert metrics["num_episodes"].peek() == len(returns) >= ROBOTS
    assert metrics["num_env_steps_sampled"].peek() == sampled.sum()
    records = metrics["episodes"].peek()
    assert np.mean([record["return"] for record in records]) == pytest.approx(np.mean(returns), rel=1e-5)
    assert np.mean([record["len"] for record in records]) == pytest.approx(np.mean(lengths))
    for record in records:
        parts = sum(record[f"reward_{name}"] for name in ("progress", "lateral", "crash"))
        assert parts == pytest.approx(record["return"], rel=1e-4, abs=1e-4)
    sampler.stop()


def test_the_batch_holds_every_sampled_step_once(small: Settings) -> None:
    sampler = runner(small)
    rollouts = [sampler.sample(num_timesteps=50 * ROBOTS)[0] for _ in range(2)]
    batch = RolloutsToBatch(gamma=0.9, lambda_=0.8)(episodes=rollouts)[DEFAULT_MODULE_ID]
    steps = sum(map(len, rollouts))
    assert {len(column) for column in batch.values()} == {steps}
    assert steps < sum(rollout.sampled.size for rollout in rollouts)
    expected = torch.from_numpy(rollouts[0].columns[Columns.OBS][0])
    assert torch.equal(batch[Columns.OBS][:ROBOTS], expected)
    advantages = np.concatenate([gae(rollout, 0.9, 0.8)[rollout.sampled] for rollout in rollouts])
    values = np.concatenate([rollout.values[:-1][rollout.sampled] for rollout in rollouts])
    np.testing.assert_allclose(batch["value_targets"], advantages + values, rtol=1e-5, atol=1e-5)
    assert float(batch["advantages"].mean()) == pytest.approx(0, abs=1e-5)
    assert float(batch["advantages"].std()) == pytest.approx(1, rel=1e-2)
    sampler.stop()


def test_a_rollout_is_sent_with_each_frame_once_and_arrives_as_it_was(small: Settings) -> None:
    sampler = runner(small)
    (rollout,) = sampler.sample()
    sampler.stop()
    assert rollout.ended.any()
    sent = pickle.dumps(rollout)
    arrived = pickle.loads(sent)
    assert set(arrived.columns) == set(rollout.columns)
    for name, column in rollout.columns.items():
        np.testing.assert_array_equal(arrived.columns[name], column)
    np.testing.assert_array_equal(arrived.sampled, rollout.sampled)
    np.testing.assert_array_equal(arrived.values, rollout.values)
    assert small.observation.frame_stack == 3
    # a third, and the whole stacks with which episodes and rollouts begin
    assert len(sent) < 0.5 * sum(column.nbytes for column in rollout.columns.values())


@pytest.mark.parametrize(("frames", "channels"), [(1, 3), (2, 3), (3, 1), (8, 1)])
def test_stacks_of_any_kind_are_taken_apart_and_put_together(frames: int, channels: int) -> None:
    # shorter than the longest stack, and some of them of unrelated frames
    stream = np.random.default_rng(0).integers(0, 256, (5 + frames, 3, 2, 2, channels), np.uint8)
    stacks = np.concatenate([stream[i : i + 5] for i in range(frames)], axis=-1)
    stacks[3, 1] = 7
    taken = FramesOnce.of(stacks, frames)
    np.testing.assert_array_equal(taken.stacks(), stacks)
    assert taken.newest.size == stacks.size / frames


def test_learners_get_every_sampled_step_once_with_the_advantages_of_the_whole(small: Settings) -> None:
    def steps(found: list[Rollout]) -> Any:
        columns = to_columns(found, 0.9, 0.8)
        # advantages are standardised, targets are not
        told = [columns[STATE], columns[Columns.ACTIONS], columns[Postprocessing.VALUE_TARGETS][:, None]]
        return np.unique(np.concatenate(told, axis=1), axis=0)

    sampler = runner(small)
    rollouts = [sampler.sample(num_timesteps=steps * ROBOTS)[0] for steps in (40, 50)]
    whole = steps(rollouts)
    for learners in (2, 3):
        parts = [part.episodes for part, _ in TrainingData(episodes=rollouts).shard(learners)]
        sizes = [sum(map(len, part)) for part in parts]
        assert sum(sizes) == sum(map(len, rollouts)) == len(whole)
        assert max(sizes) - min(sizes) <= 1
        together = np.concatenate([steps(part) for part in parts])
        np.testing.assert_array_equal(np.unique(together, axis=0), whole)
    sampler.stop()


def test_workers_differ_from_each_other_and_each_one_repeats_itself(small: Settings) -> None:
    def states(worker: int) -> Any:
        sampler = runner(small, worker)
        (rollout,) = sampler.sample(num_timesteps=ROBOTS)
        sampler.stop()
        return rollout.columns[STATE][0]

    assert np.array_equal(states(1), states(1))
    assert not np.isin(states(1)[:, 1], states(2)[:, 1]).any()


def test_the_stock_simulator_is_sampled_the_same_way(changed: Callable[..., Settings]) -> None:
    settings = changed(
        simulator={"backend": "gym-duckietown", "max_steps": 5},
        rllib={"env_per_worker": 2, "train_batch_size": 16, "minibatch_size": 8},
    )
    sampler = runner(settings)
    (rollout,) = sampler.sample()
    assert len(rollout) >= 16
    assert rollout.ended.any()
    assert rollout.columns[Columns.OBS].shape[1:] == (2, *settings.observation.shape)
    records = sampler.get_metrics()["episodes"].peek()
    assert np.isfinite([record["reward_progress"] for record in records]).all()
    sampler.stop()


def test_a_resumed_run_draws_other_starts_and_noise_each_time(small: Settings) -> None:
    def begun(*resumed: int) -> tuple[Any, Any]:
        sampler = runner(small)
        for steps in resumed:
            sampler.begin_again(steps)
        (rollout,) = sampler.sample(num_timesteps=ROBOTS)
        sampler.stop()
        return rollout.columns[STATE][0], rollout.columns[Columns.ACTIONS][0]

    (afresh, _), (first, noise), (again, same_noise), (second, other_noise) = (
        begun(), begun(640), begun(640), begun(1280)
    )  # fmt: skip
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(noise, same_noise)
    for one, other in ((afresh, first), (first, second), (noise, other_noise)):
        assert not np.array_equal(one, other)
