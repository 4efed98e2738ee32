"""Policies are the same after saving and loading, and the baselines do what their names say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ducklane.baselines import ProportionalController, baselines
from ducklane.policy import (
    Observations,
    PolicyError,
    PolicySpec,
    Provenance,
    TrainedPolicy,
    load_policy,
    save_policy,
    weights_digest,
)
from ducklane.settings import Settings

MakePolicy = Callable[[Settings], TrainedPolicy]


@pytest.fixture
def trained(make_policy: MakePolicy, settings: Settings) -> TrainedPolicy:
    return make_policy(settings)


def camera(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 480, 640, 3), dtype=np.uint8)


def see(frames: np.ndarray) -> Observations:
    return Observations(frames, np.full((len(frames), 2), np.nan))


def at(dist: float, angle: float) -> Observations:
    return Observations(np.zeros((1, 1, 1, 3), np.uint8), np.array([[dist, angle]]))


def test_a_policy_drives_the_same_after_saving_and_loading(trained: TrainedPolicy, tmp_path: Path) -> None:
    save_policy(tmp_path, trained.spec, trained.network)
    loaded = load_policy(tmp_path)
    assert loaded.spec == trained.spec
    for frames in camera(3, 2):
        assert np.array_equal(loaded.act(see(frames)), trained.act(see(frames)))


def test_a_policy_forgets_the_last_episode(trained: TrainedPolicy) -> None:
    first, second = camera(2, 1)
    trained.reset(1)
    fresh = trained.act(see(second))
    trained.reset(1)
    trained.act(see(first))
    assert not np.array_equal(trained.act(see(second)), fresh)
    trained.reset(1)
    assert np.array_equal(trained.act(see(second)), fresh)


def test_robots_do_not_see_each_others_frames(trained: TrainedPolicy) -> None:
    frames = camera(2, 2)
    trained.reset(2)
    together = [trained.act(see(step)) for step in frames]
    for robot in range(2):
        trained.reset(1)
        alone = [trained.act(see(step[robot : robot + 1])) for step in frames]
        assert np.allclose([step[robot] for step in together], [step[0] for step in alone], atol=1e-6)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"policy\.json: is missing; run `dvc repro train`"):
        load_policy(tmp_path)


def test_truncated_weights_are_refused(trained: TrainedPolicy, tmp_path: Path) -> None:
    save_policy(tmp_path, trained.spec, trained.network)
    weights = tmp_path / "network.pt"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(PolicyError, match=r"network\.pt: cannot be read"):
        load_policy(tmp_path)


def test_weights_of_another_training_run_are_refused(trained: TrainedPolicy, tmp_path: Path) -> None:
    save_policy(tmp_path, trained.spec, trained.network)
    with torch.no_grad():
        trained.network.log_std += 1
    torch.save(trained.network.state_dict(), tmp_path / "network.pt")
    with pytest.raises(PolicyError, match="is not the network that"):
        load_policy(tmp_path)


@pytest.mark.parametrize("damage", ["{", '{"camera_width": 640}', "\N{SNOWMAN}"])
def test_a_damaged_description_is_refused(trained: TrainedPolicy, tmp_path: Path, damage: str) -> None:
    save_policy(tmp_path, trained.spec, trained.network)
    (tmp_path / "policy.json").write_text(damage)
    with pytest.raises(PolicyError, match=r"policy\.json: is damaged") as raised:
        load_policy(tmp_path)
    assert "\n" not in str(raised.value)


def test_weights_that_would_run_code_are_refused(trained: TrainedPolicy, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, ...]:
            return (tmp_path / "ran").touch, ()

    save_policy(tmp_path, trained.spec, trained.network)
    torch.save(Runs(), tmp_path / "network.pt")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_the_digest_is_computed_from_the_weights(trained: TrainedPolicy, tmp_path: Path) -> None:
    digest = weights_digest(trained.network)
    save_policy(tmp_path / "a", trained.spec, trained.network)
    assert weights_digest(load_policy(tmp_path / "a").network) == digest
    with torch.no_grad():
        next(trained.network.parameters()).view(-1)[0] += 1e-3
    assert weights_digest(trained.network) != digest


def test_the_description_is_json_with_the_names_of_the_settings(
    trained: TrainedPolicy, tmp_path: Path
) -> None:
    save_policy(tmp_path, trained.spec, trained.network)
    written = json.loads((tmp_path / "policy.json").read_text())
    assert written["observation"]["frame_stack"] == trained.spec.observation.frame_stack
    assert Provenance.model_validate(written["provenance"]) == trained.spec.provenance
    assert PolicySpec.model_fields.keys() == written.keys()


@pytest.mark.parametrize(
    ("dist", "angle", "turns"), [(0.05, 0, "left"), (-0.05, 0, "right"), (0, 0.3, "left"), (0, -0.3, "right")]
)
def test_the_controller_steers_back_to_the_lane(dist: float, angle: float, turns: str) -> None:
    left, right = ProportionalController().act(at(dist, angle))[0]
    assert (right > left) == (turns == "left")
    assert min(left, right) >= -1


def test_every_baseline_keeps_its_commands_within_the_duty_range() -> None:
    lanes = np.array([[0.0, 0.0], [math.nan, math.nan], [0.3, -2.0]])
    for policy in baselines():
        policy.reset(3)
        commands = policy.act(Observations(np.zeros((3, 1, 1, 3), np.uint8), lanes))
        assert commands.shape == (3, 2)
        assert commands.dtype == np.float32
        assert (np.abs(commands) <= 1).all(), policy.name


def test_baselines_have_names_of_their_own() -> None:
    names = [policy.name for policy in baselines()]
    assert names == ["proportional", "straight", "stand_still", "spin", "random"]
