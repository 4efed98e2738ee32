"""What a network makes of a minibatch, shard by shard, on several threads.

Each thread takes a shard of the samples through the network, forward and backward, and the shards' gradients
are added in their order. So the bits depend on the number of shards, and not on that of threads. torch's own
threads each sum part of a gradient instead: its last bits depend on their number, and on a busy machine they
spin while waiting for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

Columns = Mapping[str, Tensor]
"""Tensors with a row for each sample, by name."""
Part = TypeVar("Part")
Result = TypeVar("Result")


def in_shards(
    compute: Callable[[Columns], Columns],
    batch: Columns,
    parameters: Iterable[Tensor],
    shards: int,
    threads: int,
) -> dict[str, Tensor]:
    """`compute(batch)`, to be differentiated with respect to the parameters.

    Args:
        compute: maps each sample by itself.
        batch: on any device; on a GPU, which needs no threads, it stays whole.
        parameters: all that `compute` uses.
        shards: parts of the batch, of as many samples each, or one more.
        threads: at most this many compute at once.
    """
    first = next(iter(batch.values()))
    shards = min(shards, len(first))
    if shards < 2 or first.device.type != "cpu":
        return dict(compute(batch))
    bounds = [len(first) * shard // shards for shard in range(shards + 1)]
    rows = [slice(*pair) for pair in pairwise(bounds)]
    parts = [{name: column[part] for name, column in batch.items()} for part in rows]
    names: list[str] = []
    outputs = _Sharded.apply(  # type: ignore[no-untyped-call]
        compute, parts, rows, min(threads, shards), names, *parameters
    )
    return dict(zip(names, outputs, strict=True))


class _Sharded(torch.autograd.Function):
    """One node of the minibatch's graph, which holds a graph of each shard."""

    @staticmethod
    def forward(
        ctx: Any,
        compute: Callable[[Columns], Columns],
        parts: Sequence[Columns],
        rows: Sequence[slice],
        threads: int,
        names: list[str],
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        def through(part: Columns) -> Columns:
            with torch.enable_grad():
                return compute(part)

        found = _on_threads(threads, through, parts)
        names += found[0]
        ctx.found = [tuple(of_shard.values()) for of_shard in found]
        ctx.rows, ctx.threads, ctx.parameters = rows, threads, parameters
        return tuple(torch.cat([of_shard[name].detach() for of_shard in found]) for name in names)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        def back(part: tuple[Sequence[Tensor], slice]) -> Sequence[Tensor]:
            found, rows = part
            # unlike `backward`, it writes to no tensor that threads share
            return torch.autograd.grad(
                found, ctx.parameters, [grad[rows] for grad in grads], materialize_grads=True
            )

        of_shards = _on_threads(ctx.threads, back, zip(ctx.found, ctx.rows, strict=True))
        return (
            None,
            None,
            None,
            None,
            None,
            *(reduce(torch.add, grads) for grads in zip(*of_shards, strict=True)),
        )


def _on_threads(threads: int, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """The results of all parts, in order."""
    return list(_pool(threads).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads without threads of torch's own in them, which is a setting per thread."""
    return ThreadPoolExecutor(threads, "shards", torch.set_num_threads, (1,))
