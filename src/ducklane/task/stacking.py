"""The frame stacks of many robots, compiled: in numpy they would take a third of the simulator's time."""

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
        out: array [N, ...] to keep the stacks in; None for a new one each time.
    """

    def __init__(self, settings: ObservationSettings, num_envs: int, out: Frames | None = None) -> None:
        self._gray = settings.color == "gray"
        self._in_place = out is not None
        self._images = np.zeros((num_envs, *settings.shape), np.uint8) if out is None else out

    def push(self, frames: Frames, starting: NDArray[np.bool_]) -> Frames:
        """Add RGB frames [N, height, width, 3], already averaged; return new stacks [N, ...], or `out`.

        Args:
            frames: one per robot.
            starting: [N] whether the frame is the first of the robot's episode: it then fills the stack.
        """
        if self._is_stack(frames) and not self._in_place:
            return frames
        before = self._images
        if not self._in_place:
            self._images = np.empty_like(before)
        _push(frames, starting, self._gray, before, self._images)
        return self._images

    def restart(self, frames: Frames, starting: NDArray[np.bool_]) -> None:
        """Replace the last stacks of some robots, in place, by those of an episode that begins now.

        Args:
            frames: one per robot, as in `push`.
            starting: [N] the robots.
        """
        if self._is_stack(frames) and not self._in_place:
            return  # the frames are the stacks
        stacks = self._images[starting]
        _push(frames[starting], np.ones(len(stacks), np.bool_), self._gray, stacks, stacks)
        self._images[starting] = stacks

    def _is_stack(self, frames: Frames) -> bool:
        """Whether frames are stacks as they are: RGB, and one frame each."""
        return not self._gray and frames.shape == self._images.shape


@lean_kernel
def _push(frames: Frames, starting: NDArray[np.bool_], gray: bool, before: Frames, images: Frames) -> None:
    n, height, width, depth = images.shape
    channels = 1 if gray else 3
    for i in range(n):
        frame = frames[i].reshape((height * width, 3))
        image = images[i].reshape((height * width, depth))
        # One shift of the whole buffer drops each pixel's oldest frame. Bytes that cross into the pixel
        # before land where its newest frame goes, which is written below.
        flat, older = image.reshape(image.size), before[i].reshape(image.size)
        for k in range(len(flat) - channels):
            flat[k] = older[k + channels]
        for p in range(len(frame)):
            red, green, blue = frame[p]
            if gray:
                # the same integer formula as `observation._gray`
                image[p, depth - 1] = (RED * red + GREEN * green + BLUE * blue + 128) >> 8
            else:
                image[p, depth - 3], image[p, depth - 2], image[p, depth - 1] = red, green, blue
        for p in range(len(frame) if starting[i] else 0):
            for c in range(depth - channels):
                image[p, c] = image[p, depth - channels + c % channels]
