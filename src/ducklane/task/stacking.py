"""The frame stacks of many robots, compiled: numpy would take a third of a simulator's time for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel
from ducklane.settings import ObservationSettings
from ducklane.task.observation import GRAY_WEIGHTS, Frames

RED, GREEN, BLUE = GRAY_WEIGHTS


class BatchedFrameStack:
    """`FrameStack` for N robots whose episodes begin at different times.

    Args:
        settings: colour and number of frames.
        num_envs: N.
    """

    def __init__(self, settings: ObservationSettings, num_envs: int) -> None:
        self._gray = settings.color == "gray"
        self._images = np.zeros((num_envs, *settings.shape), np.uint8)

    def push(self, frames: Frames, starting: NDArray[np.bool_]) -> Frames:
        """Add RGB frames [N, height, width, 3] that are averaged already; return new images [N, ...].

        Args:
            frames: one a robot.
            starting: of which robots this frame is the episode's first: it fills their stack.
        """
        if not self._gray and frames.shape == self._images.shape:
            return frames  # a stack of one
        before, self._images = self._images, np.empty_like(self._images)
        _push(frames, starting, self._gray, before, self._images)
        return self._images


@lean_kernel
def _push(frames: Frames, starting: NDArray[np.bool_], gray: bool, before: Frames, images: Frames) -> None:
    n, height, width, depth = images.shape
    channels = 1 if gray else 3
    for i in range(n):
        frame = frames[i].reshape((height * width, 3))
        image = images[i].reshape((height * width, depth))
        # all bytes move up at once, also those that go into the next pixel: they are written over below
        flat, older = image.reshape(image.size), before[i].reshape(image.size)
        for k in range(len(flat) - channels):
            flat[k] = older[k + channels]
        for p in range(len(frame)):
            red, green, blue = frame[p]
            if gray:
                # the same sum as `FrameTransform` rounds
                image[p, depth - 1] = (RED * red + GREEN * green + BLUE * blue + 128) >> 8
            else:
                image[p, depth - 3], image[p, depth - 2], image[p, depth - 1] = red, green, blue
        for p in range(len(frame) if starting[i] else 0):
            for c in range(depth - channels):
                image[p, c] = image[p, depth - channels + c % channels]
