"""A resumed training run goes on: with its schedules, its latest episodes, and other random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from ducklane.machine.hardware import Machine
from ducklane.policy import weights_digest
from ducklane.settings import Settings
from ducklane.training.metrics import EPISODES, named_metrics
from ducklane.training.ppo import ppo_config
from ducklane.training.state.checkpoints import KeepProgress
from ducklane.training.state.saved import SavedCheckpoint, read_checkpoint
from ducklane.training.state.training_state import TrainingState
from ducklane.training.tuning import ray_cluster

ONE_CPU = Machine(cpus=1, gpus=0)
STEPS, BATCH = 1024, 256
"""Environment steps of the training run and of an iteration."""


class Begun(NamedTuple):
    """What a training run drew at its beginning, and its first iteration."""

    starts: Any
    """true states of the robots"""
    noise: Any
    """the random numbers that actions are drawn with"""
    order: Any
    """the random numbers by which minibatches are shuffled"""
    result: dict[str, Any]
    weights: str


@pytest.fixture(scope="module")
def small(changed: Callable[..., Settings]) -> Settings:
    return changed(
        simulator={"max_steps": 50, "camera_width": 160, "camera_height": 120, "distortion": False},
        observation={"crop_top": 40},
        rllib={"env_per_worker": 4, "train_batch_size": BATCH, "minibatch_size": 64},
        tune={"stop": {"timesteps_total": STEPS}},
    )


@pytest.fixture(scope="module", autouse=True)
def cluster(settings: Settings) -> Iterator[None]:
    with ray_cluster(settings.ray, ONE_CPU):
        yield


def begun(settings: Settings, checkpoint: SavedCheckpoint | None) -> tuple[Begun, Any]:
    """The first iteration, and the algorithm."""
    algorithm = ppo_config(settings, ONE_CPU, checkpoint).build_algo()
    starts = algorithm.env_runner.env.privileged()
    noise, order = torch.get_rng_state().numpy(), np.random.get_state()[1]  # noqa: NPY002 (RLlib's)
    result = algorithm.train()
    return Begun(starts, noise, order, result, weights_digest(algorithm.get_module().network)), algorithm


@pytest.fixture(scope="module")
def first(small: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Begun, SavedCheckpoint]:
    """A training run that was stopped after two iterations: its beginning, and its checkpoint."""
    beginning, algorithm = begun(small, None)
    folder = tmp_path_factory.mktemp("stopped") / "checkpoint"
    folder.mkdir()
    trial = SimpleNamespace(last_result=algorithm.train(), config={})
    algorithm.save_checkpoint(str(folder))
    algorithm.stop()
    state = TrainingState(folder.parent)
    KeepProgress(state).on_checkpoint(2, [trial], trial, SimpleNamespace(path=str(folder)))
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None
    return beginning, checkpoint


@pytest.fixture(scope="module")
def resumed(small: Settings, first: tuple[Begun, SavedCheckpoint]) -> Begun:
    found, algorithm = begun(small, first[1])
    algorithm.stop()
    return found


def test_the_mean_goes_on_over_the_episodes_from_before(
    first: tuple[Begun, SavedCheckpoint], resumed: Begun
) -> None:
    before = first[1].metrics
    episodes = resumed.result[EPISODES]["records"]
    old, new = episodes[: int(before["episodes_averaged"])], episodes[int(before["episodes_averaged"]) :]
    assert old
    assert new
    assert fmean(episode["return"] for episode in old) == pytest.approx(before["episode_reward_mean"])
    found = named_metrics(resumed.result)
    assert found["episodes_averaged"] == len(episodes)
    assert found["episode_reward_mean"] == pytest.approx(fmean(episode["return"] for episode in episodes))
    assert found["episodes_total"] == before["episodes_total"] + len(new)


def test_the_schedules_go_on_where_they_were(
    small: Settings, first: tuple[Begun, SavedCheckpoint], resumed: Begun
) -> None:
    found, rllib = named_metrics(resumed.result), small.rllib
    done = first[1].timesteps + BATCH
    assert found["timesteps_total"] == pytest.approx(done, abs=small.rllib.env_per_worker)
    share = found["timesteps_total"] / STEPS
    assert found["optimizer/lr"] == pytest.approx(rllib.lr + share * (rllib.lr_end - rllib.lr), rel=1e-3)
    bound = small.network.initial_std + share * (rllib.std_end - small.network.initial_std)
    assert found["policy/std"] == pytest.approx(bound, rel=1e-3)
    assert found["training_iteration"] == 3


def test_a_resumed_run_draws_other_numbers_than_at_its_beginning_and_the_same_each_time(
    small: Settings, first: tuple[Begun, SavedCheckpoint], resumed: Begun
) -> None:
    again, algorithm = begun(small, first[1])
    algorithm.stop()
    for drawn in ("starts", "noise", "order"):
        assert np.array_equal(getattr(resumed, drawn), getattr(again, drawn)), drawn
        assert not np.array_equal(getattr(resumed, drawn), getattr(first[0], drawn)), drawn
    assert resumed.weights == again.weights
