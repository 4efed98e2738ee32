"""The settings reach RLlib, and the network is the project's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune.registry import ENV_CREATOR, _global_registry

from ducklane.environment import action_space, observation_space
from ducklane.machine.hardware import Machine
from ducklane.settings import Settings
from ducklane.task.privileged import STATE_SIZE
from ducklane.training import metrics
from ducklane.training.learning.learner import BOUND_COEFF, CLIPPED, STATE_COEFF, out_of_bounds
from ducklane.training.learning.module import (
    ACTIONS_KEPT,
    PAST_ACTIONS,
    SHARDS,
    STATE,
    STATE_ESTIMATE,
    PolicyModule,
)
from ducklane.training.ppo import create_environment, ppo_config


def module(settings: Settings) -> PolicyModule:
    torch.manual_seed(0)
    return PolicyModule(
        observation_space=observation_space(settings),
        action_space=action_space(settings),
        model_config={**settings.network.model_dump(mode="json"), SHARDS: 2, "vf_share_layers": False},
    )


def observations(settings: Settings, count: int) -> torch.Tensor:
    shape = (count, *settings.observation.shape)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def states(settings: Settings, count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        STATE: torch.rand((count, STATE_SIZE), generator=generator),
        PAST_ACTIONS: torch.rand((count, ACTIONS_KEPT * settings.action.size), generator=generator),
    }


def test_a_trial_finds_the_projects_maps_from_its_own_folder(
    changed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.yaml").write_text("tile_size: 0.585\ntiles: [[straight/W, straight/W]]\n")
    (tmp_path / "trial").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = changed(simulator={"map_name": ["mine", "maps/mine.yaml"]}, rllib={"env_per_worker": 2})
    config = ppo_config(settings, Machine(cpus=1, gpus=0)).env_config
    monkeypatch.chdir("trial")
    environment = create_environment({**config, "num_envs": 2})
    environment.reset(seed=0)
    environment.close()


def test_every_setting_reaches_rllib(changed: Any) -> None:
    settings = changed(
        rllib={
            "num_workers": 3,
            "env_per_worker": 2,
            "gpu_per_worker": 0.25,
            "num_gpus": 1,
            "bound_coeff": 0.5,
        },
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
    assert config.learner_config_dict[STATE_COEFF] == settings.rllib.state_coeff
    assert config.learner_config_dict[BOUND_COEFF] == 0.5


def test_each_trial_drives_in_an_environment_with_its_own_settings(changed: Any) -> None:
    # all are configured before the first one trains
    configs = [
        ppo_config(changed(reward={"lateral_weight": weight}), Machine(cpus=1, gpus=0))
        for weight in (0.0, 50.0, 100.0)
    ]
    paid = []
    for config in configs:
        env = _global_registry.get(ENV_CREATOR, config.env)({**config.env_config, "num_envs": 1})
        env.reset(seed=1)
        paid.append(float(env.step(np.zeros((1, 2), np.float32))[1][0]))
        env.close()
    # standing still beside the lane's centre is paid by this alone
    assert paid[0] == pytest.approx(0, abs=1e-6)
    assert paid[2] == pytest.approx(2 * paid[1])
    assert paid[1] < 0


def test_the_learning_rate_falls_until_training_ends(changed: Any) -> None:
    settings = changed(rllib={"lr": 0.0123, "lr_end": 0.001}, tune={"stop": {"timesteps_total": 7000}})
    assert ppo_config(settings, Machine(cpus=1, gpus=0)).lr == [[0, 0.0123], [7000, 0.001]]


def test_the_value_loss_is_clipped_only_where_that_is_asked_for(changed: Any) -> None:
    one_cpu = Machine(cpus=1, gpus=0)
    assert ppo_config(changed(), one_cpu).vf_clip_param == math.inf
    assert ppo_config(changed(rllib={"vf_clip_param": 10.0}), one_cpu).vf_clip_param == 10.0


def test_losses_are_means_over_the_minibatches_of_an_iteration(settings: Settings) -> None:
    learner = ppo_config(settings, Machine(cpus=1, gpus=0)).build_learner(env=None, spaces=None)
    learner.build()
    for first in (0.0, 10.0):  # two iterations
        for minibatch in range(4):
            # as RLlib does
            learner.metrics.log_dict(
                {"vf_loss": torch.tensor(first + minibatch, requires_grad=True)},
                key="default_policy",
                window=1,
            )
        (found,) = learner.metrics.reduce()["default_policy"]["vf_loss"].values
        assert found == pytest.approx(first + 1.5)


def test_the_share_of_shortened_gradients_is_logged_and_they_are_shortened(changed: Any) -> None:
    config = ppo_config(changed(rllib={"grad_clip": 0.5}), Machine(cpus=1, gpus=0))
    learner = config.build_learner(env=None, spaces=None)
    learner.build()
    first, *others = learner.module[DEFAULT_MODULE_ID].unwrapped().network.parameters()
    norms = []
    for length in (0.4, 0.6, 7.0, 0.1):
        gradients = {learner.get_param_ref(one): torch.zeros_like(one) for one in (first, *others)}
        gradients[learner.get_param_ref(first)].view(-1)[0] = length
        clipped = learner.postprocess_gradients(gradients)
        norms.append(float(clipped[learner.get_param_ref(first)].norm()))
    assert norms == pytest.approx([0.4, 0.5, 0.5, 0.1], rel=1e-4)
    (share,) = learner.metrics.reduce()["default_policy"][CLIPPED].values
    assert share == 0.5


def test_noise_fades_until_training_ends(changed: Any) -> None:
    settings = changed(
        network={"initial_std": 0.5}, rllib={"std_end": 0.1}, tune={"stop": {"timesteps_total": 1000}}
    )
    config = ppo_config(settings, Machine(cpus=1, gpus=0))
    learner = config.build_learner(env=None, spaces=None)
    learner.build()
    stds = []
    for step in (0, 500, 1000, 2000):
        learner.after_gradient_based_update(timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: step})
        stds.append(learner.module[DEFAULT_MODULE_ID].unwrapped().network.log_std.exp().tolist())
    assert np.allclose(stds, [[0.5] * 2, [0.3] * 2, [0.1] * 2, [0.1] * 2])


def test_minus_one_workers_sample_on_all_cores(changed: Any) -> None:
    config = ppo_config(changed(rllib={"num_workers": -1}), Machine(cpus=4, gpus=0))
    assert config.num_env_runners == 4
    # the trainer waits meanwhile, and takes no core of its own
    bundles = config.algo_class.default_resource_request(config).bundles
    assert len(bundles) == 5
    assert sum(bundle["CPU"] for bundle in bundles) <= 4


@pytest.mark.parametrize(("workers", "cores"), [(0, 2), (2, 4)])
def test_learners_share_batch_and_minibatches_and_have_cores_of_their_own(
    changed: Any, workers: int, cores: int
) -> None:
    settings = changed(rllib={"num_workers": workers, "num_learners": 2})
    config = ppo_config(settings, Machine(cpus=cores, gpus=0))
    assert config.total_train_batch_size == settings.rllib.train_batch_size
    assert config.minibatch_size * 2 == settings.rllib.minibatch_size
    main, *others = config.algo_class.default_resource_request(config).bundles
    assert len(others) == workers + 2
    assert min(bundle["CPU"] for bundle in others) > 0.9
    assert main["CPU"] + sum(bundle["CPU"] for bundle in others) <= cores


@pytest.mark.parametrize(
    ("cores", "gpus", "learner", "share"),
    [(1, 1, 1, 0), (6, 1, 0.5, 0.1), (12, 2, 1, 0.25), (20, 3, 0, 1), (24, 4, 1, 0.5), (64, 4, 0.5, 0)],
)
def test_ray_is_asked_for_no_more_than_the_machine_has(
    changed: Any, cores: int, gpus: int, learner: float, share: float
) -> None:
    settings = changed(rllib={"num_workers": -1, "num_gpus": learner, "gpu_per_worker": share})
    config = ppo_config(settings, Machine(cores, gpus))
    main, *workers = config.algo_class.default_resource_request(config).bundles
    assert main.get("GPU", 0) == learner
    assert workers
    assert all(worker.get("GPU", 0) == share for worker in workers)
    assert main["CPU"] + sum(worker["CPU"] for worker in workers) <= cores
    assert learner + share * len(workers) <= gpus


def test_the_module_takes_uint8_and_gives_mean_and_log_std(settings: Settings) -> None:
    rl_module, seen = module(settings), observations(settings, 5)
    inputs = rl_module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    assert inputs.shape == (5, 2 * settings.action.size)
    assert torch.allclose(inputs[:, : settings.action.size], rl_module.network(seen))
    assert torch.allclose(inputs[:, settings.action.size :].exp(), torch.tensor(settings.network.initial_std))


@pytest.mark.parametrize(("critic", "judges_by_image"), [("privileged", False), ("image", True)])
def test_the_critic_sees_what_the_settings_say(changed: Any, critic: str, judges_by_image: bool) -> None:
    settings = changed(network={"critic": critic})
    rl_module, seen = module(settings), observations(settings, 5)
    batch = states(settings, 5)
    with torch.no_grad():
        values = rl_module.compute_values({**batch, Columns.OBS: seen})
        of_other_images = rl_module.compute_values({**batch, Columns.OBS: seen.flip(0)})
        of_other_states = rl_module.compute_values({**batch, STATE: batch[STATE] + 1, Columns.OBS: seen})
    assert values.shape == (5,)
    assert torch.equal(values, of_other_images) != judges_by_image
    assert torch.equal(values, of_other_states) == judges_by_image


def test_training_learns_to_tell_the_state_from_the_image(settings: Settings) -> None:
    rl_module, seen = module(settings), observations(settings, 5)
    estimate = rl_module.forward_train({Columns.OBS: seen, **states(settings, 5)})[STATE_ESTIMATE]
    assert estimate.shape == (5, STATE_SIZE)
    estimate.square().mean().backward()
    assert rl_module.network.trunk[0].weight.grad.abs().sum() > 0


def test_actions_out_of_bounds_are_pulled_back_and_others_left_alone() -> None:
    actions = torch.tensor([[-3.0, -1.0], [0.5, 1.5]], requires_grad=True)
    loss = out_of_bounds(actions)
    loss.backward()
    assert loss.item() == pytest.approx((2**2 + 0.5**2) / 4)
    assert torch.equal(actions.grad.sign(), torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))


def test_results_carry_the_keys_that_tune_needs_even_without_episodes() -> None:
    callback, result = metrics.ResultMetrics(), {"num_env_steps_sampled_lifetime": 64, "env_runners": {}}
    callback.on_train_result(result=result)
    assert np.isnan(result["episode_reward_mean"])
    assert np.isnan(result["episode_len_mean"])
    assert result["timesteps_total"] == 64


def test_training_without_new_steps_gives_up() -> None:
    callback = metrics.ResultMetrics()
    result = {"num_env_steps_sampled_lifetime": 64}
    callback.on_train_result(result=dict(result))
    for _ in range(metrics.STALLED_ITERATIONS - 1):
        callback.on_train_result(result=dict(result))
    with pytest.raises(RuntimeError, match="no new environment step"):
        callback.on_train_result(result=dict(result))
