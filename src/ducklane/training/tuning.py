"""One training run under Ray Tune: start Ray, run the trials."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Tune would write CSV, JSON and TensorBoard copies of every result, which MLflow has already.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# Tune's tables would appear between our own lines of progress.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Ray runs its workers at a low priority by default; on a busy machine training would come to a standstill.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import gymnasium
import ray
from ray import tune
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModule

from ducklane.errors import Interrupted, UserError, reason
from ducklane.machine.folders import RayFolder, let_ray_do_without_home, ray_folder
from ducklane.machine.gpus import Gpus
from ducklane.machine.hardware import Machine
from ducklane.machine.resources import check_machine, cluster_address, notes, offered
from ducklane.network import PolicyNetwork
from ducklane.settings import RaySettings, TuneSettings
from ducklane.settings.trials import Trial
from ducklane.training.metric_names import RANK, TIMESTEPS_TOTAL
from ducklane.training.ppo import ppo_config
from ducklane.training.ray_private import only_what_trains
from ducklane.training.scheduling import scheduler
from ducklane.training.signals import ending_in_order
from ducklane.training.state.checkpoints import TRIAL, KeepProgress
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState

# RLlib tests the spaces on an environment that makes gymnasium print warnings
gymnasium.logger.min_level = gymnasium.logger.ERROR
for name in ("ray.tune", "ray.rllib"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

MODULE_IN_CHECKPOINT = Path("learner_group/learner/rl_module/default_policy")
"""Where RLlib keeps the network inside a checkpoint of the whole algorithm."""


FULL_BYTES = 2**20
"""A disk with less room than this is full."""


class TrainingFailed(UserError):
    """A trial, or Tune itself, raised an error."""


def train(
    trials: Sequence[Trial],
    machine: Machine,
    state: TrainingState,
    beginnings: Mapping[int, SavedCheckpoint | None],
    callbacks: list[Any],
    abandon: Callable[[], None],
) -> None:
    """Train PPO, each trial until `tune.stop` or until its scheduler stops it.

    Args:
        trials: with settings that `check_machine` has accepted.
        machine: this machine.
        state: of this training run; its checkpoints and its learning curves are kept up to date.
        beginnings: number of each trial to run -> the checkpoint to continue from, None to start afresh.
        callbacks: Tune callbacks.
        abandon: called before this process exits because Ray no longer answers.

    Raises:
        TrainingFailed: an error in a trial; its traceback is in the state's folder.
        Interrupted: stopped by a signal before the last step.
    """
    settings = trials[0].settings
    with ray_cluster(settings.ray, machine, abandon) as cluster:
        for trial in trials:
            check_machine(trial.settings, cluster)
        for note in dict.fromkeys(note for trial in trials for note in notes(trial.settings, cluster)):
            print(note, flush=True)
        configs = {
            number: ppo_config(trials[number].settings, cluster, beginning)
            for number, beginning in beginnings.items()
        }
        run_trials(_ppo(configs), {}, list(configs), settings.tune, state, callbacks)


def _ppo(configs: Mapping[int, PPOConfig]) -> type[PPO]:
    """PPO, configured by the number of its trial: Tune's own search space cannot vary schedules."""

    class TrialPPO(PPO):  # type: ignore[misc]
        def __init__(self, config: Any = None, **kwargs: Any) -> None:
            super().__init__(configs[config[TRIAL]], **kwargs)

        @classmethod
        def default_resource_request(cls, config: Any) -> Any:
            return super().default_resource_request(configs[config[TRIAL]].to_dict())

    TrialPPO.__name__ = "PPO"
    return TrialPPO


def run_trials(
    trainable: Any,
    config: dict[str, Any],
    numbers: Sequence[int],
    settings: TuneSettings,
    state: TrainingState,
    callbacks: list[Any],
) -> None:
    """Run the numbered trials of a Tune trainable to their ends; other arguments as for `train`."""
    attempt = state.new_attempt()
    tuner = tune.Tuner(
        trainable,
        param_space={**config, TRIAL: tune.grid_search(list(numbers))},
        tune_config=tune.TuneConfig(
            scheduler=scheduler(settings, state),
            trial_name_creator=_trial_name(settings),
            trial_dirname_creator=lambda trial: str(trial.config[TRIAL]),
        ),
        run_config=tune.RunConfig(
            name=attempt.name,
            storage_path=str(attempt.parent.resolve()),
            stop=settings.stop.model_dump(),
            checkpoint_config=_checkpoint_config(settings),
            callbacks=[KeepProgress(state), *callbacks],
            verbose=0,
        ),
    )
    try:
        results = tuner.fit()
    except Exception as error:  # in Tune itself, for instance when the disk is full
        raise TrainingFailed(_failure(error, state.folder)) from error
    for result in results:
        _check_finished(result, settings, state)


