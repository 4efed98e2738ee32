"""The best checkpoint's drives repeat, count whole episodes, and say where they contradict its mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ducklane.environment import Environment
from ducklane.network import PolicyNetwork
from ducklane.settings import Settings
from ducklane.training import confirmation
from ducklane.training.confirmation import SEED, Confirmation, confirm

DRIVES = 8
SMALL: dict[str, dict[str, Any]] = {
    "simulator": {"max_steps": 40, "camera_width": 160, "camera_height": 120, "distortion": False},
    "observation": {"crop_top": 40},
}

Changed = Callable[..., Settings]


@pytest.fixture(scope="module")
def changed_a_little(changed: Changed) -> Changed:
    """Settings with a small camera and short episodes, changed further."""

    def change(**sections: dict[str, Any]) -> Settings:
        return changed(
            **{name: SMALL.get(name, {}) | sections.get(name, {}) for name in {**SMALL, **sections}}
        )

    return change


def always(settings: Settings, duty: float) -> PolicyNetwork:
    """A policy that gives both wheels this duty, whatever it sees."""
    network = PolicyNetwork(settings.observation.shape, settings.action.size, settings.network)
    torch.nn.init.zeros_(network.action_head.weight)
    torch.nn.init.constant_(network.action_head.bias, duty)
    return network


def test_the_drives_repeat_on_any_cores_for_any_seed_and_training_simulator(
    changed_a_little: Changed, make_policy: Callable[[Settings], Any]
) -> None:
    network = make_policy(changed_a_little()).network
    found = confirm(network, changed_a_little(), DRIVES)
    assert len({*found.rewards}) == DRIVES  # all from starts of their own
    for simulator in ({"threads": 1}, {"threads": 3}, {"seed": 7}, {"backend": "gym-duckietown"}):
        assert confirm(network, changed_a_little(simulator=simulator), DRIVES) == found, simulator


def test_a_robot_that_stands_is_paid_the_same_in_every_step_of_a_whole_episode(
    changed_a_little: Changed,
) -> None:
    settings = changed_a_little(reward={"lateral_weight": 3.0})
    found = confirm(always(settings, 0.0), settings, DRIVES)
    env = Environment(settings).create_vector_env(DRIVES)
    env.reset(seed=SEED)
    _, paid, *_ = env.step(np.zeros((DRIVES, 2), np.float32))
    env.close()
    assert found.survived == DRIVES
    np.testing.assert_allclose(found.rewards, settings.simulator.max_steps * paid)


def test_few_robots_with_lenses_drive_several_episodes_whatever_the_seed(
    changed: Changed, make_policy: Callable[[Settings], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "ROBOTS_WITH_LENSES", 1)  # a lens takes a second
    steps = 10
    ours, other = (
        changed(simulator={"max_steps": steps, "camera_rand": True, "seed": seed}) for seed in (SEED, 7)
    )
    found = confirm(always(ours, 0.0), ours, drives=2)
    env = Environment(ours).create_vector_env(1)
    env.reset(seed=SEED)
    paid = [float(env.step(np.zeros((1, 2), np.float32))[1][0]) for _ in range(2 * steps + 1)]
    env.close()
    assert paid[steps] == 0  # the second episode begins
    assert found.rewards == pytest.approx([sum(paid[:steps]), sum(paid[steps:])])
    network = make_policy(ours).network
    assert confirm(network, ours, drives=2) == confirm(network, other, drives=2)


def test_a_crash_ends_a_drive_and_counts_once(changed_a_little: Changed) -> None:
    gentle, harsh = (
        changed_a_little(simulator={"max_steps": 200}, reward={"crash_penalty": penalty})
        for penalty in (0.0, 7.0)
    )
    without, found = (confirm(always(settings, 1.0), settings, DRIVES) for settings in (gentle, harsh))
    fined = np.subtract(without.rewards, found.rewards)  # in the order in which they end, the same in both
    np.testing.assert_allclose(fined, np.where(fined > 1, 7.0, 0.0), atol=1e-9)
    assert len(found.rewards) == DRIVES
    assert found.survived == np.count_nonzero(fined < 1) < DRIVES
    assert found.metrics["confirmed/survived_share"] == found.survived / DRIVES


AROUND_600 = [590.0, 610.0] * 50


@pytest.mark.parametrize(
    ("rewards", "noisy", "warns"),
    [
        ([490.0, 510.0] * 64, AROUND_600, True),
        ([585.0, 605.0] * 64, AROUND_600, True),
        ([587.0, 607.0] * 64, AROUND_600, False),  # outside the 95 % interval, but the mean is a highest one
        ([690.0, 710.0] * 64, AROUND_600, False),
        ([490.0, 510.0] * 64, [100.0, 1200.0] * 2, False),  # few episodes that differ much
        ([490.0, 510.0] * 64, [600.0], False),
    ],
)
def test_a_lower_reward_without_noise_warns_only_where_chance_does_not_explain_it(
    rewards: list[float], noisy: list[float], warns: bool
) -> None:
    warning = Confirmation(rewards, survived=128).warning(noisy)
    assert (warning is not None) == warns
    if warning:
        assert "against 600.0; train longer (tune.stop.timesteps_total)" in warning
        assert len(warning.splitlines()) == 1


def test_the_line_says_reward_and_survival() -> None:
    assert Confirmation([640.0, 644.2, 642.0], survived=2).line(617.31) == (
        "confirmed by 3 drives from training's starts, without noise: reward 642.1 (617.3 with noise), "
        "2 of 3 reach the end"
    )
