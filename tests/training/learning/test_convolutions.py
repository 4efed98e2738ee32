"""However many threads compute a network's convolutions, the bits are the same. 1 s."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from ducklane.network import PolicyNetwork
from ducklane.settings import Settings
from ducklane.training.learning import convolutions


@pytest.fixture(autouse=True)
def _one_thread_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network(settings: Settings) -> PolicyNetwork:
    torch.manual_seed(0)
    return PolicyNetwork(settings.observation.shape, 2, settings.network)


def observations(settings: Settings, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, *settings.observation.shape), dtype=torch.uint8, generator=generator)


def computed(network: PolicyNetwork, features: Callable[[Tensor], Tensor], seen: Tensor) -> list[Tensor]:
    """Features and the gradients of all weights."""
    network.zero_grad()
    found = features(seen)
    found.backward(torch.linspace(-1, 1, found.numel()).reshape(found.shape))
    return [found.detach(), *(p.grad.clone() for p in network.trunk.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("n", "threads"), [(256, 2), (256, 4), (100, 3), (64, 2)])
def test_features_and_gradients_are_the_same_bits_on_any_number_of_threads(
    settings: Settings, network: PolicyNetwork, n: int, threads: int
) -> None:
    seen = observations(settings, n)
    expected = computed(network, network.features, seen)
    found = computed(network, lambda images: convolutions.features(network, images, threads), seen)
    assert len(found) == len(expected) == 1 + 2 * len(settings.network.conv_filters) + 2
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_several_threads_are_used_if_there_are_enough_images(
    settings: Settings, network: PolicyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    pool = convolutions._pool

    def noted(threads: int) -> object:
        asked.append(threads)
        return pool(threads)

    monkeypatch.setattr(convolutions, "_pool", noted)
    with torch.inference_mode():
        for n, threads in ((32, 2), (64, 1), (64, 2), (256, 64)):
            seen = observations(settings, n)
            found = convolutions.features(network, seen, threads)
            assert torch.equal(found, network.features(seen))
    assert asked == [2, convolutions.MOST_THREADS, *[convolutions.MOST_THREADS] * 2]
