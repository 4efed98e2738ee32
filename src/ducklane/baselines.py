"""Baselines for trained policies: a controller that knows the true lane position, and blind drivers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ducklane.policy import Commands, Observations, Policy


class Gains(NamedTuple):
    """Parameters of the proportional controller: numbers, or arrays with one entry per robot."""

    distance_gain: Any
    angle_gain: Any
    duty: Any
    slowdown: Any
    least_duty: Any


class ProportionalController(Policy):
    """Steers by the true lane position, which a robot with a camera does not know.

    The wheels' duties differ by `distance_gain * dist + angle_gain * angle`; their mean decreases with the
    steering. `make tune-controller` (benchmarks/controller.py) found the defaults by random search: of the
    gains with which all evaluation episodes on loop_empty survive, those that drive farthest while staying as
    close to the lane as the gate's goal demands.

    Args:
        distance_gain: duty per metre from the lane's centre.
        angle_gain: duty per radian from the lane's direction.
        duty: mean duty when driving straight.
        slowdown: decrease of the mean duty per unit of steering.
        least_duty: lower bound of the mean duty.
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
        # positive dist and angle mean the robot is right of the lane: the right wheel must be faster
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
    """Uniform wheel duty, drawn at every step."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.reset(1)

    def reset(self, n: int) -> None:
        """Restart the sequence, so that an episode does not depend on those before it."""
        self._rng = np.random.default_rng(self._seed)

    def act(self, observations: Observations) -> Commands:
        """Random duty, [n, 2]."""
        return self._rng.uniform(-1, 1, (len(observations.lane), 2)).astype(np.float32)


def baselines() -> list[Policy]:
    """All baselines."""
    return [
        ProportionalController(),
        ConstantPolicy("straight", 1.0, 1.0),
        ConstantPolicy("stand_still", 0.0, 0.0),
        ConstantPolicy("spin", -1.0, 1.0),
        RandomPolicy(),
    ]
