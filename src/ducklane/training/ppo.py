"""The settings as RLlib's PPOConfig."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ducklane.environment import Environment, action_space, observation_space
from ducklane.machine.hardware import Machine, usable_cpus
from ducklane.machine.resources import num_workers
from ducklane.settings import Settings
from ducklane.training.learning.learner import BOUND_COEFF, STATE_COEFF, STD_BOUND, PolicyLearner
from ducklane.training.learning.module import SHARDS, PolicyModule
from ducklane.training.metrics import ResultMetrics
from ducklane.training.sampling import RolloutsToBatch, VectorEnvRunner, derived_seed
from ducklane.training.state.checkpoints import read_episodes, restore
from ducklane.training.state.saved import SavedCheckpoint

TRAINER_CPUS = 0.01
"""CPUs that Ray reserves for a trainer with workers: next to none, as it learns on
their cores while they wait.

With a share of 0 RLlib fails to place its workers.
"""


def ppo_config(settings: Settings, machine: Machine, origin: SavedCheckpoint | None = None) -> PPOConfig:
    """PPO on RLlib's new API stack. Every setting goes through an explicit setter, which knows its name.

    Args:
        settings: all of them.
        machine: to train on.
        origin: checkpoint to continue from.
    """
    workers = num_workers(settings, machine)
    config = PPOConfig()
    _configure_sampling(config, settings, workers)
    _configure_learning(config, settings, workers)
    _configure_run(config, settings, origin)
    return config


def _configure_sampling(config: PPOConfig, settings: Settings, workers: int) -> None:
    """The environment, and the processes that step it."""
    rllib = settings.rllib
    tune.register_env(rllib.env, create_environment)
    config.environment(
        rllib.env,
        env_config={"settings": settings.as_dict(), "workers": workers, "folder": os.getcwd()},
        observation_space=observation_space(settings),
        action_space=action_space(settings),
    )
    config.framework(rllib.framework)
    config.env_runners(
        num_env_runners=workers,
        num_envs_per_env_runner=rllib.env_per_worker,
        num_cpus_per_env_runner=1 - TRAINER_CPUS,
        num_gpus_per_env_runner=rllib.gpu_per_worker,
        env_runner_cls=VectorEnvRunner,
    )
    config.resources(num_cpus_for_main_process=TRAINER_CPUS if workers or rllib.num_learners else 1)


def _configure_learning(config: PPOConfig, settings: Settings, workers: int) -> None:
    """The learner, the networks and PPO's own settings."""
    rllib, steps = settings.rllib, settings.tune.stop.timesteps_total
    with_trainer = TRAINER_CPUS if workers else 1
    config.learners(
        num_learners=rllib.num_learners,
        num_cpus_per_learner=1 - TRAINER_CPUS if rllib.num_learners else with_trainer,
        num_gpus_per_learner=rllib.num_gpus,
        learner_class=PolicyLearner,
        learner_config_dict={
            STATE_COEFF: rllib.state_coeff,
            BOUND_COEFF: rllib.bound_coeff,
            STD_BOUND: [[0, settings.network.initial_std], [steps, rllib.std_end]],
        },
        # RLlib's own take episode objects; our rollouts are arrays
        add_default_connectors_to_learner_pipeline=False,
        learner_connector=lambda *_: RolloutsToBatch(
            gamma=rllib.gamma, lambda_=rllib.lambda_, device="cuda" if rllib.num_gpus else "cpu"
        ),
    )
    config.rl_module(
        rl_module_spec=RLModuleSpec(
            module_class=PolicyModule,
            model_config={**settings.network.model_dump(mode="json"), SHARDS: rllib.learner_shards},
        )
    )
    config.training(
        # [step, learning rate] pairs, interpolated linearly
        lr=[[0, rllib.lr], [steps, rllib.lr_end]],
        gamma=rllib.gamma,
        lambda_=rllib.lambda_,
        clip_param=rllib.clip_param,
        # RLlib clamps the squared error, so that a larger one has no gradient at all
        vf_clip_param=math.inf if rllib.vf_clip_param is None else rllib.vf_clip_param,
        vf_loss_coeff=rllib.vf_loss_coeff,
        entropy_coeff=rllib.entropy_coeff,
        grad_clip=rllib.grad_clip,
        grad_clip_by="global_norm",
        # the divergence is measured, not penalised
        use_kl_loss=True,
        kl_coeff=0.0,
        # RLlib's sizes are those of each learner; so the number of learners changes no batch and no update
        train_batch_size_per_learner=rllib.train_batch_size // rllib.learners,
        minibatch_size=rllib.minibatch_size // rllib.learners,
        num_epochs=rllib.num_epochs,
    )


def _configure_run(config: PPOConfig, settings: Settings, origin: SavedCheckpoint | None) -> None:
    """How it starts, what it reports, and what happens when a worker dies."""
    # an older policy may have been trained for another reward: its episodes do not count
    older = settings.rllib.restore_from is not None and origin is not None and origin.is_older_policy

    def begin(*, algorithm: Any, **_: Any) -> None:
        # learners have threads of their own, and with several of torch's the last bits depend on their number
        torch.set_num_threads(1)
        algorithm.learner_group.foreach_learner(lambda _: torch.set_num_threads(1))
        if origin is not None:
            restore(algorithm, origin)
            _continue_randomly(algorithm, settings.simulator.seed, origin.timesteps)
            if not older:
                _recall_episodes(algorithm, origin)

    config.fault_tolerance(delay_between_env_runner_restarts_s=0, env_runner_health_probe_timeout_s=10)
    config.reporting(min_time_s_per_iteration=0)
    config.callbacks(ResultMetrics, on_algorithm_init=begin)
    config.debugging(seed=settings.simulator.seed, log_level="ERROR")


def _continue_randomly(algorithm: Any, seed: int, steps: int) -> None:
    """Draw other random numbers than from the beginning: it would sample the same starts and noise again."""
    algorithm.env_runner_group.foreach_env_runner(lambda runner: runner.begin_again(steps))
    # the order of minibatches
    order = derived_seed(seed, steps)
    algorithm.learner_group.foreach_learner(lambda _: np.random.seed(order))  # noqa: NPY002 (RLlib's)


def _recall_episodes(algorithm: Any, checkpoint: SavedCheckpoint) -> None:
    """Go on averaging over the latest episodes from before the interruption."""
    (metrics,) = (callback for callback in algorithm.callbacks if isinstance(callback, ResultMetrics))
    metrics.latest.records.extend(read_episodes(checkpoint))


def create_environment(config: Mapping[str, Any]) -> Any:
    """Create the vector environment of one trial.

    RLlib keeps one creator per name, and all trials share the name; so the settings come with the config.

    Args:
        config: `settings`, all of the trial's, as in params.yaml; `workers`, the number of sampling processes
            that share the machine's cores, without the trainer's own; `num_envs`, the number of robots;
            `folder`, the project's.
    """
    # Ray runs each trial in its own folder; paths of maps, meshes and pictures are relative to the project
    os.chdir(config["folder"])
    settings = Settings.model_validate(config["settings"], by_alias=True, by_name=False)
    all_cores = settings.simulator.threads == -1
    threads = max(1, usable_cpus() // max(1, config["workers"])) if all_cores else None
    return Environment(settings).create_vector_env(config["num_envs"], threads)
