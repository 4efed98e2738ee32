"""A network's convolutions on several threads, bit for bit the same as on one.

torch's own threads each sum part of a gradient, so its last bits depend on the number of threads; and on a
busy machine they spin while waiting for one another. Here each thread takes some of the images through all
layers, forward and backward. The sum over all images, a layer's gradient, is computed by a single thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ducklane.network import PolicyNetwork

FEWEST_IMAGES = 32
"""Images per thread: fewer are as fast on one thread.

Below 16 torch does not use oneDNN, and the last bits change.
"""

MOST_THREADS = 4
"""With more, the part that a single thread computes dominates the time."""

Part = TypeVar("Part")
Result = TypeVar("Result")


def features(network: PolicyNetwork, observations: Tensor, threads: int) -> Tensor:
    """`network.features`, computed by several threads of this process.

    Args:
        network: on the CPU.
        observations: uint8, [n, height, width, channels].
        threads: at most this many.
    """
    threads = min(threads, MOST_THREADS, len(observations) // FEWEST_IMAGES)
    # where torch's own threads are requested (rllib.torch_threads), they are used instead
    if threads < 2 or observations.device.type != "cpu" or torch.get_num_threads() > 1:
        return network.features(observations)
    convolutions = network.convolutions
    parameters = [tensor for layer in convolutions for tensor in (layer.weight, layer.bias)]
    maps: Tensor = _Convolutions.apply(observations, convolutions, threads, *parameters)  # type: ignore[no-untyped-call]
    return network.hidden(maps)


class _Convolutions(torch.autograd.Function):
    """Scaled images through convolutions, each with ReLU."""

    @staticmethod
    def forward(
        ctx: Any, observations: Tensor, convolutions: Sequence[nn.Conv2d], threads: int, *parameters: Tensor
    ) -> Tensor:
        shares = _shares(len(observations), threads)
        maps = _empty_maps(observations, convolutions)

        def through(rows: slice) -> None:
            PolicyNetwork.scaled(observations[rows], out=maps[0][rows])
            for layer, before, after in zip(convolutions, maps, maps[1:], strict=False):
                torch.ops.aten.relu.out(layer(before[rows]), out=after[rows])

        _on_threads(threads, through, shares)
        ctx.save_for_backward(*maps)
        ctx.convolutions, ctx.shares, ctx.threads = convolutions, shares, threads
        return maps[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        maps, layers = ctx.saved_tensors, ctx.convolutions
        # gradients of each convolution's output, before ReLU
        flowing = [torch.empty_like(after) for after in maps[1:]]

        def back(rows: slice) -> None:
            grad = grads[0][rows]
            for i in reversed(range(len(layers))):
                into = flowing[i][rows]
                torch.ops.aten.threshold_backward.grad_input(grad, maps[i + 1][rows], 0, grad_input=into)
                if i:  # the gradient of the images is not needed
                    grad, _, _ = _convolution_backward(layers[i], into, maps[i][rows], images=True)

        def sum_up(i: int) -> tuple[Tensor, Tensor]:
            _, weight, bias = _convolution_backward(layers[i], flowing[i], maps[i], images=False)
            return weight, bias

        _on_threads(ctx.threads, back, ctx.shares)
        # in this order because the first layer, which sees the whole image, takes longest
        of_layers = _on_threads(ctx.threads, sum_up, range(len(layers)))
        return None, None, None, *(grad for of_layer in of_layers for grad in of_layer)


def _convolution_backward(layer: nn.Conv2d, grad: Tensor, before: Tensor, *, images: bool) -> Any:
    """Gradients of images, or else of weights and bias; None for the others."""
    return torch.ops.aten.convolution_backward(
        grad,
        before,
        layer.weight,
        bias_sizes=[layer.out_channels],
        stride=layer.stride,
        padding=[0, 0],
        dilation=[1, 1],
        transposed=False,
        output_padding=[0, 0],
        groups=1,
        output_mask=[images, not images, not images],
    )


def _empty_maps(observations: Tensor, convolutions: Iterable[nn.Conv2d]) -> list[Tensor]:
    """Uninitialised buffers for the scaled images and each layer's output."""
    n, height, width, channels = observations.shape
    shapes = [(n, channels, height, width)]
    for layer in convolutions:
        height, width = ((size - layer.kernel_size[0]) // layer.stride[0] + 1 for size in (height, width))
        shapes.append((n, layer.out_channels, height, width))
    return [torch.empty(shape, memory_format=torch.channels_last) for shape in shapes]


def _shares(n: int, threads: int) -> list[slice]:
    bounds = [n * thread // threads for thread in range(threads + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def _on_threads(threads: int, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """The results of all parts, in order; the calling thread does the first one."""
    mode = torch.inference_mode if torch.is_inference_mode_enabled() else torch.no_grad

    def quietly(part: Part) -> Result:
        with mode():  # a per-thread setting
            return work(part)

    first, *others = parts
    begun = [_pool(threads).submit(quietly, part) for part in others]
    return [quietly(first), *(other.result() for other in begun)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads besides the calling one. In each, oneDNN's own threading, a setting per thread, is off."""
    return ThreadPoolExecutor(threads - 1, "convolutions", torch.set_num_threads, (1,))
