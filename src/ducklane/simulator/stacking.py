"""From a frame to the image that its robot is shown: gray, and stacked on the frames before it.

Each robot's frame is taken up as soon as it is drawn, from memory that is still in the processor's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import inner_kernel, lean_kernel


class Stacking(NamedTuple):
    """What an image is made of."""

    gray: tuple[int, int, int] | None = None
    """weights of red, green and blue in 1/256; None for frames in colour"""
    frames: int = 1
    """the latest ones, along the channels, the oldest first; an episode's first frame fills them all"""

    @property
    def depth(self) -> int:
        """Channels of an image."""
        return self.frames * (3 if self.gray is None else 1)


class Stacks(NamedTuple):
    """The images of N robots of P pixels each, for kernels."""

    plain: bool
    """images are frames as they are drawn; nothing below is then used"""
    weights: NDArray[np.uint16]
    """(3,), or (0,) for frames in colour"""
    frames: NDArray[np.uint8]
    """(threads, P, 3) what each thread draws into"""
    newest: NDArray[np.uint8]
    """(threads, P) the same in gray"""
    stacks: NDArray[np.uint8]
    """(N, P * depth)"""


def new_stacks(stacking: Stacking, n: int, threads: int, pixels: int) -> Stacks:
    """Memory for the images of N robots."""
    plain = stacking == Stacking()
    if plain:
        n = threads = 0
    return Stacks(
        plain,
        np.array(stacking.gray or (), np.uint16),
        np.zeros((threads, pixels, 3), np.uint8),
        np.zeros((threads, pixels), np.uint8),
        np.zeros((n, pixels * stacking.depth), np.uint8),
    )


@lean_kernel
def push(stacks: Stacks, i: int, thread: int, starting: bool, image: NDArray[np.uint8]) -> None:
    """Put the frame that a thread has drawn on top of robot i's stack.

    Args:
        stacks: of all robots.
        i: the robot.
        thread: the one that has drawn its frame.
        starting: whether the frame is the first of an episode: it then fills the stack.
        image: (P * depth,), output: the stack.
    """
    stack, frame = stacks.stacks[i], stacks.frames[thread].reshape(-1)
    if len(stacks.weights) == 0:
        _push_colors(frame, stack, starting)
    else:
        _to_gray(frame, stacks.weights, stacks.newest[thread])
        _push_gray(stacks.newest[thread], stack, starting)
    for k in range(len(stack)):
        image[k] = stack[k]


@inner_kernel
def _to_gray(frame: NDArray[np.uint8], weights: NDArray[np.uint16], gray: NDArray[np.uint8]) -> None:
    red, green, blue = weights[0], weights[1], weights[2]
    for p in range(len(gray)):
        gray[p] = (red * frame[3 * p] + green * frame[3 * p + 1] + blue * frame[3 * p + 2] + 128) >> 8


@inner_kernel
def _push_gray(newest: NDArray[np.uint8], stack: NDArray[np.uint8], starting: bool) -> None:
    depth = len(stack) // len(newest)
    if starting:
        for p in range(len(newest)):
            for k in range(depth):
                stack[depth * p + k] = newest[p]
    elif depth == 3:
        # to the compiler a constant, for which it moves dozens of pixels at once
        for p in range(len(newest)):
            stack[3 * p], stack[3 * p + 1], stack[3 * p + 2] = stack[3 * p + 1], stack[3 * p + 2], newest[p]
    else:
        # One shift drops each pixel's oldest frame. The byte that crosses into the pixel before lands where
        # its newest frame goes.
        for k in range(len(stack) - 1):
            stack[k] = stack[k + 1]
        for p in range(len(newest)):
            stack[depth * p + depth - 1] = newest[p]


@inner_kernel
def _push_colors(frame: NDArray[np.uint8], stack: NDArray[np.uint8], starting: bool) -> None:
    depth = 3 * (len(stack) // len(frame))
    older = 0 if starting else depth - 3
    if not starting:
        for k in range(len(stack) - 3):
            stack[k] = stack[k + 3]
    for p in range(len(frame) // 3):
        for k in range(older, depth, 3):
            at = depth * p + k
            stack[at], stack[at + 1], stack[at + 2] = frame[3 * p], frame[3 * p + 1], frame[3 * p + 2]
