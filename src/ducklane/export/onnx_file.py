"""Exports a trained policy as ONNX, from camera to wheels, and checks it against torch."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ducklane.evaluation.episodes import Start, drive
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.export.policy_file import CONTENT, NO_DIGEST, content_digest
from ducklane.policy import Commands, Observations, Policy, TrainedPolicy
from ducklane.task.observation import GRAY_WEIGHTS

if TYPE_CHECKING:
    from ducklane.evaluation.episodes import Simulator
    from ducklane.evaluation.evaluator import Evaluator

EXPORTERS_OPSET = 18
"""The lowest that torch's exporter writes by itself."""

DRIVES_AT_ONCE = 2
"""Drives on which the file is checked in parallel; fixed, so that the result never depends on the cores."""


Variant = Literal["batch", "static", "streaming"]


class CameraToWheels(nn.Module):
    """Everything between the camera and the motors: crop, averaging, colour, stack, network, action mapping.

    Input: uint8 [batch, frames, camera_height, camera_width, 3], oldest frame first.
    Output: float32 [batch, 2], (left, right) wheel duty in [-1, 1].
    """

    def __init__(self, policy: TrainedPolicy) -> None:
        super().__init__()
        transform, mapping = policy.transform, policy.mapping
        self.network = policy.network
        self.rows = transform.rows
        self.gray = policy.spec.observation.color == "gray"
        self.weight_sum = transform.weight_sum
        self.low = mapping.low
        self.row_weights = nn.Buffer(torch.from_numpy(transform.row_weights))
        self.column_weights = nn.Buffer(torch.from_numpy(transform.column_weights))
        self.gray_weights = nn.Buffer(torch.tensor(GRAY_WEIGHTS, dtype=torch.float32))
        self.matrix = nn.Buffer(torch.from_numpy(mapping.matrix))
        self.offset = nn.Buffer(torch.from_numpy(mapping.offset))

    def forward(self, frames: Tensor) -> Tensor:
        """Wheel duties for the latest frames."""
        return self.decide(self.observe(frames))

    def decide(self, observations: Tensor) -> Tensor:
        """Wheel duties for observations [batch, height, width, channels * frames]."""
        actions = self.network(observations).clamp(-1, 1)
        return (actions @ self.matrix.T + self.offset).clamp(self.low, 1)

    def observe(self, frames: Tensor) -> Tensor:
        """The same as FrameTransform and FrameStack: [batch, height, width, channels * frames]."""
        return stacked(self.reduce(frames))

    def reduce(self, frames: Tensor) -> Tensor:
        """The same as FrameTransform: [batch, frames, height, width, channels]."""
        # TensorRT slices no bytes
        cropped = frames.float()[:, :, self.rows]
        by_row = self.row_weights @ cropped.flatten(-2)
        by_both = self.column_weights @ by_row.reshape(*by_row.shape[:-1], *cropped.shape[-2:])
        seen = torch.floor((2 * by_both + self.weight_sum) / (2 * self.weight_sum))
        if self.gray:
            seen = torch.floor((seen @ self.gray_weights + 128) / 256).unsqueeze(-1)
        return seen


def stacked(reduced: Tensor) -> Tensor:
    """The same as FrameStack: [batch, frames, height, width, channels] as [batch, height, width, ...]."""
    return reduced.permute(0, 2, 3, 1, 4).flatten(-2)


