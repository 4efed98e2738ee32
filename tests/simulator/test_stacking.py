"""Images as the kernels make them are, bit for bit, those that numpy makes of the same frames. 10 s."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from ducklane.environment import TaskVectorEnv, image_blocks, image_stacking
from ducklane.envs.keywords import task_settings
from ducklane.settings import ObservationSettings, TaskSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.stacking import new_stacks, push
from ducklane.task.observation import FrameStack, FrameTransform

ROBOTS = 5


def changed(observation: dict[str, Any] | None = None, **simulator: Any) -> TaskSettings:
    """The default settings of the task but for these."""
    return task_settings("a test", {"observation": observation or {}, **simulator})


class Numpys:
    """`FrameTransform` and `FrameStack`, which define what a robot is shown."""

    def __init__(self, observation: ObservationSettings) -> None:
        self._transform = FrameTransform(observation, 480, 640)
        self._stacks = [FrameStack(observation.frame_stack) for _ in range(ROBOTS)]

    def push(self, frames: np.ndarray, starting: np.ndarray) -> np.ndarray:
        for i in np.flatnonzero(starting):
            self._stacks[i].clear()
        colored = self._transform.colored(frames)
        return np.stack([stack.push(frame) for stack, frame in zip(self._stacks, colored, strict=True)])


@pytest.mark.parametrize("frame_stack", range(1, 9))
@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("size", [(4, 8), (5, 20), (40, 80)])
def test_any_frames_are_stacked_as_numpy_does(color: str, frame_stack: int, size: tuple[int, int]) -> None:
    height, width = size
    chosen = {"color": color, "frame_stack": frame_stack, "height": height, "width": width}
    observation = changed(chosen).observation
    stacks = new_stacks(image_stacking(observation), ROBOTS, 2, height * width)
    if stacks.plain:
        return  # frames are then drawn into the images themselves
    numpys, random = Numpys(observation), np.random.default_rng(0)
    images = np.empty((ROBOTS, *observation.shape), np.uint8)
    for step in range(12):
        frames = random.integers(0, 256, (ROBOTS, height, width, 3), dtype=np.uint8)
        starting = random.random(ROBOTS) < (0.3 if step else 1.1)
        for i, frame in enumerate(frames):
            stacks.frames[i % 2] = frame.reshape(-1, 3)
            push(stacks, i, i % 2, bool(starting[i]), images[i].reshape(-1))
        np.testing.assert_array_equal(images, numpys.push(frames, starting))


COMMANDS = np.array([[1.0, 0.7], [0.4, 0.45], [-0.8, 1.0], [0.3, 0.3], [0.5, 0.2]], np.float32)
"""Of five robots, some of which soon leave the road."""


@pytest.mark.parametrize("frame_stack", [1, 3, 4])
@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_observations_are_what_numpy_makes_of_the_bare_simulators_frames(
    color: str, frame_stack: int, mode: AutoresetMode
) -> None:
    sees = {"color": color, "frame_stack": frame_stack, "crop_bottom": 20, "height": 12, "width": 20}
    settings = changed(sees, max_steps=20)
    blocks = image_blocks(settings.observation, settings.simulator)
    bare = BatchedSimulator(settings.simulator, ROBOTS, blocks, 1, autoreset_mode=mode)
    task = TaskVectorEnv(settings, ROBOTS, threads=2, autoreset_mode=mode)
    numpys, ends = Numpys(settings.observation), 0
    frames, _ = bare.reset(seed=1)
    starting = np.ones(ROBOTS, np.bool_)
    kept = [(task.reset(seed=1)[0], numpys.push(frames, starting))]
    for _ in range(45):
        frames, _, terminated, truncated, _ = bare.step(COMMANDS)
        images, _, *ended, infos = task.step(COMMANDS)
        np.testing.assert_array_equal(ended, [terminated, truncated])
        starting = bare.robots.step == 0
        kept.append((images, numpys.push(frames, starting)))
        ends += int((terminated | truncated).sum())
        assert ("final_obs" in infos) == (mode is AutoresetMode.SAME_STEP and bool(np.any(ended)))
    # compared at the end: what was returned earlier is not written over
    for found, expected in kept:
        np.testing.assert_array_equal(found, expected)
    assert ends >= 2 * ROBOTS
    bare.close()
    task.close()


def test_what_its_holder_does_to_an_image_changes_no_later_one() -> None:
    own = TaskVectorEnv(changed(), 2, threads=1)
    given = TaskVectorEnv(changed(), 2, threads=1, out=np.empty((2, *changed().observation.shape), np.uint8))
    own.reset(seed=1)
    given.reset(seed=1)[0][:] = 255
    for _ in range(3):
        actions = COMMANDS[:2, : own.single_action_space.shape[0]]
        expected, images = own.step(actions)[0], given.step(actions)[0]
        np.testing.assert_array_equal(images, expected)
        images[:] = 0


def test_gray_stacks_of_whole_frames_are_not_taken_for_what_the_camera_sees() -> None:
    small = {"camera_width": 40, "camera_height": 24, "distortion": False}
    whole = {"crop_top": 0, "crop_bottom": 0, "width": 40, "height": 24, "color": "gray", "frame_stack": 3}
    task = TaskVectorEnv(changed(whole, **small), 1)
    images, _ = task.reset(seed=1)
    (seen,) = task.render()
    assert images.shape[1:] == seen.shape
    assert np.ptp(seen.astype(int), axis=-1).max() > 20  # colours
    np.testing.assert_array_equal(
        FrameTransform(changed(whole).observation, 24, 40)(seen), images[0, ..., -1:]
    )
