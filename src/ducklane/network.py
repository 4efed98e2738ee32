"""The policy and value network, plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ducklane.settings import NetworkSettings


class PolicyNetwork(nn.Module):
    """Convolutions and one hidden layer shared by a Gaussian action head and a value head.

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
        self.value_head = nn.Linear(settings.hidden_size, 1)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(settings.initial_std)))
        self._initialize()

    def _initialize(self) -> None:
        # orthogonal weights and a nearly silent action head: the first actions are noise around zero
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, math.sqrt(2))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.action_head.weight, 0.01)
        nn.init.orthogonal_(self.value_head.weight, 1.0)

    def features(self, observations: Tensor) -> Tensor:
        """Map uint8 (or float of 0 to 255) observations [n, height, width, channels] to [n, hidden_size]."""
        features: Tensor = self.trunk(observations.float().permute(0, 3, 1, 2) / 255)
        return features

    def action_mean(self, features: Tensor) -> Tensor:
        """Mean of the actions, [n, action_size]; outside [-1, 1] it is clipped by whoever acts."""
        mean: Tensor = self.action_head(features)
        return mean

    def value(self, features: Tensor) -> Tensor:
        """Expected discounted return, [n]."""
        value: Tensor = self.value_head(features).squeeze(-1)
        return value

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, [n, action_size], before clipping."""
        return self.action_mean(self.features(observations))
