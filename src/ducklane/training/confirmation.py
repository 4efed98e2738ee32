"""The chosen policy, driven without exploration noise: does it do as well as its mean with noise says?

`episode_reward_mean` chooses the best checkpoint. It is the highest of many means, of episodes with noise by
policies that still changed. The policy itself is used without noise, and by others than the robots it learned
from; so it drives once more on training's own task, from starts that it has not been chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

import numpy as np
import torch

from ducklane.environment import TaskVectorEnv
from ducklane.network import PolicyNetwork
from ducklane.settings import Settings

DRIVES = 128
"""As many as take a few seconds on two cores."""

SEED = 0
"""Of the starts, the same for every training run, whatever its own seed.

From some of training's starts, far off the lane, a good policy still crashes within a second, and luck with
them sways a mean of so few. These are ordinary ones: the default policy survives 80 % of them, and 77 % of
4096 others.
"""

ROBOTS_WITH_LENSES = 16
"""Each drives several episodes: `simulator.camera_rand` gives each a lens, which takes about 50 ms to
make."""

REWARD_MEAN = "confirmed/episode_reward_mean"
SURVIVED_SHARE = "confirmed/survived_share"

CONFIRMED = {
    REWARD_MEAN: f"sum of an episode's rewards, mean of {DRIVES} episodes from random starts, without "
    "exploration",
    SURVIVED_SHARE: "share of these episodes, 0 to 1, that lasted `simulator.max_steps`: no crash",
}
"""Metrics of the best checkpoint -> what each means."""

DOUBT = 3.0
"""Standard errors by which the reward without noise must be lower before that is called a contradiction.

More than the usual two: `episode_reward_mean` is the highest of many means, and so about one too high.
"""

_BOUND = NormalDist().inv_cdf(0.975)
"""In standard errors: the bound of a 95 % interval. For this many drives Student's t is the same."""


@dataclass(frozen=True)
class Confirmation:
    """How a policy drives without exploration noise."""

    rewards: Sequence[float]
    """sum of the rewards of each drive, one whole episode"""
    survived: int
    """drives that lasted `simulator.max_steps`"""

    @property
    def reward_mean(self) -> float:
        """Mean over the drives."""
        return fmean(self.rewards)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of this mean."""
        margin = _BOUND * _error(self.rewards)
        return self.reward_mean - margin, self.reward_mean + margin

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics in CONFIRMED."""
        return {REWARD_MEAN: self.reward_mean, SURVIVED_SHARE: self.survived / len(self.rewards)}

    def line(self, noisy_mean: float) -> str:
        """What it says, beside the `episode_reward_mean` that the policy was chosen by."""
        drives = len(self.rewards)
        return (
            f"confirmed by {drives} drives from training's starts, without noise: "
            f"reward {self.reward_mean:.1f} ({noisy_mean:.1f} with noise), "
            f"{self.survived} of {drives} reach the end"
        )

    def warning(self, noisy: Sequence[float]) -> str | None:
        """What to do if the reward is lower than with noise by more than chance explains; None otherwise.

        The standard error of the difference (Welch's) allows for chance among the drives and among the
        episodes with noise, DOUBT for the choice of the highest mean.

        Args:
            noisy: sums of the rewards of the episodes behind `episode_reward_mean`; fewer than two tell
                nothing.
        """
        if len(noisy) < 2:
            return None
        error = math.hypot(_error(self.rewards), _error(noisy))
        if self.reward_mean + DOUBT * error >= fmean(noisy):
            return None
        low, high = self.interval
        return (
            f"the policy drives worse without noise than its episode_reward_mean promises: {low:.1f} to "
            f"{high:.1f} against {fmean(noisy):.1f}; train longer (tune.stop.timesteps_total), with several "
            "seeds (tune.num_samples), or with less noise at the end (rllib.std_end)"
        )


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return math.sqrt(variance(values) / len(values))


def confirm(network: PolicyNetwork, settings: Settings, drives: int = DRIVES) -> Confirmation:
    """Drive whole episodes from many random starts, on the task of the training.

    The batched simulator is used whichever one the policy was trained in. The same network gives the same
    result, bit for bit, on any number of cores.

    Args:
        network: that of the policy.
        settings: of its training; its seed does not matter.
        drives: number of episodes, at least 2, on each of training's maps in turn.
    """
    world = settings.simulator.model_copy(update={"seed": SEED})
    robots = min(drives, ROBOTS_WITH_LENSES) if world.camera_rand else drives
    # as many of each robot: the first to end would more often be crashes
    left = np.full(robots, drives // robots)
    sums, rewards, survived = np.zeros(robots), [], 0
    env = TaskVectorEnv(settings.model_copy(update={"simulator": world}), robots)
    try:
        with _one_thread(), torch.inference_mode():
            images, _ = env.reset(seed=SEED)
            while left.any():
                actions = network(torch.from_numpy(images)).numpy()
                images, paid, crashed, truncated, _ = env.step(actions)
                sums += paid
                counting, ended = left > 0, crashed | truncated
                rewards += sums[ended & counting].tolist()
                survived += int(np.count_nonzero(truncated & counting))
                left -= ended & counting
                sums[ended] = 0.0
    finally:
        env.close()
    return Confirmation(rewards, survived)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: on several it may add numbers in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
