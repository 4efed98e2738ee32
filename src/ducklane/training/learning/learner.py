"""PPO's loss with an auxiliary task, predicting the true state from the image; and decaying exploration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor, nn

from ducklane.training.learning.minibatches import gathered
from ducklane.training.learning.module import STATE, STATE_ESTIMATE

STATE_COEFF = "state_coeff"
"""Key of `learner_config_dict`: weight of the auxiliary task's loss."""

BOUND_COEFF = "bound_coeff"
"""Key of `learner_config_dict`: weight of the loss for mean actions beyond -1 and 1."""

STD_BOUND = "std_bound"
"""Key of `learner_config_dict`: the bound on the actions' standard deviation as [step, bound] pairs."""

STATE_LOSS = "state_loss"
"""Name of the auxiliary loss among RLlib's results: mean squared error of the normalised state."""

ACTION_STD = "action_std"
"""Name of the actions' mean standard deviation among RLlib's results."""

CLIPPED = "gradients_clipped"
"""Name among RLlib's results of 1 where a gradient was shortened to `grad_clip`, and 0 elsewhere."""

NORM = "gradients_default_optimizer_global_norm"
"""RLlib's name of the gradient's length, before it was shortened."""

OF_MINIBATCHES = (
    "total_loss",
    "policy_loss",
    "vf_loss",
    "vf_explained_var",
    "entropy",
    "mean_kl_loss",
    NORM,
    STATE_LOSS,
    CLIPPED,
)
"""Names of RLlib's results that each minibatch gives; logged is their mean over an iteration."""


class PolicyLearner(PPOTorchLearner):  # type: ignore[misc]
    """RLlib's learner with an auxiliary loss, a loss for actions out of bounds, and a bound on their noise.

    Auxiliary loss: every single image teaches where the lane is, long before returns show what that is good
    for.

    Bound on the noise: PPO lowers it by itself, but too slowly for a short training run. The policy would
    drive with much noise to the end, be scored on episodes that the noise cut short, and learn to drive well
    with noise rather than without.

    Loss for actions out of bounds: actions are clipped to [-1, 1], and nothing else keeps their mean from
    drifting far beyond, where noise has no effect. A robot that drives straight at full speed would then
    never find out what a turn is worth.

    References:
        Jaderberg et al., Reinforcement Learning with Unsupervised Auxiliary Tasks (2017).
    """

    _finite: bool = False
    """Whether the gradients that were postprocessed last, and not applied yet, were found finite."""

    def build(self) -> None:
        """As RLlib's; its own records of the losses would keep the last minibatch of each iteration alone."""
        super().build()
        for name in OF_MINIBATCHES:
            # the first value decides how a record is reduced, and on which device; NaN does not count
            nothing = torch.tensor(math.nan, device=self.device)
            self.metrics.log_value((DEFAULT_MODULE_ID, name), nothing, reduce="mean")

    def compute_loss_for_module(
        self, *, module_id: str, config: PPOConfig, batch: dict[str, Any], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        """PPO's loss plus the weighted losses of the estimated state and of actions out of bounds."""
        loss: Tensor = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        error = torch.nn.functional.mse_loss(fwd_out[STATE_ESTIMATE], batch[STATE])
        self.metrics.log_value((module_id, STATE_LOSS), error.detach(), window=1)
        loss = loss + config.learner_config_dict[STATE_COEFF] * error
        if coefficient := config.learner_config_dict[BOUND_COEFF]:
            mean, _ = fwd_out[Columns.ACTION_DIST_INPUTS].chunk(2, dim=-1)
            loss = loss + coefficient * out_of_bounds(mean)
        return loss

    def configure_optimizers_for_module(self, module_id: str, config: PPOConfig) -> None:
        """As RLlib's, but Adam updates all parameters in one call."""
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    def postprocess_gradients_for_module(
        self, *, module_id: str, config: PPOConfig, module_gradients_dict: dict[Any, Tensor]
    ) -> dict[Any, Tensor]:
        """As RLlib's, which clips, in fewer calls; and record whether that shortened the gradient."""
        gradients = list(module_gradients_dict.values())
        norm = nn.utils.get_total_norm(gradients)
        self.metrics.log_value((module_id, CLIPPED), (norm > config.grad_clip).float(), window=1)
        self._finite = bool(norm.isfinite())
        if not self._finite:
            clipped: dict[Any, Tensor] = super().postprocess_gradients_for_module(
                module_id=module_id, config=config, module_gradients_dict=module_gradients_dict
            )
            return clipped
        self.metrics.log_value((module_id, NORM), norm, window=1)
        scale = config.grad_clip / norm.clamp(min=config.grad_clip)
        for gradient in gradients:
            gradient.mul_(scale)
        return module_gradients_dict

    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        """As RLlib's, which looks for what is not finite, unless postprocessing has found all finite."""
        checked, self._finite = self._finite, False
        if not checked:
            super().apply_gradients(gradients_dict)
            return
        for parameter, gradient in gradients_dict.items():
            parameter.grad = gradient
        for _, optimizer in self.get_optimizers_for_module(DEFAULT_MODULE_ID):
            optimizer.step()

    def _create_iterator_if_necessary(self, **kwargs: Any) -> Any:
        return gathered(super()._create_iterator_if_necessary(**kwargs))

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Clamp the noise of the next samples to its bound, which falls linearly with the steps."""
        super().after_gradient_based_update(timesteps=timesteps)
        steps, bounds = zip(*self.config.learner_config_dict[STD_BOUND], strict=True)
        bound = float(np.interp(timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME], steps, bounds))
        log_std = self.module[DEFAULT_MODULE_ID].unwrapped().network.log_std
        with torch.no_grad():
            log_std.clamp_(max=math.log(bound))
        self.metrics.log_value((DEFAULT_MODULE_ID, ACTION_STD), log_std.exp().mean().item(), window=1)


def out_of_bounds(actions: Tensor) -> Tensor:
    """Mean square of how far actions are beyond -1 or 1."""
    return torch.relu(actions.abs() - 1).square().mean()
