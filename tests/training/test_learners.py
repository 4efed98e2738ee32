"""Several learners share each minibatch: RLlib's learner group with our rollouts, networks and schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from ducklane.machine.hardware import Machine
from ducklane.policy import weights_digest
from ducklane.settings import Settings
from ducklane.training.metrics import METRICS, named_metrics
from ducklane.training.ppo import ppo_config
from ducklane.training.state.checkpoints import KeepProgress
from ducklane.training.state.saved import SavedCheckpoint, read_checkpoint
from ducklane.training.state.training_state import TrainingState
from ducklane.training.tuning import load_network, ray_cluster

TWO_CPUS = Machine(cpus=2, gpus=0)
BATCH = 512


class Iteration:
    """One iteration of two learners, and what they have afterwards.

    Args:
        algorithm: of two learners.
    """

    def __init__(self, algorithm: Any) -> None:
        self.result = algorithm.train()
        self.found = named_metrics(self.result)
        held = algorithm.learner_group.foreach_learner(_held)
        self.learners = [result.get() for result in held]


def _held(learner: Any) -> tuple[str, int, Any]:
    """Weights, threads of torch, and the order of the next minibatches."""
    network = learner.module[DEFAULT_MODULE_ID].unwrapped().network
    order = np.random.get_state()[1]  # noqa: NPY002 (RLlib's)
    return weights_digest(network), torch.get_num_threads(), order


class Session(NamedTuple):
    """A training run that was stopped and resumed."""

    first: Iteration
    checkpoint: SavedCheckpoint
    second: Iteration
    resumed: Iteration


@pytest.fixture(scope="module")
def small(changed: Callable[..., Settings]) -> Settings:
    return changed(
        simulator={"max_steps": 30},
        rllib={"num_learners": 2, "env_per_worker": 4, "train_batch_size": BATCH, "minibatch_size": 64},
        tune={"stop": {"timesteps_total": 4 * BATCH}},
    )


@pytest.fixture(scope="module", autouse=True)
def cluster(settings: Settings) -> Iterator[None]:
    with ray_cluster(settings.ray, TWO_CPUS):
        yield


@pytest.fixture(scope="module")
def session(small: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """An iteration and a checkpoint, a second iteration, and the one that follows upon resuming."""
    algorithm = ppo_config(small, TWO_CPUS).build_algo()
    first = Iteration(algorithm)
    folder = tmp_path_factory.mktemp("stopped") / "checkpoint"
    folder.mkdir()
    algorithm.save_checkpoint(str(folder))
    trial = SimpleNamespace(last_result=first.result, config={})
    KeepProgress(TrainingState(folder.parent)).on_checkpoint(
        1, [trial], trial, SimpleNamespace(path=str(folder))
    )
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None
    second = Iteration(algorithm)
    # what a new algorithm does as its last step; another one would take as long as all of this
    ppo_config(small, TWO_CPUS, checkpoint).callbacks_on_algorithm_init(algorithm=algorithm)
    yield Session(first, checkpoint, second, Iteration(algorithm))
    algorithm.stop()


def test_learners_have_learned_the_same_and_every_metric_is_logged(session: Session) -> None:
    (weights, threads, _), (same_weights, same_threads, _) = session.first.learners
    assert weights == same_weights
    assert threads == same_threads == 1
    assert set(METRICS) <= set(session.first.found)
    assert session.first.found["timesteps_total"] == pytest.approx(BATCH, abs=4)


def test_a_checkpoint_holds_what_they_learned(session: Session) -> None:
    assert weights_digest(load_network(session.checkpoint.path)) == session.first.learners[0][0]


def test_they_resume_from_it_with_other_minibatches(session: Session) -> None:
    (weights, _, order), (same_weights, _, same_order) = session.resumed.learners
    assert weights == same_weights
    assert np.array_equal(order, same_order)
    assert not np.array_equal(order, session.second.learners[0][2])
    assert session.resumed.found["training_iteration"] == 2
    assert session.resumed.found["timesteps_total"] == pytest.approx(2 * BATCH, abs=8)
