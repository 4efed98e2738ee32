"""The networks, plain torch: the policy, which goes onto the robot, and what only training needs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ducklane.settings import NetworkSettings


class PolicyNetwork(nn.Module):
    """Convolutions, one hidden layer and a Gaussian action head.

    Args:
        observation_shape: (height, width, channels) of a uint8 observation.
        action_size: numbers in an action.
        settings: layers and the first standard deviation.
    """

    def __init__(
        self, observation_shape: tuple[int, int, int], action_size: int, settings: NetworkSettings
    ) -> None:
        super().__init__()
        height, width, channels = observation_shape
        layers: list[nn.Module] = []
        for out_channels, kernel, stride in settings.conv_filters:
            layers += [nn.Conv2d(channels, out_channels, kernel, stride), nn.ReLU()]
            channels = out_channels
        map_height, map_width = settings.map_sizes(height, width)[-1]
        layers += [
            nn.Flatten(),
            nn.Linear(channels * map_height * map_width, settings.hidden_size),
            nn.ReLU(),
        ]
        self.trunk = nn.Sequential(*layers)
        self.action_head = nn.Linear(settings.hidden_size, action_size)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(settings.initial_std)))
        _initialize(self)
        # a nearly silent head: the first actions are noise around zero
        nn.init.orthogonal_(self.action_head.weight, 0.01)

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """The layers that images go through, each followed by ReLU."""
        return [layer for layer in self.trunk if isinstance(layer, nn.Conv2d)]

    @staticmethod
    def scaled(observations: Tensor, out: Tensor | None = None) -> Tensor:
        """Map observations [n, height, width, channels], uint8 or float of 0 to 255, to images for layers.

        Args:
            observations: of 0 to 255.
            out: where to put the images; a new tensor if not given.

        Returns:
            float32, [n, channels, height, width], of 0 to 1.
        """
        # a copy of its own, scaled where it lies: one pass over the images less than dividing them
        images = observations.permute(0, 3, 1, 2)
        copy = images.to(torch.float32, copy=True) if out is None else out.copy_(images)
        return copy.mul_(1 / 255)

    def hidden(self, maps: Tensor) -> Tensor:
        """Map what the convolutions make of images [n, channels, height, width] to [n, hidden_size]."""
        features: Tensor = self.trunk[2 * len(self.convolutions) :](maps)
        return features

    def features(self, observations: Tensor) -> Tensor:
        """Map uint8 (or float of 0 to 255) observations [n, height, width, channels] to [n, hidden_size]."""
        features: Tensor = self.trunk(self.scaled(observations))
        return features

    def action_mean(self, features: Tensor) -> Tensor:
        """Mean of the actions, [n, action_size]; outside [-1, 1] it is clipped by whoever acts."""
        mean: Tensor = self.action_head(features)
        return mean

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, [n, action_size], before clipping."""
        return self.action_mean(self.features(observations))


class Critic(nn.Module):
    """Two hidden layers from the true state, or one layer from the policy's features, to a value.

    Args:
        state_size: numbers of the true state, with the past actions.
        settings: which of the two, and its size.
    """

    def __init__(self, state_size: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.privileged = settings.critic == "privileged"
        size = settings.critic_hidden_size
        hidden = (nn.Linear(state_size, size), nn.Tanh(), nn.Linear(size, size), nn.Tanh())
        head = nn.Linear(size if self.privileged else settings.hidden_size, 1)
        self.layers = nn.Sequential(*(hidden if self.privileged else ()), head)
        _initialize(self)
        nn.init.orthogonal_(head.weight, 1.0)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Expected discounted return, [n], from [n, hidden_size] and [n, state_size]."""
        value: Tensor = self.layers(state if self.privileged else features).squeeze(-1)
        return value


def _initialize(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, math.sqrt(2))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
