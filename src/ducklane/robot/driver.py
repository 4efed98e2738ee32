"""From camera frames with time stamps to wheel commands, as a policy's contract asks for them.

A robot's frames come neither as evenly nor as often as those of a simulator.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ducklane.errors import UserError
from ducklane.export.policy_file import PolicyFile

STOP_AFTER_S = 0.3
"""The robot stands still when no new frame has come for this long: at full speed it drives 20 cm, a lane's
width."""

STAND: tuple[float, float] = (0.0, 0.0)

Frame = NDArray[np.uint8]


class FrameHistory:
    """The frames that a policy stacks, chosen by their time stamps.

    The last is the newest frame. Each before it is the earlier frame whose age is nearest to the one that the
    policy knows from its training: a camera that is faster or slower, or misses a frame, changes little. The
    first frame fills the stack.

    Args:
        size: frames in a stack.
        spacing_s: seconds from one stacked frame to the next.
    """

    def __init__(self, size: int, spacing_s: float) -> None:
        self._ages = [spacing_s * back for back in range(size - 1, 0, -1)]
        self._frames: deque[tuple[float, Frame]] = deque()

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def push(self, time_s: float, frame: Frame) -> bool:
        """Add a frame [height, width, 3]; returns whether it is a new one.

        After a gap of more than `STOP_AFTER_S`, and where time runs backwards, the stack begins anew.
        """
        if self._frames:
            passed = time_s - self._frames[-1][0]
            if passed == 0:
                return False
            if not 0 < passed <= STOP_AFTER_S:
                self.clear()
        self._frames.append((time_s, frame))
        self._drop_older_than(time_s - max(self._ages, default=0))
        return True

    def stack(self) -> Frame:
        """The frames [size, height, width, 3], oldest first."""
        newest, frame = self._frames[-1]
        earlier = list(self._frames)[:-1] or [self._frames[-1]]
        chosen = [min(earlier, key=lambda past: abs(newest - past[0] - age))[1] for age in self._ages]
        return np.stack([*chosen, frame])

    def _drop_older_than(self, time_s: float) -> None:
        # one frame before that time may be the nearest to it
        while len(self._frames) > 2 and self._frames[1][0] <= time_s:
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
        if frame.shape[:2] != self._policy.camera_shape:
            given, wanted = (
                f"{width} x {height}" for height, width in (frame.shape[:2], self._policy.camera_shape)
            )
            raise UserError(
                f"camera: its frames have {given} pixels, but the policy takes {wanted}; set the "
                "camera to that"
            )
        self._is_new |= self._history.push(time_s, frame)

    def command(self, time_s: float) -> tuple[float, float] | None:
        """Wheel duty (left, right) in [-1, 1]; None, to stand still, if frames stay away.

        Args:
            time_s: now, on any clock: it need not be the camera's.
        """
        if self._is_new:
            left, right = np.clip(self._policy.commands(self._history.stack()[None])[0], -1, 1) * self._scale
            self._wheels, self._is_new, self._answered_s = (float(left), float(right)), False, time_s
        if self._answered_s is None or time_s - self._answered_s > STOP_AFTER_S:
            return None
        return self._wheels
