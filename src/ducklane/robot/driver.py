"""From camera frames with time stamps to wheel commands, as a policy's contract asks for them.

A robot's frames come neither as evenly nor as often as those of a simulator.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ducklane.errors import UserError
from ducklane.export.policy_file import Kept, PolicyFile

STOP_AFTER_S = 0.3
"""The robot stands still when no new frame has come for this long: at full speed it drives 20 cm, a lane's
width."""

STAND: tuple[float, float] = (0.0, 0.0)

Frame = NDArray[np.uint8]


class FrameHistory:
    """The frames below the newest one in a policy's stack, chosen by their time stamps.

    Each is the earlier frame whose age is nearest to the one that the policy knows from its training: a
    camera that is faster or slower, or misses a frame, changes little.

    Args:
        size: frames in a stack, with the newest one.
        spacing_s: seconds from one stacked frame to the next.
    """

    def __init__(self, size: int, spacing_s: float) -> None:
        self._ages = [spacing_s * back for back in range(size - 1, 0, -1)]
        self._frames: deque[tuple[float, Kept]] = deque()

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def has(self, time_s: float) -> bool:
        """Whether the latest frame is of this time."""
        return bool(self._frames) and self._frames[-1][0] == time_s

    def below(self, time_s: float) -> list[Kept] | None:
        """What was kept of the size - 1 frames to stack below a new one of this time, oldest first.

        None where there are none: at the start, after a gap of more than `STOP_AFTER_S`, and where time runs
        backwards.
        """
        if self._frames and not 0 < time_s - self._frames[-1][0] <= STOP_AFTER_S:
            self.clear()
        if not self._frames:
            return None
        return [min(self._frames, key=lambda past: abs(time_s - past[0] - age))[1] for age in self._ages]

    def add(self, time_s: float, kept: Kept) -> None:
        """Add the new frame, or what is kept of it."""
        self._frames.append((time_s, kept))
        # one frame before the oldest time that is asked for may be the nearest to it
        while len(self._frames) > 2 and self._frames[1][0] <= time_s - max(self._ages, default=0):
            self._frames.popleft()


class Driver:
    """Drives one robot.

    Args:
        policy: its file.
        scale: factor of its commands, in (0, 1]: a slower robot forgives more delay.
    """

    def __init__(self, policy: PolicyFile, scale: float = 1.0) -> None:
        self._policy = policy
        self._scale = scale
        self._history = FrameHistory(policy.frame_stack, policy.spacing_s)
        self.start()

    def start(self) -> None:
        """Forget the past: an episode begins."""
        self._history.clear()
        self._wheels = STAND
        self._is_new = False
        self._answered_s: float | None = None

    def see(self, time_s: float, frame: Frame) -> None:
        """Take a camera frame [height, width, 3], RGB.

        Args:
            time_s: when it was taken, on the camera's clock; a frame that was seen before is ignored.
            frame: the frame.

        Raises:
            UserError: the frame has another size than the policy's.
        """
        self._check(frame)
        if self._history.has(time_s):
            return
        duty, kept = self._policy.advance(frame, self._history.below(time_s))
        self._history.add(time_s, kept)
        left, right = np.clip(duty, -1, 1) * self._scale
        self._wheels, self._is_new = (float(left), float(right)), True

    def command(self, time_s: float) -> tuple[float, float] | None:
        """Wheel duty (left, right) in [-1, 1]; None, to stand still, if frames stay away.

        Args:
            time_s: now, on any clock: it need not be the camera's.
        """
        if self._is_new:
            self._is_new, self._answered_s = False, time_s
        if self._answered_s is None or time_s - self._answered_s > STOP_AFTER_S:
            return None
        return self._wheels

    def _check(self, frame: Frame) -> None:
        wanted = self._policy.camera_shape
        if frame.shape[:2] != wanted:
            raise UserError(
                f"camera: its frames have {frame.shape[1]} x {frame.shape[0]} pixels, but the policy takes "
                f"{wanted[1]} x {wanted[0]}; set the camera to that"
            )
