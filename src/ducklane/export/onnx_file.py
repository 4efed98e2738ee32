"""Writing a trained policy as ONNX, camera to wheels, and checking it against torch."""

from __future__ import annotations

import hashlib
import logging
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ducklane.export.onnx_policy import CONTENT, NO_DIGEST, OnnxPolicy, content_digest
from ducklane.policy import Observations, PolicySpec, TrainedPolicy
from ducklane.task.observation import GRAY_WEIGHTS


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
        """Drive by the latest frames."""
        actions = self.network(self.observe(frames)).clamp(-1, 1)
        return (actions @ self.matrix.T + self.offset).clamp(self.low, 1)

    def observe(self, frames: Tensor) -> Tensor:
        """What FrameTransform and FrameStack make of them: [batch, height, width, channels * frames]."""
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
    # the exporter reports its every pass
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
    said = policy.spec.provenance.model_dump(exclude_none=True)
    provenance = {key: str(value) for key, value in said.items()}
    onnx.helper.set_model_props(proto, {**provenance, CONTENT: NO_DIGEST})
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString(deterministic=True)
    path.write_bytes(content.replace(NO_DIGEST.encode(), content_digest(content, NO_DIGEST).encode()))


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Take out the exporter's notes: lines of source and the folders in which they lay on this machine."""
    graph = proto.graph
    noted = [proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in noted:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _frames_shape(spec: PolicySpec) -> tuple[int, int, int, int]:
    return spec.observation.frame_stack, spec.camera_height, spec.camera_width, 3


def check_onnx(policy: TrainedPolicy, path: Path, drives: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """Compare the file with torch on recorded drives.

    Args:
        policy: the trained network, which makes its own observations.
        path: the ONNX file.
        drives: camera frames in the order seen, [n, camera_height, camera_width, 3] each.

    Returns:
        frames, max_abs_difference of a wheel's duty, latency_ms (median, one robot), onnx_bytes, sha256.
    """
    exported = OnnxPolicy(path)
    differences, latencies = [], []
    for frames in drives:
        policy.reset(1)
        exported.reset(1)
        for frame in frames:
            seen = Observations(frame[None], np.full((1, 2), np.nan))
            started = time.perf_counter()
            commands = exported.act(seen)
            latencies.append(time.perf_counter() - started)
            differences.append(float(np.abs(commands - policy.act(seen)).max()))
    return {
        "frames": len(differences),
        "max_abs_difference": max(differences),
        "latency_ms": round(statistics.median(latencies) * 1000, 3),
        "onnx_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
