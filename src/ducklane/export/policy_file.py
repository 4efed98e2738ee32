"""A policy's ONNX file, opened with ONNX Runtime: its frames, its commands and its contract.

Needs neither torch nor the settings, so that a robot can use it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# its telemetry would report to its makers, and complain about a read-only home
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from numpy.typing import NDArray

from ducklane.errors import PolicyError

CONTENT = "content_sha256"
"""Key in the file's metadata: its `content_digest`."""

NO_DIGEST = "0" * 64

SPACING = "frame_spacing_s"
"""Key in the file's metadata: seconds from one stacked frame to the next."""

OLDER_SPACING_S = 1 / 30
"""Of files that do not say it."""

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's option: the folder of external files with a model's weights."""


Kept = NDArray[Any]
"""What is kept of a frame, to stack later ones on: the frame itself, or a streaming file's reduced one."""


class PolicyFile:
    """A file that `ducklane.export.onnx_file.export_onnx` wrote.

    Args:
        path: of the file.
        threads: threads of ONNX Runtime.

    Attributes:
        metadata: the policy's origin and its contract, as the file says them.
        streaming: whether it takes each frame once and hands back what it keeps of it.
        frame_stack: frames that it takes.
        camera_shape: (height, width) of a frame in pixels.
        spacing_s: seconds from one stacked frame to the next.

    Raises:
        PolicyError: the file is missing, damaged, or was not written by `export_onnx`.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = _open(path, threads)
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.streaming = "frame" in inputs
        if self.streaming:
            self._earlier: tuple[int, ...] = tuple(inputs.get("earlier", (1, 0)))
            self.frame_stack = 1 + self._earlier[1]
        else:
            self.frame_stack = int(inputs["frames"][1])
        height, width = inputs["frame" if self.streaming else "frames"][-3:-1]
        self.camera_shape = int(height), int(width)
        self.spacing_s = float(self.metadata.get(SPACING, OLDER_SPACING_S))

    def commands(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Wheel duty (left, right) in [-1, 1], float32 [n, 2], from a file that does not stream.

        Args:
            frames: [n, frame_stack, height, width, 3], RGB, oldest first.
        """
        wheels: NDArray[np.float32] = self._session.run(None, {"frames": frames})[0]
        return wheels

    def advance(
        self, frame: NDArray[np.uint8], earlier: Sequence[Kept] | None
    ) -> tuple[NDArray[np.float32], Kept]:
        """Wheel duty (left, right) float32 [2] of one robot for a new frame, and what to keep of that frame.

        Args:
            frame: [height, width, 3], RGB.
            earlier: what was kept of the frame_stack - 1 frames to stack below it, oldest first; None where
                there are none, so that the frame fills the stack.
        """
        if not self.streaming:
            below = [frame] * (self.frame_stack - 1) if earlier is None else earlier
            return self.commands(np.stack([*below, frame])[None])[0], frame
        if self.frame_stack == 1:
            return self._stream(frame, {})
        if earlier is None:
            _, kept = self._stream(frame, {"earlier": np.zeros(self._earlier, np.float32)})
            earlier = [kept] * (self.frame_stack - 1)
        return self._stream(frame, {"earlier": np.stack(earlier)[None]})

    def _stream(self, frame: NDArray[np.uint8], earlier: dict[str, Kept]) -> tuple[NDArray[np.float32], Kept]:
        wheels, kept = self._session.run(["wheels", "reduced"], {"frame": frame[None], **earlier})
        return wheels[0], kept


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise PolicyError(f"{path}: is missing; run `dvc repro export` or `dvc pull`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # errors are raised and reported in one line; ONNX Runtime would also print its own
    options.log_severity_level = 4
    # a policy is a single file: never read weights from other files in this folder
    options.add_session_config_entry(EXTERNAL_DATA, os.devnull)
    content = path.read_bytes()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise PolicyError(f"{path}: is not a usable ONNX model ({reason}); export it again") from None
    digest = session.get_modelmeta().custom_metadata_map.get(CONTENT, NO_DIGEST)
    if digest != content_digest(content, digest):
        raise PolicyError(f"{path}: is damaged, or not written by this project; run `dvc repro export` again")
    return session


def content_digest(content: bytes, digest: str) -> str:
    """Hexadecimal SHA-256 of an ONNX file, with its digest blanked.

    Args:
        content: of the file.
        digest: the digest that it contains.
    """
    return hashlib.sha256(content.replace(digest.encode(), NO_DIGEST.encode())).hexdigest()
