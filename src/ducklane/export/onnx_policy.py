"""Driving with an ONNX file, as on a robot, without torch and its checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

# its telemetry would report to its makers, and complain about a read-only home
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from numpy.typing import NDArray

from ducklane.policy import Commands, Observations, Policy, PolicyError

CONTENT = "content_sha256"
"""Key in the file's metadata: its `content_digest`."""

NO_DIGEST = "0" * 64

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's option: the folder of external files with a model's weights."""


class OnnxPolicy(Policy):
    """Feeds the latest raw camera frames to ONNX Runtime.

    Args:
        path: a file that `ducklane.export.onnx_file.export_onnx` wrote.
        threads: threads of ONNX Runtime.

    Raises:
        PolicyError: the file is missing, damaged, or was not written by `export_onnx`.
    """

    name = "onnx"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._made_from = path, threads
        self._session = _open(path, threads)
        frames = self._session.get_inputs()[0]
        self._input = frames.name
        self.frame_stack = int(frames.shape[1])
        self.camera_shape = int(frames.shape[2]), int(frames.shape[3])
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=self.frame_stack)

    def __reduce__(self) -> tuple[Any, ...]:
        # a session of ONNX Runtime cannot be pickled: a copy opens the file again
        return OnnxPolicy, self._made_from

    @property
    def provenance(self) -> dict[str, str]:
        """The policy's origin, from the file's metadata."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def reset(self, n: int) -> None:
        """Forget the stacked frames."""
        self._frames.clear()

    def act(self, observations: Observations) -> Commands:
        """Wheel duty for frames [n, camera_height, camera_width, 3]; the first frame fills the stack."""
        missing = self.frame_stack - len(self._frames)
        self._frames.extend([observations.frames] * max(1, missing))
        stacked = np.stack(self._frames, axis=1)
        commands: Commands = self._session.run(None, {self._input: stacked})[0]
        return commands


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
