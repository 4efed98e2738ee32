"""The minibatches that RLlib draws, put together in a tenth of the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.minibatch_utils import MiniBatchCyclicIterator

from ducklane.training.ray_private import batch_of, draw_from

ROWS = "rows"
"""Column of the numbers of rows."""


def gathered(minibatches: Iterable[MultiAgentBatch]) -> Iterable[MultiAgentBatch]:
    """The same minibatches, each row copied once.

    RLlib shuffles the whole batch, images and all, one number at a time. Here it shuffles the numbers of the
    rows instead; another iterator than its `MiniBatchCyclicIterator` is left as it is.
    """
    if not isinstance(minibatches, MiniBatchCyclicIterator):
        return minibatches
    whole = batch_of(minibatches)
    rows = {
        name: SampleBatch({ROWS: np.arange(len(of_module))})
        for name, of_module in whole.policy_batches.items()
    }
    draw_from(minibatches, MultiAgentBatch(rows, whole.env_steps()))
    return _rows_of(whole, minibatches)


def _rows_of(whole: MultiAgentBatch, chosen: Iterable[MultiAgentBatch]) -> Iterator[MultiAgentBatch]:
    for rows in chosen:
        yield MultiAgentBatch(
            {
                name: SampleBatch(_selected(whole.policy_batches[name], numbers[ROWS]))
                for name, numbers in rows.policy_batches.items()
            },
            rows.env_steps(),
        )


def _selected(batch: SampleBatch, numbers: Any) -> dict[str, torch.Tensor]:
    return {
        name: column.index_select(0, torch.as_tensor(numbers, device=column.device))
        for name, column in batch.items()
    }
