"""What the learner computes in shards: the bits are the same on any number of threads. 10 s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from ducklane.machine.hardware import Machine
from ducklane.settings import Settings
from ducklane.task.privileged import STATE_SIZE
from ducklane.training.learning.learner import OF_MINIBATCHES, PolicyLearner
from ducklane.training.learning.module import ACTIONS_KEPT, PAST_ACTIONS, STATE
from ducklane.training.ppo import ppo_config

MINIBATCH = 50
"""Not a multiple of the number of shards."""

Make = Callable[..., PolicyLearner]


@pytest.fixture(scope="module")
def make(changed: Callable[..., Settings]) -> Make:
    """A learner of a number of shards; always the same weights."""

    def made(shards: int, threads: int) -> PolicyLearner:
        settings = changed(
            rllib={"learner_shards": shards, "minibatch_size": MINIBATCH, "train_batch_size": 4 * MINIBATCH}
        )
        learner = ppo_config(settings, Machine(cpus=1, gpus=0)).build_learner(env=None, spaces=None)
        learner.build()
        module = learner.module[DEFAULT_MODULE_ID].unwrapped()
        module._threads = threads
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        return learner

    return made


@pytest.fixture(scope="module")
def columns(settings: Settings) -> dict[str, Tensor]:
    """A batch, [n, ...] each, of which no minibatches of MINIBATCH samples can be cut without a rest."""
    rng, n, size = np.random.default_rng(0), 4 * MINIBATCH + 7, settings.action.size
    floats = {
        STATE: (n, STATE_SIZE),
        PAST_ACTIONS: (n, ACTIONS_KEPT * size),
        Columns.ACTIONS: (n, size),
        Columns.ACTION_DIST_INPUTS: (n, 2 * size),
        Columns.ACTION_LOGP: (n,),
        Postprocessing.ADVANTAGES: (n,),
        Postprocessing.VALUE_TARGETS: (n,),
    }
    images = rng.integers(0, 256, (n, *settings.observation.shape), dtype=np.uint8)
    return {
        Columns.OBS: torch.from_numpy(images),
        **{name: torch.from_numpy(rng.normal(size=shape).astype("f4")) for name, shape in floats.items()},
    }


def learn(learner: PolicyLearner, columns: dict[str, Tensor], iteration: int = 0) -> Any:
    """One iteration of two epochs; returns RLlib's results."""
    np.random.seed(iteration)  # noqa: NPY002 - which RLlib draws from
    return learner.update(
        batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, len(columns[Columns.OBS])),
        timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 4 * MINIBATCH * iteration},
        num_epochs=2,
        minibatch_size=MINIBATCH,
        shuffle_batch_per_epoch=True,
    )


def weights(learner: PolicyLearner) -> Tensor:
    """All weights in one vector."""
    return torch.cat([p.detach().flatten() for p in learner.module[DEFAULT_MODULE_ID].parameters()])


def gradients_and_losses(
    learner: PolicyLearner, columns: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Of the first MINIBATCH samples: the gradient as one vector; and what the learner logs."""
    batch = {DEFAULT_MODULE_ID: SampleBatch({name: column[:MINIBATCH] for name, column in columns.items()})}
    losses = learner.compute_losses(fwd_out=learner.module.forward_train(batch), batch=batch)
    gradients = learner.compute_gradients(losses)
    learner.postprocess_gradients({name: gradient.clone() for name, gradient in gradients.items()})
    logged = learner.metrics.reduce()[DEFAULT_MODULE_ID]
    values = {name: float(logged[name].values[0]) for name in OF_MINIBATCHES if name != "total_loss"}
    return torch.cat([gradient.flatten() for gradient in gradients.values()]), values


@pytest.mark.parametrize("shards", [2, 3])
def test_the_gradient_and_the_losses_of_shards_are_those_of_the_whole(
    make: Make, columns: dict[str, Tensor], shards: int
) -> None:
    whole, expected = gradients_and_losses(make(1, threads=1), columns)
    found, losses = gradients_and_losses(make(shards, threads=2), columns)
    assert float((found - whole).norm() / whole.norm()) < 1e-6
    assert losses == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shards", [2, 3])
def test_learning_gives_the_same_bits_on_any_number_of_threads(
    make: Make, columns: dict[str, Tensor], shards: int
) -> None:
    learnt = []
    for threads in (1, 2, 3):
        learner = make(shards, threads)
        before = weights(learner)
        for iteration in range(2):
            learn(learner, columns, iteration)
        learnt.append(weights(learner))
        assert not torch.equal(before, learnt[-1])
    assert torch.equal(learnt[0], learnt[1])
    assert torch.equal(learnt[0], learnt[2])


def test_a_restored_learner_goes_on_with_the_same_bits(
    make: Make, columns: dict[str, Tensor], tmp_path: Path
) -> None:
    uninterrupted, restored = make(2, threads=1), make(2, threads=2)
    learn(uninterrupted, columns)
    uninterrupted.save_to_path(tmp_path)
    restored.restore_from_path(tmp_path)
    for learner in (uninterrupted, restored):
        learn(learner, columns, 1)
    assert torch.equal(weights(uninterrupted), weights(restored))


def test_gradients_that_were_found_finite_are_applied_as_rllib_applies_them(make: Make) -> None:
    checked, unchecked = make(1, threads=1), make(1, threads=1)
    for scale in (1.0, 1e-3):  # shortened, and not
        for learner in (checked, unchecked):
            gradients = {
                p: scale * torch.ones_like(p) for p in learner.module[DEFAULT_MODULE_ID].parameters()
            }
            gradients = learner.postprocess_gradients(gradients)
            if learner is unchecked:
                learner._finite = False
            learner.apply_gradients(gradients)
        assert torch.equal(weights(checked), weights(unchecked))


@pytest.mark.parametrize("after", ["none", "finite ones"])
def test_a_gradient_that_is_not_finite_spoils_no_weight(make: Make, after: str) -> None:
    learner = make(1, threads=1)
    gradients = {p: torch.ones_like(p) for p in learner.module[DEFAULT_MODULE_ID].parameters()}
    if after == "finite ones":
        learner.apply_gradients(learner.postprocess_gradients({p: g.clone() for p, g in gradients.items()}))
    next(iter(gradients.values())).view(-1)[0] = torch.nan
    before = weights(learner)
    learner.apply_gradients(learner.postprocess_gradients(gradients))
    assert weights(learner).isfinite().all()
    assert not torch.equal(before, weights(learner))
