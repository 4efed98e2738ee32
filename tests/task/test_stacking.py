"""The compiled frame stack of many robots is the frame stack of each. 1 s."""

from __future__ import annotations

import numpy as np
import pytest

from ducklane.settings import ObservationSettings, Settings
from ducklane.task.observation import FrameStack, FrameTransform
from ducklane.task.stacking import BatchedFrameStack

ROBOTS, STEPS = 5, 8


@pytest.mark.parametrize("frame_stack", [1, 2, 3, 8])
@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_each_robot_has_a_stack_of_its_own_frames(settings: Settings, color: str, frame_stack: int) -> None:
    chosen = ObservationSettings.model_validate(
        settings.observation.model_dump()
        | {"color": color, "frame_stack": frame_stack, "height": 4, "width": 8}
    )
    colored = FrameTransform(chosen, 480, 640).colored
    batched = BatchedFrameStack(chosen, ROBOTS)
    single = [FrameStack(frame_stack) for _ in range(ROBOTS)]
    random = np.random.default_rng(0)
    kept = []
    for step in range(STEPS):
        frames = random.integers(0, 256, (ROBOTS, 4, 8, 3), dtype=np.uint8)
        starting = random.random(ROBOTS) < (0.3 if step else 1.1)
        for i in np.flatnonzero(starting):
            single[i].clear()
        expected = np.stack([stack.push(colored(frame)) for stack, frame in zip(single, frames, strict=True)])
        kept.append((batched.push(frames, starting), expected))
    # compared at the end: what was returned earlier is not written over
    for found, expected in kept:
        np.testing.assert_array_equal(found, expected)
