"""The networks, in plain torch: the policy, which is deployed on the robot, and the critic, for training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ducklane.settings import NetworkSettings


class PolicyNetwork(nn.Module):
    """Convolutions, one hidden layer and a Gaussian action head.

    Args:
        observation_shape: (height, width, channels) of a uint8 observation.
        action_size: length of an action.
        settings: layers and the initial standard deviation.
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
        # small weights in the head: the first actions are noise around zero
        nn.init.orthogonal_(self.action_head.weight, 0.01)

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """The convolutional layers, each followed by ReLU."""
        return [layer for layer in self.trunk if isinstance(layer, nn.Conv2d)]

    @staticmethod
    def scaled(observations: Tensor, out: Tensor | None = None) -> Tensor:
        """Convert observations to what the convolutions take.

        Args:
            observations: [n, height, width, channels], uint8 or float, 0 to 255.
            out: tensor to write to; a new one if None.

        Returns:
            float32 [n, channels, height, width], 0 to 1.
        """
        # copy, then scale in place: one pass over the images less than a division into a new tensor
        images = observations.permute(0, 3, 1, 2)
        copy = images.to(torch.float32, copy=True) if out is None else out.copy_(images)
        return copy.mul_(1 / 255)

    def hidden(self, maps: Tensor) -> Tensor:
        """Map the convolutions' output [n, channels, height, width] to features [n, hidden_size]."""
        features: Tensor = self.trunk[2 * len(self.convolutions) :](maps)
        return features

    def features(self, observations: Tensor) -> Tensor:
        """Map observations as in `scaled` to features [n, hidden_size]."""
        features: Tensor = self.trunk(self.scaled(observations))
        return features

    def action_mean(self, features: Tensor) -> Tensor:
        """Mean of the actions, [n, action_size], not clipped: `ActionMapping` clips it to [-1, 1]."""
        mean: Tensor = self.action_head(features)
        return mean

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, [n, action_size], before clipping."""
        return self.action_mean(self.features(observations))


class Critic(nn.Module):
    """The value function: two hidden layers on the true state, or one linear layer on the policy's features.

    Args:
        state_size: length of the true state, including past actions.
        settings: `critic` chooses the input, `critic_hidden_size` the size of the hidden layers.
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
