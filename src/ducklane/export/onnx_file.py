"""Exports a trained policy as ONNX, from camera to wheels, and checks it against torch."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import statistics
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ducklane.evaluation.episodes import Start, drive
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.export.policy_file import CONTENT, NO_DIGEST, content_digest
from ducklane.policy import Commands, Observations, Policy, PolicySpec, TrainedPolicy
from ducklane.task.observation import GRAY_WEIGHTS

if TYPE_CHECKING:
    from ducklane.evaluation.episodes import Simulator
    from ducklane.evaluation.evaluator import Evaluator

DRIVES_AT_ONCE = 2
"""Drives on which the file is checked in parallel; fixed, so that the result never depends on the cores."""


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
        actions = self.network(self.observe(frames)).clamp(-1, 1)
        return (actions @ self.matrix.T + self.offset).clamp(self.low, 1)

    def observe(self, frames: Tensor) -> Tensor:
        """The same as FrameTransform and FrameStack: [batch, height, width, channels * frames]."""
        cropped = frames[:, :, self.rows].float()
        by_row = self.row_weights @ cropped.flatten(-2)
        by_both = self.column_weights @ by_row.reshape(*by_row.shape[:-1], *cropped.shape[-2:])
        seen = torch.floor((2 * by_both + self.weight_sum) / (2 * self.weight_sum))
        if self.gray:
            seen = torch.floor((seen @ self.gray_weights + 128) / 256).unsqueeze(-1)
        return seen.permute(0, 2, 3, 1, 4).flatten(-2)


def export_onnx(policy: TrainedPolicy, path: Path, opset: int) -> None:
    """Write the policy with any batch size; its provenance and a digest go into the file's metadata."""
    model = CameraToWheels(policy).eval()
    example = torch.zeros((2, *_frames_shape(policy.spec)), dtype=torch.uint8)
    # the exporter logs every pass
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=["frames"],
            output_names=["wheels"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip_traces(proto)
    fields = policy.spec.provenance.model_dump(exclude_none=True)
    provenance = {key: str(value) for key, value in fields.items()}
    path.write_bytes(sealed(proto, provenance))


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


def _frames_shape(spec: PolicySpec) -> tuple[int, int, int, int]:
    return spec.observation.frame_stack, spec.camera_height, spec.camera_width, 3


class ComparedPolicy(Policy):
    """Drives with torch, and compares the ONNX file's commands with torch's at each frame.

    Args:
        policy: the trained network, which makes its own observations.
        exported: the ONNX file.
    """

    name = "compared"

    def __init__(self, policy: TrainedPolicy, exported: OnnxPolicy) -> None:
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


def check_onnx(evaluator: Evaluator, policy: TrainedPolicy, path: Path, frames: int) -> dict[str, Any]:
    """Compare the ONNX file with torch, which drives from the fixed starts, two drives at a time.

    Args:
        evaluator: to drive with.
        policy: the trained network.
        path: the ONNX file.
        frames: minimum number of frames to compare.

    Returns:
        frames, max_abs_difference of a wheel's duty, latency_ms (median, one robot), onnx_bytes, sha256. The
        difference does not depend on the number of processes.
    """
    differences: list[float] = []
    latencies_s: list[float] = []
    starts = itertools.cycle(evaluator.starts)
    while (missing := frames - len(differences)) > 0:
        steps = math.ceil(missing / DRIVES_AT_ONCE)
        tasks = [evaluator.share(_compare, policy, path, next(starts), steps) for _ in range(DRIVES_AT_ONCE)]
        evaluator.work()
        for task in tasks:
            differences += task.result()[0]
            latencies_s += task.result()[1]
    return {
        "frames": len(differences),
        "max_abs_difference": max(differences),
        "latency_ms": round(statistics.median(latencies_s) * 1000, 3),
        "onnx_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _compare(
    simulator: Simulator, policy: TrainedPolicy, path: Path, start: Start, steps: int
) -> tuple[list[float], list[float]]:
    compared = ComparedPolicy(policy, OnnxPolicy(path))
    drive(simulator, compared, start, max_steps=steps)
    return compared.differences, compared.latencies_s
