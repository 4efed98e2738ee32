"""The settings reach RLlib, and the network is the project's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from ducklane.environment import action_space, observation_space
from ducklane.machine import Machine
from ducklane.settings import Settings
from ducklane.training import metrics
from ducklane.training.module import VALUE_CHUNK, PolicyModule
from ducklane.training.ppo import WorkerSeed, ppo_config


def module(settings: Settings) -> PolicyModule:
    torch.manual_seed(0)
    return PolicyModule(
        observation_space=observation_space(settings),
        action_space=action_space(settings),
        model_config=settings.network.model_dump(mode="json") | {"vf_share_layers": False},
    )


def observations(settings: Settings, count: int) -> torch.Tensor:
    shape = (count, *settings.observation.shape)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_every_setting_reaches_rllib(changed: Any) -> None:
    settings = changed(
        rllib={"num_workers": 3, "env_per_worker": 2, "gpu_per_worker": 0.25, "num_gpus": 1},
        simulator={"seed": 77},
    )
    config = ppo_config(settings, Machine(cpus=8, gpus=2))
    assert config.num_env_runners == 3
    assert config.num_envs_per_env_runner == 2
    assert config.num_gpus_per_env_runner == 0.25
    assert config.num_gpus_per_learner == 1
    assert config.lambda_ == settings.rllib.lambda_
    assert config.train_batch_size_per_learner == settings.rllib.train_batch_size
    assert config.seed == 77


def test_the_learning_rate_falls_until_training_ends(changed: Any) -> None:
    settings = changed(rllib={"lr": 0.0123, "lr_end": 0.001}, tune={"stop": {"timesteps_total": 7000}})
    assert ppo_config(settings, Machine(cpus=1, gpus=0)).lr == [[0, 0.0123], [7000, 0.001]]


def test_all_cores_but_one_sample_where_the_settings_leave_it_open(changed: Any) -> None:
    assert ppo_config(changed(rllib={"num_workers": -1}), Machine(cpus=4, gpus=0)).num_env_runners == 3


def test_the_module_takes_uint8_and_gives_mean_and_log_std(settings: Settings) -> None:
    rl_module, seen = module(settings), observations(settings, 5)
    inputs = rl_module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    assert inputs.shape == (5, 2 * settings.action.size)
    assert torch.allclose(inputs[:, : settings.action.size], rl_module.network(seen))
    assert torch.allclose(inputs[:, settings.action.size :].exp(), torch.tensor(settings.network.initial_std))


def test_values_do_not_depend_on_how_the_batch_is_cut(settings: Settings) -> None:
    rl_module, seen = module(settings), observations(settings, VALUE_CHUNK + 3)
    with torch.no_grad():
        embeddings = rl_module.forward_train({Columns.OBS: seen})[Columns.EMBEDDINGS]
        whole = rl_module.compute_values({Columns.OBS: seen}, embeddings=embeddings)
        cut = rl_module.compute_values({Columns.OBS: seen})
    assert cut.shape == (VALUE_CHUNK + 3,)
    assert torch.allclose(whole, cut, atol=1e-5)


def test_no_two_environments_of_any_workers_share_a_seed() -> None:
    given: list[int] = []

    class Recorder:
        def reset(self, *, seed: int, options: object) -> None:
            given.append(seed)

    for worker in range(4):
        for index in range(4):
            env = WorkerSeed.__new__(WorkerSeed)
            env.env, env._worker_index = Recorder(), worker  # type: ignore[assignment]
            env.reset(seed=1 + worker + index)  # as RLlib seeds them
    assert len(set(given)) == 16


def test_results_carry_the_keys_that_tune_needs_even_without_episodes() -> None:
    callback, result = metrics.ResultMetrics(), {"num_env_steps_sampled_lifetime": 64, "env_runners": {}}
    callback.on_train_result(result=result)
    assert np.isnan(result["episode_reward_mean"])
    assert np.isnan(result["episode_len_mean"])
    assert result["timesteps_total"] == 64


def test_a_training_without_new_steps_gives_up() -> None:
    callback = metrics.ResultMetrics()
    result = {"num_env_steps_sampled_lifetime": 64}
    callback.on_train_result(result=dict(result))
    for _ in range(metrics.STALLED_ITERATIONS - 1):
        callback.on_train_result(result=dict(result))
    with pytest.raises(RuntimeError, match="no new environment step"):
        callback.on_train_result(result=dict(result))
