"""Driving by an ONNX file: what a robot, or anyone without torch's checkpoint, runs."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

# it would report to its makers, and complain of a home that cannot be written
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from numpy.typing import NDArray

from ducklane.policy import Commands, Observations, Policy, PolicyError

CONTENT = "content_sha256"
"""In the file's metadata: its `content_digest`."""

NO_DIGEST = "0" * 64

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's option: where the files lie to which a model refers for its weights."""


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
        # a session of ONNX Runtime cannot be pickled: whoever gets a copy opens the file
        return OnnxPolicy, self._made_from

    @property
    def provenance(self) -> dict[str, str]:
        """Where the policy comes from, as the file says."""
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
    # what goes wrong is raised, and told in one line; ONNX Runtime would print lines of its own before
    options.log_severity_level = 4
    # the file is all there is to a policy: no weights from files that happen to lie in this folder
    options.add_session_config_entry(EXTERNAL_DATA, os.devnull)
    content = path.read_bytes()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise PolicyError(f"{path}: is no ONNX model that can run ({reason}); export it again") from None
    digest = session.get_modelmeta().custom_metadata_map.get(CONTENT, NO_DIGEST)
    if digest != content_digest(content, digest):
        raise PolicyError(f"{path}: is damaged, or not written by this project; run `dvc repro export` again")
    return session


def content_digest(content: bytes, digest: str) -> str:
    """Hexadecimal SHA-256 of an ONNX file in which no digest stands yet.

    Args:
        content: of the file.
        digest: what stands in it as its digest.
    """
    return hashlib.sha256(content.replace(digest.encode(), NO_DIGEST.encode())).hexdigest()
