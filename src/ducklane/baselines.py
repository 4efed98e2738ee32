"""What a trained policy is compared with: a controller that knows the lane, and drivers that know nothing."""

from __future__ import annotations

import numpy as np

from ducklane.policy import Commands, Observations, Policy


class ProportionalController(Policy):
    """Steers by the true lane position, which no camera gives: the baseline to come close to.

    The wheels differ by `distance_gain * dist + angle_gain * angle`; the mean duty falls with the steering.
    """

    name = "proportional"

    def __init__(self, distance_gain: float = 3.0, angle_gain: float = 1.2, duty: float = 0.7) -> None:
        self.distance_gain = distance_gain
        self.angle_gain = angle_gain
        self.duty = duty

    def act(self, observations: Observations) -> Commands:
        """Wheel duty from lane positions [n, 2]; straight on outside any lane."""
        dist, angle = np.nan_to_num(observations.lane).T
        # positive dist and angle lie to the right, so the right wheel has to be the faster one
        turn = np.clip(self.distance_gain * dist + self.angle_gain * angle, -1, 1) * 0.5
        mean = np.maximum(self.duty - np.abs(turn), 0.2)
        return np.clip(np.stack([mean - turn, mean + turn], axis=1), -1, 1).astype(np.float32)


class ConstantPolicy(Policy):
    """The same wheel duty at every step."""

    def __init__(self, name: str, left: float, right: float) -> None:
        self.name = name
        self._command = np.array([left, right], dtype=np.float32)

    def act(self, observations: Observations) -> Commands:
        """The constant, [n, 2]."""
        return np.tile(self._command, (len(observations.lane), 1))


class RandomPolicy(Policy):
    """Uniform wheel duty, drawn anew at every step."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.reset(1)

    def reset(self, n: int) -> None:
        """Draw the same again: an episode does not depend on those before it."""
        self._rng = np.random.default_rng(self._seed)

    def act(self, observations: Observations) -> Commands:
        """Random duty, [n, 2]."""
        return self._rng.uniform(-1, 1, (len(observations.lane), 2)).astype(np.float32)


def baselines() -> list[Policy]:
    """What a trained policy is compared with."""
    return [
        ProportionalController(),
        ConstantPolicy("straight", 1.0, 1.0),
        ConstantPolicy("stand_still", 0.0, 0.0),
        ConstantPolicy("spin", -1.0, 1.0),
        RandomPolicy(),
    ]
