"""The ONNX file drives as the trained network does, from the raw camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ducklane.errors import PolicyError
from ducklane.export.onnx_file import CameraToWheels, ComparedPolicy, export_onnx
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.policy import Observations, TrainedPolicy
from ducklane.settings import Settings

Changed = Callable[..., Settings]
MakePolicy = Callable[[Settings], TrainedPolicy]

VARIANTS = [
    {},
    {"observation": {"color": "gray", "frame_stack": 3}, "action": {"type": "steering"}},
    {"observation": {"width": 84, "height": 84, "frame_stack": 1}, "action": {"type": "velocity_steering"}},
]


def camera(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures: noise alone would average out to one gray."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    return coarse.repeat(40, axis=1).repeat(40, axis=2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnx_runtime_gives_the_same_commands_as_torch(
    changed: Changed, make_policy: MakePolicy, tmp_path: Path, variant: dict[str, dict[str, object]]
) -> None:
    policy = make_policy(changed(**variant))
    path = tmp_path / "policy.onnx"
    export_onnx(policy, path, opset=20)
    compared = ComparedPolicy(policy, OnnxPolicy(path))
    for frames in (camera(6), camera(4, seed=1)):
        compared.reset(1)
        for frame in frames:
            compared.act(_see(frame[None]))
    assert len(compared.differences) == 10
    assert max(compared.differences) <= 1e-5
    commands = np.concatenate([OnnxPolicy(path).act(_see(frame[None])) for frame in camera(6)])
    assert np.ptp(commands, axis=0).max() > 0.01


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_built_in_observation_matches_training_to_the_byte(
    changed: Changed, make_policy: MakePolicy, variant: dict[str, dict[str, object]]
) -> None:
    policy = make_policy(changed(**variant))
    frames = np.random.default_rng(0).integers(
        0, 256, (2, policy.spec.observation.frame_stack, 480, 640, 3), dtype=np.uint8
    )
    inside = CameraToWheels(policy).observe(torch.from_numpy(frames)).numpy()
    outside = [np.concatenate(list(policy.transform(stack)), axis=-1) for stack in frames]
    assert np.array_equal(inside, np.stack(outside))


def test_a_batch_equals_its_robots_one_by_one(
    settings: Settings, make_policy: MakePolicy, tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    export_onnx(make_policy(settings), path, opset=20)
    frames = camera(3)
    together = OnnxPolicy(path).act(_see(frames))
    alone = [OnnxPolicy(path).act(_see(frame[None]))[0] for frame in frames]
    assert np.allclose(together, alone, atol=1e-6)


def test_the_file_says_where_it_comes_from(
    settings: Settings, make_policy: MakePolicy, tmp_path: Path
) -> None:
    policy, path = make_policy(settings), tmp_path / "policy.onnx"
    export_onnx(policy, path, opset=20)
    assert OnnxPolicy(path).provenance["weights_sha256"] == policy.spec.provenance.weights_sha256
    assert [node.name for node in onnx.load(path).graph.input] == ["frames"]


def test_the_file_reveals_nothing_about_the_machine_that_made_it(
    settings: Settings, make_policy: MakePolicy, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    for path in (first, second):
        export_onnx(make_policy(settings), path, opset=20)
    assert b".py" not in first.read_bytes()
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_file_that_is_not_a_policy_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "policy.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyError, match=r"policy\.onnx: is") as raised:
        OnnxPolicy(path)
    assert "\n" not in str(raised.value)


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    program = torch.onnx.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),), dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    with pytest.raises(PolicyError, match="not written by this project"):
        OnnxPolicy(path)


def _see(frames: np.ndarray) -> Observations:
    return Observations(frames, np.full((len(frames), 2), np.nan))
