"""A network's features of a minibatch, shard by shard, on several threads.

Each thread takes a shard of the images through the layers, forward and backward, and the shards' gradients
are added in their order. So the bits depend on the number of shards, and not on that of threads. torch's own
threads each sum part of a gradient instead: its last bits depend on their number, and on a busy machine they
spin while waiting for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from ducklane.network import PolicyNetwork

Part = TypeVar("Part")
Result = TypeVar("Result")


def features(network: PolicyNetwork, observations: Tensor, shards: int, threads: int) -> Tensor:
    """`network.features`, to be differentiated with respect to the network's parameters.

    Args:
        network: on any device; on a GPU, which needs no threads, the minibatch stays whole.
        observations: uint8, [n, height, width, channels].
        shards: parts of the minibatch, of n / shards images each, rounded up or down.
        threads: at most this many compute at once.
    """
    shards = min(shards, len(observations))
    if shards < 2 or observations.device.type != "cpu":
        return network.features(observations)
    bounds = [len(observations) * shard // shards for shard in range(shards + 1)]
    rows = [slice(*pair) for pair in pairwise(bounds)]
    found: Tensor = _Sharded.apply(  # type: ignore[no-untyped-call]
        network, observations, rows, min(threads, shards), *network.trunk.parameters()
    )
    return found


class _Sharded(torch.autograd.Function):
    """One node of the minibatch's graph, which holds a graph of each shard."""

    @staticmethod
    def forward(
        ctx: Any,
        network: PolicyNetwork,
        observations: Tensor,
        rows: Sequence[slice],
        threads: int,
        *parameters: Tensor,
    ) -> Tensor:
        def through(shard: slice) -> Tensor:
            with torch.enable_grad():
                return network.features(observations[shard])

        ctx.found = _on_threads(threads, through, rows)
        ctx.rows, ctx.threads, ctx.parameters = rows, threads, parameters
        return torch.cat([found.detach() for found in ctx.found])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        def back(part: tuple[Tensor, slice]) -> Sequence[Tensor]:
            found, shard = part
            # unlike `backward`, it writes to no tensor that threads share
            return torch.autograd.grad(found, ctx.parameters, grads[0][shard])

        of_shards = _on_threads(ctx.threads, back, zip(ctx.found, ctx.rows, strict=True))
        return None, None, None, None, *(sum(grads) for grads in zip(*of_shards, strict=True))


def _on_threads(threads: int, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """The results of all parts, in order."""
    return list(_pool(threads).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads without threads of torch's own in them, which is a setting per thread."""
    return ThreadPoolExecutor(threads, "shards", torch.set_num_threads, (1,))
