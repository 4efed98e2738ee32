"""Driving with an ONNX file, as on a robot, without torch and its checkpoint."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.export.policy_file import PolicyFile
from ducklane.policy import Commands, Observations, Policy


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
        self._file = PolicyFile(path, threads)
        self.frame_stack = self._file.frame_stack
        self.camera_shape = self._file.camera_shape
        self._frames: deque[NDArray[Any]] = deque(maxlen=self.frame_stack)

    def __reduce__(self) -> tuple[Any, ...]:
        # a session of ONNX Runtime cannot be pickled: a copy opens the file again
        return OnnxPolicy, self._made_from

    @property
    def provenance(self) -> dict[str, str]:
        """The policy's origin, from the file's metadata."""
        return self._file.metadata

    def reset(self, n: int) -> None:
        """Forget the stacked frames."""
        self._frames.clear()

    def act(self, observations: Observations) -> Commands:
        """Wheel duty for frames [n, camera_height, camera_width, 3]; the first frame fills the stack.

        A streaming or a static file drives one robot.
        """
        if self._file.streaming:
            return self._stream(observations.frames[0])
        missing = self.frame_stack - len(self._frames)
        self._frames.extend([observations.frames] * max(1, missing))
        return self._file.commands(np.stack(self._frames, axis=1))

    def _stream(self, frame: NDArray[np.uint8]) -> Commands:
        below = self.frame_stack - 1
        earlier = list(self._frames)[-below:] if self._frames and below else None
        commands, kept = self._file.advance(frame, earlier)
        self._frames.extend([kept] * max(1, self.frame_stack - len(self._frames)))
        return commands[None]
