"""What a trained policy is compared with: a controller that knows the lane, and drivers that know nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ducklane.policy import Commands, Observations, Policy


class Gains(NamedTuple):
    """Of the proportional controller: numbers, or arrays with one a robot."""

    distance_gain: Any
    angle_gain: Any
    duty: Any
    slowdown: Any
    least_duty: Any


class ProportionalController(Policy):
    """Steers by the true lane position, which no camera gives.

    The wheels differ by `distance_gain * dist + angle_gain * angle`; the mean duty falls with the steering.
    `make tune-controller` found the default gains: those that go farthest on loop_empty while the robot stays
    as close to the lane as the gate's goal demands.

    Args:
        distance_gain: duty per metre from the lane's centre.
        angle_gain: duty per radian from its direction.
        duty: of both wheels, straight on.
        slowdown: by which it falls per unit of steering.
        least_duty: below which it does not fall.
    """

    name = "proportional"

    def __init__(
        self,
        distance_gain: float = 2.69,
        angle_gain: float = 1.58,
        duty: float = 0.82,
        slowdown: float = 1.49,
        least_duty: float = 0.18,
    ) -> None:
        self.gains = Gains(distance_gain, angle_gain, duty, slowdown, least_duty)

    def act(self, observations: Observations) -> Commands:
        """Wheel duty from lane positions [n, 2]; straight on outside any lane."""
        dist, angle = np.nan_to_num(observations.lane).T
        distance_gain, angle_gain, duty, slowdown, least_duty = self.gains
        # positive dist and angle lie to the right, so the right wheel has to be the faster one
        turn = np.clip(distance_gain * dist + angle_gain * angle, -1, 1) * 0.5
        mean = np.maximum(duty - slowdown * np.abs(turn), least_duty)
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
