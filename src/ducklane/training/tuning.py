"""One training under Ray Tune: start Ray, run the trials."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from ducklane.training.metrics import TIMESTEPS_TOTAL
from ducklane.training.ppo import ppo_config
from ducklane.training.ray_private import only_what_trains
from ducklane.training.scheduling import scheduler
from ducklane.training.signals import ending_in_order
from ducklane.training.state.checkpoints import TRIAL, KeepProgress
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState

# RLlib tries the spaces out on an environment that gymnasium then warns of
gymnasium.logger.min_level = gymnasium.logger.ERROR
for name in ("ray.tune", "ray.rllib"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

MODULE_IN_CHECKPOINT = Path("learner_group/learner/rl_module/default_policy")
"""Where RLlib keeps the network inside a checkpoint of the whole algorithm."""


FULL_BYTES = 2**20
"""A disk with less room than this is full."""


class TrainingFailed(UserError):
    """The training raised an error."""


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
        trials: `check_machine` has passed their settings.
        machine: this machine.
        state: of this training; its checkpoints and its learning curves are kept up to date.
        beginnings: numbers of the trials to run -> the checkpoint to go on from, None to begin.
        callbacks: Tune callbacks.
        abandon: called before this process ends without the leave of a Ray that does not answer any more.

    Raises:
        TrainingFailed: an error in a trial; its traceback stands in the state's folder.
        Interrupted: stopped by a signal before the last step.
    """
    settings = trials[0].settings
    with ray_cluster(settings.ray, machine, abandon) as have:
        for trial in trials:
            check_machine(trial.settings, have)
        for note in dict.fromkeys(note for trial in trials for note in notes(trial.settings, have)):
            print(note, flush=True)
        configs = {
            number: ppo_config(trials[number].settings, have, beginning)
            for number, beginning in beginnings.items()
        }
        run_trials(_ppo(configs), {}, list(configs), settings.tune, state, callbacks)


def _ppo(configs: Mapping[int, PPOConfig]) -> type[PPO]:
    """PPO, configured by the number of its trial: a search space of Tune's own reaches no schedule."""

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
    """Run trials of a Tune trainable, given their numbers, to their ends; the rest as for `train`."""
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
    except Exception as error:  # of Tune itself: where the disk is full it stumbles over its own files
        raise TrainingFailed(_failure(error, state.folder)) from error
    for result in results:
        _check_finished(result, settings, state)


@contextmanager
def ray_cluster(
    settings: RaySettings, machine: Machine, abandon: Callable[[], None] = lambda: None
) -> Iterator[Machine]:
    """The cluster at RAY_ADDRESS, or else Ray on this machine with what the settings offer of it.

    Yields the CPUs and GPUs that Ray has.

    Args:
        settings: of Ray.
        machine: this machine.
        abandon: as for `train`.
    """
    have = _join(address) if (address := cluster_address()) else _start(offered(settings, machine), settings)
    with ending_in_order(abandon):
        try:
            yield have
        finally:
            ray.shutdown()


def _start(have: Machine, settings: RaySettings) -> Machine:
    folder = ray_folder()
    let_ray_do_without_home()
    for last in (False, True):
        try:
            with only_what_trains():
                _init(have, settings, folder.path)
            break
        except Exception as error:  # Ray raises no narrower one where its processes are not up in 30 s
            ray.shutdown()
            if last:
                raise _not_started(error, folder) from None
    return have


def _not_started(error: Exception, folder: RayFolder) -> UserError:
    said = reason(error)
    if "/dev/shm" in said:
        cure = "lower ray.object_store_memory, or give a container more with docker run --shm-size"
    elif "timed out" in said.lower():
        cure = "end other work on it and give the same command again"
    else:
        cure = "`ducklane doctor` looks for what is missing"
    return UserError(f"Ray did not start on this machine ({said}); {cure}; Ray's logs are in {folder.logs}")


def _init(have: Machine, settings: RaySettings, folder: Path) -> None:
    ray.init(
        # not one that happens to run here: it may be another training's
        address="local",
        num_cpus=have.cpus,
        num_gpus=have.gpus,
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
            "`ray start --head` and set RAY_AUTH_MODE=token, as that does, or unset RAY_ADDRESS to train on "
            "this machine alone"
        ) from None
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    search = Gpus(gpus, "as `ray status` says", "add a node that has one")
    return Machine(int(resources.get("CPU", 0)), gpus, gpu_search=search, cluster=address)


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


def _check_finished(result: tune.Result, settings: TuneSettings, state: TrainingState) -> None:
    # fit() also returns normally after an error and after a signal
    if result.error is not None:
        raise TrainingFailed(_failure(result.error, state.folder))
    done = (result.metrics or {}).get(TIMESTEPS_TOTAL, 0)
    number = int(Path(result.path).name)
    if done < settings.stop.timesteps_total and not state.trials[number].ended:
        of = f"trial {number + 1} of {len(state.trials)} " if len(state.trials) > 1 else ""
        raise Interrupted(
            f"training interrupted at {done} of {settings.stop.timesteps_total} steps {of}; ".replace(
                " ;", ";"
            )
            + "the same command goes on from there"
        )


def _failure(error: Exception, folder: Path) -> str:
    if shutil.disk_usage(folder).free < FULL_BYTES:
        return (
            f"training failed: No space left on device for {folder}; make room, and the same command goes on"
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
