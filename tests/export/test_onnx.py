"""The ONNX file drives as the trained network does, from the raw camera."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import hypothesis
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ducklane.errors import PolicyError
from ducklane.export.onnx_file import CameraToWheels, ComparedPolicy, Variant, export_onnx
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.export.policy_file import PolicyFile
from ducklane.policy import Observations, TrainedPolicy
from ducklane.robot.driver import Driver
from ducklane.settings import Settings

Changed = Callable[..., Settings]
Files = dict[Variant, Path]
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


@pytest.fixture(scope="module")
def files(settings: Settings, make_policy: MakePolicy, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A policy in every variant, with the operator set that the repository ships."""
    folder = tmp_path_factory.mktemp("files")
    paths = {variant: folder / f"{variant}.onnx" for variant in get_args(Variant)}
    for variant, path in paths.items():
        export_onnx(make_policy(settings), path, settings.export.opset, variant)
    return paths


@pytest.mark.parametrize(
    ("changes", "variant", "opset"),
    [
        (VARIANTS[0], "batch", 20),
        (VARIANTS[1], "batch", 13),
        (VARIANTS[2], "static", 16),
        (VARIANTS[2], "streaming", 13),
    ],
)
def test_onnx_runtime_gives_the_same_commands_as_torch(
    changed: Changed,
    make_policy: MakePolicy,
    tmp_path: Path,
    changes: dict[str, dict[str, object]],
    variant: Variant,
    opset: int,
) -> None:
    policy = make_policy(changed(**changes))
    path = tmp_path / "policy.onnx"
    export_onnx(policy, path, opset, variant)
    compared = ComparedPolicy(policy, OnnxPolicy(path))
    for frames in (camera(6), camera(4, seed=1)):
        compared.reset(1)
        for frame in frames:
            compared.act(_see(frame[None]))
    assert len(compared.differences) == 10
    assert max(compared.differences) <= 1e-5
    commands = np.concatenate([OnnxPolicy(path).act(_see(frame[None])) for frame in camera(6)])
    assert np.ptp(commands, axis=0).max() > 0.01


def test_all_variants_drive_alike(settings: Settings, make_policy: MakePolicy, files: Files) -> None:
    for frames in (camera(6), camera(4, seed=1)):
        policies = [make_policy(settings), *map(OnnxPolicy, files.values())]
        torchs, *others = (
            np.concatenate([each.act(_see(frame[None])) for frame in frames]) for each in policies
        )
        assert np.ptp(torchs, axis=0).max() > 0.01
        for other in others:
            assert np.abs(other - torchs).max() <= 1e-5


def test_fixed_shapes_are_fixed(files: Files) -> None:
    shapes = {
        variant: {
            value.name: [size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.output)
        }
        for variant, path in files.items()
        for graph in [onnx.load(path).graph]
    }
    assert shapes == {
        "batch": {"frames": ["batch", 3, 480, 640, 3], "wheels": ["batch", 2]},
        "static": {"frames": [1, 3, 480, 640, 3], "wheels": [1, 2]},
        "streaming": {
            "frame": [1, 480, 640, 3],
            "earlier": [1, 2, 40, 80, 1],
            "wheels": [1, 2],
            "reduced": [40, 80, 1],
        },
    }


def test_old_runtimes_know_the_format(files: Files, settings: Settings) -> None:
    assert settings.export.opset == 13
    for path in files.values():
        model = onnx.load(path)
        assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
        assert model.ir_version == 7
        # TensorRT slices no bytes
        assert model.graph.node[0].op_type == "Cast"


RUN_WITH_ANOTHER = """
import sys
import numpy as np, onnxruntime
files, frames = sys.argv[1:4], np.load(sys.argv[4])
here = ["CPUExecutionProvider"]
batch, static, streaming = (onnxruntime.InferenceSession(path, providers=here) for path in files)
stack, kept = [frames[0]] * 3, None
for frame in frames:
    stack = [*stack[1:], frame]
    if kept is None:
        nothing = np.zeros((1, 2, 40, 80, 1), np.float32)
        kept = [streaming.run(["reduced"], {"frame": frame[None], "earlier": nothing})[0]] * 2
    commands = [each.run(None, {"frames": np.stack(stack)[None]})[0][0] for each in (batch, static)]
    wheels, new = streaming.run(None, {"frame": frame[None], "earlier": np.stack(kept)[None]})
    kept = [kept[1], new]
    print(*np.concatenate([*commands, wheels[0]]).tolist())
print(onnxruntime.__version__)
"""


@pytest.mark.full
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the oldest wheel is that for Python 3.11")
def test_the_oldest_onnx_runtime_gives_the_same_commands(
    files: Files, tmp_path: Path, install: Callable[..., None]
) -> None:
    # it needs a numpy before 2
    install(tmp_path / "old", "onnxruntime==1.15.0", "numpy==1.26.4")
    np.save(tmp_path / "frames.npy", camera(6))
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITH_ANOTHER, *map(str, files.values()), str(tmp_path / "frames.npy")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "old")},
        capture_output=True,
        text=True,
        check=True,
    )
    *rows, version = done.stdout.splitlines()
    assert version == "1.15.0"
    today = OnnxPolicy(files["batch"])
    expected = [np.tile(today.act(_see(frame[None]))[0], 3) for frame in camera(6)]
    assert np.abs(np.array([row.split() for row in rows], float) - expected).max() <= 1e-5


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


def test_a_batch_equals_its_robots_one_by_one(files: Files) -> None:
    frames = camera(3)
    together = OnnxPolicy(files["batch"]).act(_see(frames))
    alone = [OnnxPolicy(files["batch"]).act(_see(frame[None]))[0] for frame in frames]
    assert np.allclose(together, alone, atol=1e-6)


def test_each_file_says_where_it_comes_from_and_what_it_takes(
    settings: Settings, make_policy: MakePolicy, files: Files
) -> None:
    for path in files.values():
        said = OnnxPolicy(path).provenance
        assert said["weights_sha256"] == make_policy(settings).spec.provenance.weights_sha256
        assert said["color_order"] == "RGB"
        assert float(said["frame_spacing_s"]) == pytest.approx(1 / 30)
        assert float(said["commands_per_second"]) == 30
        assert "left and of the right wheel" in said["commands"]
        assert PolicyFile(path).spacing_s == pytest.approx(1 / 30)
        assert (PolicyFile(path).frame_stack, PolicyFile(path).camera_shape) == (3, (480, 640))


@given(st.lists(st.sampled_from([0.03, 0.035, 0.05, 0.07, 0.14, 0.5]), min_size=1, max_size=6))
@hypothesis.settings(max_examples=10)
def test_streaming_changes_nothing_on_a_robot(files: Files, gaps_s: list[float]) -> None:
    whole, streaming = (Driver(PolicyFile(files[name])) for name in ("static", "streaming"))
    time_s = 0.0
    for gap_s, frame in zip(gaps_s, camera(6), strict=False):
        time_s += gap_s
        commands = []
        for driver in (whole, streaming):
            driver.see(time_s, frame)
            commands.append(driver.command(time_s))
        assert commands[0] == pytest.approx(commands[1], abs=1e-5)


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
