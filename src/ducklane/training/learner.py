"""PPO's loss, with a second task: to tell the true state from the image."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.ppo.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from torch import Tensor

from ducklane.training.module import STATE, STATE_ESTIMATE

STATE_COEFF = "state_coeff"
"""Key of `learner_config_dict`."""

STATE_LOSS = "state_loss"
"""Name of the second task's loss among RLlib's results: mean squared error of numbers of unit size."""


class PolicyLearner(PPOTorchLearner):  # type: ignore[misc]
    """RLlib's, with the auxiliary loss.

    Where the lane is can be learnt from every single image, long before returns say what it is good for.

    References:
        Jaderberg et al., Reinforcement Learning with Unsupervised Auxiliary Tasks (2017).
    """

    def compute_loss_for_module(
        self, *, module_id: str, config: PPOConfig, batch: dict[str, Any], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        """PPO's loss plus `state_coeff` times the mean squared error of the estimated state."""
        loss: Tensor = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        error = torch.nn.functional.mse_loss(fwd_out[STATE_ESTIMATE], batch[STATE])
        self.metrics.log_value((module_id, STATE_LOSS), error.detach(), window=1)
        return loss + config.learner_config_dict[STATE_COEFF] * error
