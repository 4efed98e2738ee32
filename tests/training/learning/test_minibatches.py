"""Minibatches match those of RLlib. 1 s."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.minibatch_utils import MiniBatchCyclicIterator, MiniBatchDummyIterator

from ducklane.training.learning.minibatches import gathered


def batch(n: int) -> MultiAgentBatch:
    columns = {
        "obs": torch.arange(n * 12, dtype=torch.uint8).reshape(n, 2, 3, 2),
        "value": torch.linspace(0, 1, n),
    }
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, n)


def drawn(minibatches: Any) -> list[dict[str, torch.Tensor]]:
    return [dict(minibatch[DEFAULT_MODULE_ID]) for minibatch in minibatches]


@pytest.mark.parametrize("n", [64, 71])
@pytest.mark.parametrize("shuffled", [True, False])
def test_minibatches_match_those_of_rllib(n: int, shuffled: bool) -> None:
    def minibatches() -> MiniBatchCyclicIterator:
        np.random.seed(3)  # noqa: NPY002 - which RLlib draws from
        return MiniBatchCyclicIterator(
            batch(n), num_epochs=3, minibatch_size=16, shuffle_batch_per_epoch=shuffled
        )

    expected = drawn(minibatches())
    found = drawn(gathered(minibatches()))
    assert len(found) == len(expected) >= 3 * n // 16
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_batch_that_is_not_split_stays_as_it_is() -> None:
    whole = MiniBatchDummyIterator(batch(8), minibatch_size=8)
    assert gathered(whole) is whole