@contextmanager
def ray_cluster(
    settings: RaySettings, machine: Machine, abandon: Callable[[], None] = lambda: None
) -> Iterator[Machine]:
    """The cluster at RAY_ADDRESS, or else Ray on this machine with the resources that the settings allow.

    Yields the CPUs and GPUs that Ray has.

    Args:
        settings: of Ray.
        machine: this machine.
        abandon: as for `train`.
    """
    cluster = (
        _join(address) if (address := cluster_address()) else _start(offered(settings, machine), settings)
    )
    with ending_in_order(abandon):
        try:
            yield cluster
        finally:
            ray.shutdown()


def _start(offer: Machine, settings: RaySettings) -> Machine:
    folder = ray_folder()
    let_ray_do_without_home()
    for is_last_try in (False, True):
        try:
            with only_what_trains():
                _init(offer, settings, folder.path)
            break
        except Exception as error:  # Ray raises a plain one when its processes are not up within 30 s
            ray.shutdown()
            if is_last_try:
                raise _not_started(error, folder) from None
    return offer


def _not_started(error: Exception, folder: RayFolder) -> UserError:
    message = reason(error)
    if "/dev/shm" in message:
        cure = "lower ray.object_store_memory, or give a container more with docker run --shm-size"
    elif "timed out" in message.lower():
        cure = "stop other programs and run the same command again"
    else:
        cure = "`ducklane doctor` looks for what is missing"
    return UserError(
        f"Ray did not start on this machine ({message}); {cure}; Ray's logs are in {folder.logs}"
    )


def _init(offer: Machine, settings: RaySettings, folder: Path) -> None:
    ray.init(
        # never a cluster that happens to run on this machine: it may belong to another training run
        address="local",
        num_cpus=offer.cpus,
        num_gpus=offer.gpus,
        object_store_memory=settings.object_store_memory,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _temp_dir=str(folder),
    )


def _join(address: str) -> Machine:
    try:
        _knock(address)
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"RAY_ADDRESS: no Ray cluster answers at {address} ({reason(error)}); start one with "
            "`ray start --head` and set RAY_AUTH_MODE=token, which it uses, or unset RAY_ADDRESS to train on "
            "this machine alone"
        ) from None
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    search = Gpus(gpus, "as `ray status` says", "add a node that has one")
    return Machine(int(resources.get("CPU", 0)), gpus, gpu_search=search, cluster=address)


def _knock(address: str) -> None:
    """Raise an OSError if nothing listens at a plain host:port: Ray would retry for minutes."""
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
        checkpoint_score_attribute=f"{settings.checkpoint_score_attr}{RANK}",
        checkpoint_score_order="max",
        checkpoint_frequency=settings.checkpoint_freq,
        checkpoint_at_end=settings.checkpoint_at_end,
    )


def _check_finished(result: tune.Result, settings: TuneSettings, state: TrainingState) -> None:
    # fit() also returns normally after an error and after a signal
    if result.error is not None:
        raise TrainingFailed(_failure(result.error, state.folder))
    done = (result.metrics or {}).get(TIMESTEPS_TOTAL, 0)
    number = int(Path(result.path).name)
    if done < settings.stop.timesteps_total and not state.trials[number].ended:
        of_trial = f" of trial {number + 1} of {len(state.trials)}" if len(state.trials) > 1 else ""
        raise Interrupted(
            f"training interrupted at {done} of {settings.stop.timesteps_total} steps{of_trial}; "
            "the same command resumes from there"
        )


def _failure(error: Exception, folder: Path) -> str:
    if shutil.disk_usage(folder).free < FULL_BYTES:
        return (
            f"training failed: No space left on device for {folder}; free some space and run the same "
            "command again to resume"
        )
    log = folder / "error.txt"
    log.write_text(str(error))
    lines = [line for line in str(error).splitlines() if line and not line[0].isspace()]
    return f"training failed: {lines[-1]}; the whole traceback is in {log}"


def load_network(checkpoint: Path) -> PolicyNetwork:
    """The network inside RLlib's checkpoint folder."""
    module = RLModule.from_checkpoint(str((checkpoint / MODULE_IN_CHECKPOINT).resolve()))
    network: PolicyNetwork = module.network
    return network
