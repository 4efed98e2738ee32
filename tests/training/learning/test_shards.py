"""The features of shards are those of the whole minibatch, whatever the number of threads. 2 s."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from ducklane.network import PolicyNetwork
from ducklane.settings import Settings
from ducklane.training.learning import shards


class Precise(PolicyNetwork):
    """In double precision, in which rounding hides no error."""

    @staticmethod
    def scaled(observations: Tensor, out: Tensor | None = None) -> Tensor:
        """Images in double precision."""
        return PolicyNetwork.scaled(observations, out).double()


class Meeting(PolicyNetwork):
    """Computes no features before several threads are at it."""

    def meet(self, threads: int) -> None:
        """Wait for this many."""
        self.barrier = threading.Barrier(threads, timeout=60)

    def features(self, observations: Tensor) -> Tensor:
        """Wait, then compute."""
        self.barrier.wait()
        return super().features(observations)


def observations(settings: Settings, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, *settings.observation.shape), dtype=torch.uint8, generator=generator)


def computed(network: PolicyNetwork, found: Tensor) -> list[Tensor]:
    """Features and the gradients of all weights that give them."""
    network.zero_grad()
    found.backward(torch.linspace(-1, 1, found.numel(), dtype=found.dtype).reshape(found.shape))
    return [found.detach(), *(p.grad for p in network.trunk.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("n", "parts"), [(64, 2), (64, 4), (50, 3), (2, 5), (1, 2)])
def test_features_and_gradients_are_those_of_the_whole_minibatch(
    settings: Settings, n: int, parts: int
) -> None:
    torch.manual_seed(0)
    network = Precise(settings.observation.shape, 2, settings.network).double()
    seen = observations(settings, n)
    expected = computed(network, network.features(seen))
    found = computed(network, shards.features(network, seen, parts, threads=2))
    assert len(found) == len(expected) == 1 + len(list(network.trunk.parameters()))
    for ours, whole in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-12)


def test_shards_are_computed_at_the_same_time(settings: Settings) -> None:
    network = Meeting(settings.observation.shape, 2, settings.network)
    network.meet(3)
    # with fewer threads the barrier breaks
    found = shards.features(network, observations(settings, 6), 3, threads=64)
    assert found.shape == (6, settings.network.hidden_size)
