"""One training under Ray Tune: start Ray, run the trial, keep the best checkpoint."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Tune would write CSV, JSON and TensorBoard copies of every result; MLflow has them.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# Tune's tables would come between the lines of our own progress.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Ray's workers would yield to everything else on the machine, and a training on a busy one would stand still.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import gymnasium
import ray
from ray import tune
from ray.rllib.core.rl_module.rl_module import RLModule

from ducklane.errors import Interrupted, UserError
from ducklane.machine import Machine
from ducklane.network import PolicyNetwork
from ducklane.settings import (
    RaySettings,
    Settings,
    TuneSettings,
    check_machine,
    cluster_address,
    offered,
)
from ducklane.training.metrics import TIMESTEPS_TOTAL, named_metrics
from ducklane.training.ppo import ppo_config

# RLlib tries the spaces out on an environment that gymnasium then warns of
gymnasium.logger.min_level = gymnasium.logger.ERROR
for name in ("ray.tune", "ray.rllib"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

MODULE_IN_CHECKPOINT = Path("learner_group/learner/rl_module/default_policy")
"""Where RLlib keeps the network inside a checkpoint of the whole algorithm."""


class TrainingFailed(UserError):
    """The training raised an error."""


@dataclass(frozen=True)
class Training:
    """What a finished training leaves."""

    checkpoint: Path
    """the best checkpoint: RLlib's folder of the whole algorithm"""
    best: dict[str, float]
    """the named metrics of the iteration that it was saved in"""
    last: dict[str, float]
    """the named metrics of the last iteration"""


def train(settings: Settings, machine: Machine, storage: Path, callbacks: list[Any]) -> Training:
    """Train PPO until `tune.stop` and return its best checkpoint by `tune.checkpoint_score_attr`.

    Args:
        settings: all settings; `check_machine` has passed them.
        machine: this machine.
        storage: an empty folder for the checkpoints.
        callbacks: Tune callbacks.

    Raises:
        TrainingFailed: an error in the trial; its traceback stands in the storage folder.
        Interrupted: stopped by a signal before the last step.
    """
    with ray_cluster(settings.ray, machine) as offered_by_ray:
        check_machine(settings, offered_by_ray)
        return run_trial("PPO", ppo_config(settings, offered_by_ray), settings.tune, storage, callbacks)


def run_trial(
    trainable: Any, config: Any, settings: TuneSettings, storage: Path, callbacks: list[Any]
) -> Training:
    """Run one trial of a Tune trainable to its end; arguments and errors as for `train`."""
    tuner = tune.Tuner(
        trainable,
        param_space=config,
        tune_config=tune.TuneConfig(
            trial_name_creator=_trial_name(settings), trial_dirname_creator=_trial_name(settings)
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(storage.resolve()),
            stop=settings.stop.model_dump(),
            checkpoint_config=_checkpoint_config(settings),
            callbacks=callbacks,
            verbose=0,
        ),
    )
    return _finished(tuner.fit()[0], settings, storage)


@contextmanager
def ray_cluster(settings: RaySettings, machine: Machine) -> Iterator[Machine]:
    """The cluster at RAY_ADDRESS, or else Ray on this machine with what the settings offer of it.

    SIGTERM ends a trial as SIGINT does. Yields the CPUs and GPUs that Ray has.
    """
    have = _join(address) if (address := cluster_address()) else _start(offered(settings, machine), settings)
    # Tune ends in order on SIGINT only; on SIGTERM the process would abort in the middle of a checkpoint
    earlier = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield have
    finally:
        signal.signal(signal.SIGTERM, earlier)
        ray.shutdown()


def _start(have: Machine, settings: RaySettings) -> Machine:
    ray.init(
        # not one that happens to run here: it may be another training's
        address="local",
        num_cpus=have.cpus,
        num_gpus=have.gpus,
        object_store_memory=settings.object_store_memory,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    return have


def _join(address: str) -> Machine:
    try:
        _knock(address)
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"RAY_ADDRESS: no Ray cluster answers at {address} ({reason}); start one with `ray start --head` "
            "and set RAY_AUTH_MODE=token, as that does, or unset RAY_ADDRESS to train on this machine alone"
        ) from None
    resources = ray.cluster_resources()
    return Machine(cpus=int(resources.get("CPU", 0)), gpus=int(resources.get("GPU", 0)))


def _knock(address: str) -> None:
    """Raise an OSError if nobody listens at a plain host:port: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def _trial_name(settings: TuneSettings) -> Any:
    if settings.trial_name_creator == "trial_id":
        return lambda trial: trial.trial_id
    return lambda trial: trial.trainable_name


def _checkpoint_config(settings: TuneSettings) -> tune.CheckpointConfig:
    return tune.CheckpointConfig(
        num_to_keep=settings.keep_checkpoints_num,
        checkpoint_score_attribute=settings.checkpoint_score_attr,
        checkpoint_score_order="max",
        checkpoint_frequency=settings.checkpoint_freq,
        checkpoint_at_end=settings.checkpoint_at_end,
    )


def _finished(result: tune.Result, settings: TuneSettings, storage: Path) -> Training:
    # fit() also returns normally after an error and after a signal
    if result.error is not None:
        raise TrainingFailed(_failure(result.error, storage))
    metrics = result.metrics or {}
    done = metrics.get(TIMESTEPS_TOTAL, 0)
    if done < settings.stop.timesteps_total:
        raise Interrupted(
            f"training interrupted at {done} of {settings.stop.timesteps_total} steps; nothing was written, "
            "run the same command again"
        )
    scored = [
        (checkpoint, saved)
        for checkpoint, saved in result.best_checkpoints
        if math.isfinite(saved.get(settings.checkpoint_score_attr, math.nan))
    ]
    if not scored:
        raise TrainingFailed(
            f"tune.stop.timesteps_total: {settings.stop.timesteps_total} steps ended before any episode did, "
            "so no checkpoint has a score; train longer or lower simulator.max_steps"
        )
    checkpoint, saved = max(scored, key=lambda pair: pair[1][settings.checkpoint_score_attr])
    return Training(Path(checkpoint.path), named_metrics(saved), named_metrics(metrics))


def _failure(error: Exception, storage: Path) -> str:
    log = storage / "error.txt"
    log.write_text(str(error))
    lines = [line for line in str(error).splitlines() if line and not line[0].isspace()]
    return f"training failed: {lines[-1]}; the whole traceback is in {log}"


def load_network(checkpoint: Path) -> PolicyNetwork:
    """The network inside RLlib's checkpoint folder."""
    module = RLModule.from_checkpoint(str((checkpoint / MODULE_IN_CHECKPOINT).resolve()))
    network: PolicyNetwork = module.network
    return network
