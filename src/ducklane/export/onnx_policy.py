"""Driving by an ONNX file: what a robot, or anyone without torch's checkpoint, runs."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ducklane.policy import Commands, Observations, Policy, PolicyError


class OnnxPolicy(Policy):
    """Feeds the latest raw camera frames to ONNX Runtime.

    Args:
        path: a file that `ducklane.export.onnx_file.export_onnx` wrote.
        threads: threads of ONNX Runtime.

    Raises:
        PolicyError: the file is missing, damaged, or takes something else than camera frames.
    """

    name = "onnx"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._made_from = path, threads
        self._session = _open(path, threads)
        frames = self._session.get_inputs()[0]
        if frames.type != "tensor(uint8)" or len(frames.shape) != 5 or frames.shape[4] != 3:
            raise PolicyError(
                f"{path}: takes {frames.type} {frames.shape}, not camera frames as uint8 "
                "[batch, frames, height, width, 3]; export it with `dvc repro export`"
            )
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
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise PolicyError(f"{path}: is no ONNX model that can run ({reason}); export it again") from None
