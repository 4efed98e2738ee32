"""The settings as RLlib's PPOConfig."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ducklane.environment import Environment, action_space, observation_space
from ducklane.machine.hardware import Machine, usable_cpus
from ducklane.machine.resources import num_workers
from ducklane.settings import Settings
from ducklane.training.learning.learner import BOUND_COEFF, STATE_COEFF, STD_BOUND, PolicyLearner
from ducklane.training.learning.module import PolicyModule
from ducklane.training.metrics import ResultMetrics
from ducklane.training.sampling import RolloutsToBatch, VectorEnvRunner
from ducklane.training.state.checkpoints import restore
from ducklane.training.state.saved import SavedCheckpoint

TRAINER_CPUS = 0.01
"""What Ray counts for a trainer with workers, and not for these: it learns while they wait, on their cores.

RLlib finds no place for its workers where the trainer's share is 0.
"""


def ppo_config(settings: Settings, machine: Machine, origin: SavedCheckpoint | None = None) -> PPOConfig:
    """PPO on RLlib's new API stack. Every setting goes through an explicit setter, which knows its name.

    Args:
        settings: all of them.
        machine: to train on.
        origin: to go on from.
    """
    workers = num_workers(settings, machine)
    tune.register_env(settings.rllib.env, create_environment)
    rllib, steps = settings.rllib, settings.tune.stop.timesteps_total

    def begin(*, algorithm: Any, **_: Any) -> None:
        torch.set_num_threads(rllib.torch_threads)
        if origin is not None:
            restore(algorithm, origin)

    return (
        PPOConfig()
        .environment(
            rllib.env,
            env_config={"settings": settings.as_dict(), "workers": workers, "folder": os.getcwd()},
            observation_space=observation_space(settings),
            action_space=action_space(settings),
        )
        .framework(rllib.framework)
        .env_runners(
            num_env_runners=workers,
            num_envs_per_env_runner=rllib.env_per_worker,
            num_cpus_per_env_runner=1 - TRAINER_CPUS,
            num_gpus_per_env_runner=rllib.gpu_per_worker,
            env_runner_cls=VectorEnvRunner,
        )
        .resources(num_cpus_for_main_process=TRAINER_CPUS if workers else 1)
        .learners(
            num_learners=0,
            num_cpus_per_learner=TRAINER_CPUS if workers else 1,
            num_gpus_per_learner=rllib.num_gpus,
            learner_class=PolicyLearner,
            learner_config_dict={
                STATE_COEFF: rllib.state_coeff,
                BOUND_COEFF: rllib.bound_coeff,
                STD_BOUND: [[0, settings.network.initial_std], [steps, rllib.std_end]],
            },
            add_default_connectors_to_learner_pipeline=False,
            learner_connector=lambda *_: RolloutsToBatch(
                gamma=rllib.gamma, lambda_=rllib.lambda_, device="cuda" if rllib.num_gpus else "cpu"
            ),
        )
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=PolicyModule, model_config=settings.network.model_dump(mode="json")
            )
        )
        .training(
            lr=[[0, rllib.lr], [steps, rllib.lr_end]],
            gamma=rllib.gamma,
            lambda_=rllib.lambda_,
            clip_param=rllib.clip_param,
            vf_clip_param=rllib.vf_clip_param,
            vf_loss_coeff=rllib.vf_loss_coeff,
            entropy_coeff=rllib.entropy_coeff,
            grad_clip=rllib.grad_clip,
            grad_clip_by="global_norm",
            # the divergence is measured, not penalised
            use_kl_loss=True,
            kl_coeff=0.0,
            train_batch_size_per_learner=rllib.train_batch_size,
            minibatch_size=rllib.minibatch_size,
            num_epochs=rllib.num_epochs,
        )
        .fault_tolerance(delay_between_env_runner_restarts_s=0, env_runner_health_probe_timeout_s=10)
        .reporting(min_time_s_per_iteration=0)
        .callbacks(
            ResultMetrics,
            on_algorithm_init=begin,
        )
        .debugging(seed=settings.simulator.seed, log_level="ERROR")
    )


def create_environment(config: Mapping[str, Any]) -> Any:
    """The vector environment of one trial: RLlib has one creator for each name, and trials share the name.

    Args:
        config: `settings`, all of the trial's, as params.yaml has them; `workers`, sampling processes besides
            the trainer's own, which share the machine's cores; `num_envs`, robots; `folder`, the project's.
    """
    # Ray gives each trial a folder of its own; maps, meshes and pictures are named as seen from the project
    os.chdir(config["folder"])
    settings = Settings.model_validate(config["settings"], by_alias=True, by_name=False)
    all_cores = settings.simulator.threads == -1
    threads = max(1, usable_cpus() // max(1, config["workers"])) if all_cores else None
    return Environment(settings).create_vector_env(config["num_envs"], threads)
