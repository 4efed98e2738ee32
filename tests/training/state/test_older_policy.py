"""An older policy to continue from either fits, or is refused with a list of what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ducklane.policy import TrainedPolicy, save_policy
from ducklane.project.inputs import OlderPolicyError
from ducklane.settings import Settings
from ducklane.training.state.older_policy import origin
from ducklane.training.state.saved import ALGORITHM, write_record

STEPS = 640


@pytest.fixture
def older(settings: Settings, make_policy: Callable[[Settings], TrainedPolicy], tmp_path: Path) -> Path:
    """A policy like models/checkpoint, of the shipped settings."""
    policy = make_policy(settings)
    folder = tmp_path / "older"
    folder.mkdir()
    save_policy(folder, policy.spec, policy.network)
    (folder / ALGORITHM).mkdir()
    (folder / ALGORITHM / "algorithm_state.pkl").write_bytes(b"everything")
    write_record(folder / ALGORITHM, {"timesteps_total": STEPS, "episode_reward_mean": 1.0})
    return folder


def refusals(settings: Settings) -> list[str]:
    with pytest.raises(OlderPolicyError) as raised:
        origin(settings)
    assert raised.value.exit_code == 2
    return list(raised.value.problems)


def test_training_starts_from_a_complete_checkpoint_that_fits(changed: Any, older: Path) -> None:
    beginning = origin(changed(rllib={"restore_from": str(older)}))
    assert beginning is not None
    assert beginning.timesteps == STEPS
    assert beginning.path == (older / ALGORITHM).resolve()


def test_settings_that_a_network_fixes_are_refused_key_by_key(changed: Any, older: Path) -> None:
    settings = changed(
        rllib={"restore_from": str(older)}, network={"hidden_size": 32}, observation={"color": "rgb"}
    )
    assert refusals(settings) == [
        f"rllib.restore_from: {older}: was trained with observation.color gray, not rgb; give "
        "observation.color gray",
        f"rllib.restore_from: {older}: was trained with network.hidden_size 256, not 32; "
        "give network.hidden_size 256",
    ]


def test_a_policy_that_already_had_all_its_steps_is_refused(changed: Any, older: Path) -> None:
    settings = changed(rllib={"restore_from": str(older)}, tune={"stop": {"timesteps_total": STEPS}})
    (refusal,) = refusals(settings)
    assert f"{STEPS} steps" in refusal
    assert f"give more than {STEPS}" in refusal


def test_a_damaged_or_missing_checkpoint_is_refused(changed: Any, older: Path) -> None:
    (older / ALGORITHM / "algorithm_state.pkl").write_bytes(b"every")
    (refusal,) = refusals(changed(rllib={"restore_from": str(older)}))
    assert "is missing or damaged" in refusal
    (refusal,) = refusals(changed(rllib={"restore_from": str(older / "elsewhere")}))
    assert "there is no such folder" in refusal


@pytest.mark.parametrize(("every", "saves"), [(3, True), (12, True), (15, True), (10, False), (16, False)])
def test_the_remaining_steps_must_save_a_checkpoint(
    changed: Any, older: Path, every: int, saves: bool
) -> None:
    # 10 iterations of at most 64 + 1 steps were done, and at least 5 are left
    write_record(older / ALGORITHM, {"timesteps_total": STEPS, "training_iteration": 10.0})
    settings = changed(
        rllib={"restore_from": str(older), "train_batch_size": 64, "minibatch_size": 32, "env_per_worker": 2},
        tune={"stop": {"timesteps_total": STEPS + 320}, "checkpoint_freq": every, "checkpoint_at_end": False},
    )
    if saves:
        assert origin(settings) is not None
    else:
        (refusal,) = refusals(settings)
        assert refusal.startswith(f"tune.checkpoint_freq: {every} may save nothing: from 640 to 960 steps")
        assert refusal.endswith("give at most 5, or set checkpoint_at_end: true")
