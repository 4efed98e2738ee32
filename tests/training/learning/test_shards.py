"""What shards give is what the whole minibatch gives, whatever the number of threads. 1 s."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from ducklane.training.learning.shards import in_shards


@pytest.fixture
def network() -> nn.Module:
    """In double precision, in which rounding hides no error."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 8, 5)).double()


def images(n: int) -> Tensor:
    return torch.rand((n, 3, 8, 10), dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def gradients(network: nn.Module, outputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Of a loss to which each sample and each output contribute differently; `unused` does not."""
    loss = sum(
        (output * torch.linspace(-1, 1, output.numel()).reshape(output.shape)).sum()
        for name, output in outputs.items()
        if name != "unused"
    )
    return list(torch.autograd.grad(loss, list(network.parameters())))


@pytest.mark.parametrize(("n", "parts"), [(64, 2), (64, 4), (50, 3), (2, 5), (1, 2)])
def test_outputs_and_gradients_are_those_of_the_whole_minibatch(
    network: nn.Module, n: int, parts: int
) -> None:
    def compute(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = network(batch["images"])
        return {"plain": found, "times": found[:, 0] * batch["factor"], "unused": found}

    batch = {"images": images(n), "factor": torch.arange(n)}
    whole = compute(batch)
    found = in_shards(compute, batch, network.parameters(), parts, threads=2)
    assert list(found) == list(whole)
    for name, output in found.items():
        torch.testing.assert_close(output, whole[name])
    for ours, expected in zip(gradients(network, found), gradients(network, whole), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_shards_are_computed_at_the_same_time_each_by_one_thread() -> None:
    together = threading.Barrier(3, timeout=60)
    of_torch: list[int] = []

    def compute(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        together.wait()  # with fewer threads it breaks
        of_torch.append(torch.get_num_threads())
        return dict(batch)

    found = in_shards(compute, {"images": images(7)}, [], 3, threads=64)
    assert torch.equal(found["images"], images(7))
    assert of_torch == [1, 1, 1]
