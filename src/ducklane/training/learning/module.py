"""The project's networks as RLlib's RLModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from ducklane.machine.hardware import usable_cpus
from ducklane.network import Critic, PolicyNetwork
from ducklane.settings import NetworkSettings
from ducklane.task.privileged import STATE_SIZE
from ducklane.training.learning.shards import in_shards

STATE = "privileged_state"
"""Column of batches: [n, STATE_SIZE] of `privileged_state`."""
PAST_ACTIONS = "past_actions"
"""Column of batches: [n, ACTIONS_KEPT * action size], the latest first, 0 before the start of the episode."""
STATE_ESTIMATE = "privileged_state_estimate"
"""Output of `forward_train`: STATE as predicted from the policy's features."""

SHARDS = "learner_shards"
"""Key of `model_config`: number of shards in which a minibatch is learnt."""

ACTIONS_KEPT = 5
"""Commands take effect 0.15 s, or 4 to 5 steps, late: those still to take effect are part of the state."""


class PolicyModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """Policy and critic. Takes uint8 observations as they are; RLlib's default network would need floats."""

    def setup(self) -> None:
        """Build the networks from `model_config`: the fields of NetworkSettings, and SHARDS."""
        # RLlib adds keys of its own to model_config
        ours = {key: self.model_config[key] for key in NetworkSettings.model_fields}
        settings = NetworkSettings.model_validate(ours)
        actions = self.action_space.shape[0]
        self.network = PolicyNetwork(self.observation_space.shape, actions, settings)
        self.critic = Critic(STATE_SIZE + ACTIONS_KEPT * actions, settings)
        self.state_head = nn.Linear(settings.hidden_size, STATE_SIZE)
        self._shards = self.model_config[SHARDS]
        # sampling workers wait during learning, so all cores are free
        self._threads = usable_cpus()

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        """The distribution of actions; and the values of the states, where the batch contains them."""
        features = self.network.features(batch[Columns.OBS])
        outputs = self._distribution(features)
        if STATE in batch:
            outputs[Columns.VF_PREDS] = self._values(batch, features)
        return outputs

    def forward_exploration(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        """As RLlib's, without switching every layer to evaluation mode and back, which ours do not need."""
        with torch.no_grad():
            return self._forward(batch)

    def forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        """As RLlib's, likewise."""
        return self._forward_train(batch)

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        inputs = {name: batch[name] for name in (Columns.OBS, STATE, PAST_ACTIONS) if name in batch}
        return in_shards(self._to_learn, inputs, self.parameters(), self._shards, self._threads)

    def _to_learn(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen = self.network.features(batch[Columns.OBS])
        return {
            **self._distribution(seen),
            STATE_ESTIMATE: self.state_head(seen),
            # which RLlib's loss hands to `compute_values`
            Columns.EMBEDDINGS: self._values(batch, seen),
        }

    def _distribution(self, features: Tensor) -> dict[str, Tensor]:
        mean = self.network.action_mean(features)
        return {Columns.ACTION_DIST_INPUTS: torch.cat([mean, self.network.log_std.expand_as(mean)], dim=-1)}

    def _values(self, batch: Mapping[str, Tensor], features: Tensor) -> Tensor:
        values: Tensor = self.critic(features, torch.cat([batch[STATE], batch[PAST_ACTIONS]], dim=-1))
        return values

    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """State values, [n]; `embeddings` are these values already, if `forward_train` has computed them."""
        if embeddings is not None:
            return embeddings
        return self._values(batch, self.network.features(batch[Columns.OBS]))