class NewFrameToWheels(nn.Module):
    """The same for one new frame, given what this module made of the frames before it.

    Input: uint8 [1, camera_height, camera_width, 3], and float32 [1, frames - 1, height, width, channels],
    oldest first, where the policy stacks frames at all. Output: float32 [1, 2], as above, and the new frame,
    reduced, float32 [height, width, channels].
    """

    def __init__(self, policy: TrainedPolicy) -> None:
        super().__init__()
        self.whole = CameraToWheels(policy)

    def forward(self, frame: Tensor, earlier: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Wheel duties, and the reduced frame."""
        reduced = self.whole.reduce(frame.float().unsqueeze(1))
        frames = reduced if earlier is None else torch.cat([earlier, reduced], dim=1)
        return self.whole.decide(stacked(frames)), reduced[0, 0]


def export_onnx(policy: TrainedPolicy, path: Path, opset: int, variant: Variant = "batch") -> None:
    """Write the policy; its provenance, its contract and a digest go into the file's metadata.

    Args:
        policy: the trained network.
        path: of the file.
        opset: ONNX operator set, from 13.
        variant: `batch` for any number of robots, `static` for one, with fixed shapes throughout, `streaming`
            for one that hands in each frame only once (`NewFrameToWheels`).
    """
    proto = _graph(policy, max(opset, EXPORTERS_OPSET), variant)
    _strip_traces(proto)
    _stamp(proto, opset)
    told = policy.spec.provenance.model_dump(exclude_none=True) | policy.spec.contract.model_dump()
    path.write_bytes(sealed(proto, {key: str(value) for key, value in told.items()}))


def _graph(policy: TrainedPolicy, opset: int, variant: Variant) -> onnx.ModelProto:
    spec = policy.spec
    frames, camera = spec.observation.frame_stack, (spec.camera_height, spec.camera_width, 3)
    inputs: dict[str, Tensor]
    if variant == "streaming":
        inputs = {"frame": torch.zeros((1, *camera), dtype=torch.uint8)}
        if frames > 1:
            reduced = spec.observation.height, spec.observation.width, spec.observation.channels
            inputs["earlier"] = torch.zeros((1, frames - 1, *reduced))
    else:
        inputs = {"frames": torch.zeros((2 if variant == "batch" else 1, frames, *camera), dtype=torch.uint8)}
    model = NewFrameToWheels(policy) if variant == "streaming" else CameraToWheels(policy)
    # the exporter logs every pass
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=["wheels", "reduced"] if variant == "streaming" else ["wheels"],
            dynamic_shapes=({0: torch.export.Dim("batch")},) if variant == "batch" else None,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _stamp(proto: onnx.ModelProto, opset: int) -> None:
    """Declare an operator set, and the oldest file format that knows it: old runtimes refuse newer ones.

    Below the exporter's own set only `Reshape` changes: without `allowzero`, a size of 0 would mean "as it
    is", and no size here is 0. `sealed` checks that all operators are of the set that is declared.
    """
    if opset < EXPORTERS_OPSET:
        for node in proto.graph.node:
            kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)
        proto.opset_import[0].version = opset
    proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)


def sealed(proto: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    """The bytes of the model, checked, with these metadata and a digest of the whole."""
    onnx.helper.set_model_props(proto, {**metadata, CONTENT: NO_DIGEST})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content.replace(NO_DIGEST.encode(), content_digest(content, NO_DIGEST).encode())


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes: lines of source code, with their paths on this machine."""
    graph = proto.graph
    parts = [proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


class ComparedPolicy(Policy):
    """Drives with one policy, and compares an ONNX file's commands with its own at each frame.

    Args:
        policy: the trained network, which makes its own observations, or another comparison with it.
        exported: the ONNX file.
    """

    name = "compared"

    def __init__(self, policy: Policy, exported: OnnxPolicy) -> None:
        self.camera_shape = policy.camera_shape
        self._policy = policy
        self._exported = exported
        self.differences: list[float] = []
        """Largest difference of a wheel's duty, at each frame."""
        self.latencies_s: list[float] = []
        """Seconds that the ONNX file took, at each frame."""

    def reset(self, n: int) -> None:
        """Forget the stacked frames."""
        self._policy.reset(n)
        self._exported.reset(n)

    def act(self, observations: Observations) -> Commands:
        """Wheel duties from torch."""
        started = time.perf_counter()
        exported = self._exported.act(observations)
        self.latencies_s.append(time.perf_counter() - started)
        commands = self._policy.act(observations)
        self.differences.append(float(np.abs(exported - commands).max()))
        return commands


def check_onnx(
    evaluator: Evaluator, policy: TrainedPolicy, paths: Sequence[Path], frames: int
) -> list[dict[str, Any]]:
    """Compare ONNX files with torch, which drives from the fixed starts, two drives at a time.

    Args:
        evaluator: to drive with.
        policy: the trained network.
        paths: the ONNX files.
        frames: minimum number of frames to compare.

    Returns:
        For each file: frames, max_abs_difference of a wheel's duty, latency_ms (median, one robot),
        onnx_bytes, sha256. The difference does not depend on the number of processes.
    """
    compared: list[Compared] = [([], []) for _ in paths]
    starts = itertools.cycle(evaluator.starts)
    while (missing := frames - len(compared[0][0])) > 0:
        steps = math.ceil(missing / DRIVES_AT_ONCE)
        tasks = [evaluator.share(_compare, policy, paths, next(starts), steps) for _ in range(DRIVES_AT_ONCE)]
        evaluator.work()
        for task in tasks:
            for (differences, latencies_s), more in zip(compared, task.result(), strict=True):
                differences += more[0]
                latencies_s += more[1]
    return [
        {
            "frames": len(differences),
            "max_abs_difference": max(differences),
            "latency_ms": round(statistics.median(latencies_s) * 1000, 3),
            "onnx_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path, (differences, latencies_s) in zip(paths, compared, strict=True)
    ]


Compared = tuple[list[float], list[float]]
"""Of a file, at each frame: the largest difference of a wheel's duty, and the seconds it took."""


def _compare(
    simulator: Simulator, policy: TrainedPolicy, paths: Sequence[Path], start: Start, steps: int
) -> list[Compared]:
    driving: Policy = policy
    comparisons = [driving := ComparedPolicy(driving, OnnxPolicy(path)) for path in paths]
    drive(simulator, driving, start, max_steps=steps)
    return [(one.differences, one.latencies_s) for one in comparisons]
