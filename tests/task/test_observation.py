"""What the policy sees is the exact area average of the camera's frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ducklane.settings import ObservationSettings
from ducklane.task.observation import FrameStack, FrameTransform, area_weights


def observation(**changes: object) -> ObservationSettings:
    return ObservationSettings.model_validate(
        {"crop_top": 160, "crop_bottom": 0, "width": 80, "height": 40, "color": "rgb", "frame_stack": 2}
        | changes
    )


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def exact_average(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Round half up of the true area average, in integers: enlarge by repetition, then sum blocks."""
    rows, columns, colors = frame.shape
    enlarged = frame.astype(np.int64).repeat(height, axis=0).repeat(width, axis=1)
    blocks = enlarged.reshape(height, rows, width, columns, colors).sum(axis=(1, 3))
    return (2 * blocks + rows * columns) // (2 * rows * columns)


@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_observation_is_the_exact_area_average(
    rows: int, columns: int, height: int, width: int, seed: int
) -> None:
    assume(height <= rows and width <= columns)
    frame = frames(rows, columns, 3, seed=seed)
    transform = FrameTransform(observation(crop_top=0, height=height, width=width), rows, columns)
    assert np.array_equal(transform(frame), exact_average(frame, height, width))


@given(size=st.integers(1, 700), wanted=st.integers(1, 700))
def test_every_pixel_counts_equally(size: int, wanted: int) -> None:
    assume(wanted <= size)
    weights = area_weights(size, wanted)
    assert len(set(weights.sum(axis=0).tolist())) == 1
    assert len(set(weights.sum(axis=1).tolist())) == 1


@pytest.mark.parametrize("size", [(40, 80), (84, 84), (80, 160), (320, 640)])
def test_a_camera_frame_becomes_an_observation(size: tuple[int, int]) -> None:
    height, width = size
    frame = frames(480, 640, 3)
    seen = FrameTransform(observation(height=height, width=width), 480, 640)(frame)
    weights = area_weights(320, height).astype(np.int64), area_weights(640, width).astype(np.int64)
    sums = np.einsum("hr,rcx,wc->hwx", weights[0], frame[160:].astype(np.int64), weights[1], optimize=True)
    total = int(weights[0][0].sum() * weights[1][0].sum())
    assert seen.dtype == np.uint8
    assert np.array_equal(seen, (2 * sums + total) // (2 * total))


def test_top_and_bottom_are_cropped() -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[100:440] = 200
    seen = FrameTransform(observation(crop_top=100, crop_bottom=40, height=34, width=64), 480, 640)(frame)
    assert (seen == 200).all()


def test_gray_is_luma_of_the_averaged_colours() -> None:
    frame = frames(480, 640, 3)
    rgb = FrameTransform(observation(), 480, 640)(frame).astype(float)
    gray = FrameTransform(observation(color="gray"), 480, 640)(frame)
    assert gray.shape == (40, 80, 1)
    assert np.abs(gray[..., 0] - rgb @ [0.299, 0.587, 0.114]).max() <= 1


def test_a_batch_equals_its_frames_one_by_one() -> None:
    transform = FrameTransform(observation(), 480, 640)
    batch = frames(3, 480, 640, 3)
    assert np.array_equal(transform(batch), np.stack([transform(frame) for frame in batch]))


def test_stack_holds_the_latest_frames_oldest_first() -> None:
    stack = FrameStack(3)
    first, second, third, fourth = (np.full((2, 2, 1), value, np.uint8) for value in (1, 2, 3, 4))
    assert stack.push(first)[0, 0].tolist() == [1, 1, 1]
    assert stack.push(second)[0, 0].tolist() == [1, 1, 2]
    stack.push(third)
    assert stack.push(fourth)[0, 0].tolist() == [2, 3, 4]
    stack.clear()
    assert stack.push(second)[0, 0].tolist() == [2, 2, 2]


def test_a_stacked_observation_is_not_changed_by_later_frames() -> None:
    stack = FrameStack(2)
    seen = stack.push(np.full((2, 2, 1), 7, np.uint8))
    stack.push(np.full((2, 2, 1), 9, np.uint8))
    assert (seen == 7).all()


def test_a_stack_needs_a_frame() -> None:
    with pytest.raises(ValidationError, match="frame_stack"):
        observation(frame_stack=0)
