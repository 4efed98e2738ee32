"""The project's network as RLlib's RLModule."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from ducklane.network import PolicyNetwork
from ducklane.settings import NetworkSettings

VALUE_CHUNK = 1024
"""Observations per forward of the value pass over a whole batch: it bounds the memory that GAE takes."""


class PolicyModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """Takes uint8 observations as they come; RLlib's default network would need them as floats."""

    def setup(self) -> None:
        """Build the network from `model_config`, the fields of NetworkSettings."""
        # RLlib adds keys of its own to model_config
        ours = {key: self.model_config[key] for key in NetworkSettings.model_fields}
        settings = NetworkSettings.model_validate(ours)
        self.network = PolicyNetwork(self.observation_space.shape, self.action_space.shape[0], settings)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        return self._distribution(self.network.features(batch[Columns.OBS]))

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        features = self.network.features(batch[Columns.OBS])
        return {**self._distribution(features), Columns.EMBEDDINGS: features}

    def _distribution(self, features: Tensor) -> dict[str, Tensor]:
        mean = self.network.action_mean(features)
        return {Columns.ACTION_DIST_INPUTS: torch.cat([mean, self.network.log_std.expand_as(mean)], dim=-1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """State values, [n]; from the embeddings of `_forward_train` where there are any."""
        if embeddings is not None:
            return self.network.value(embeddings)
        chunks = batch[Columns.OBS].split(VALUE_CHUNK)
        return torch.cat([self.network.value(self.network.features(chunk)) for chunk in chunks])
