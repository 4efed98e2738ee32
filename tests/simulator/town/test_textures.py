"""Textures: pictures in 256 colours of their own."""

from __future__ import annotations

import numpy as np

from ducklane.simulator.town.textures import COLORS, in_palette


def packed(channels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(channels.astype(np.uint8)).view("<u4")[..., 0]


def test_few_colors_stay_what_they_are() -> None:
    some = np.array([[0xFF0000FF, 0xFF00FF00], [0x00000000, 0xFF0000FF]], np.uint32)
    others = np.arange(200, dtype=np.uint32).reshape(10, 20)
    palette, (some_numbers, other_numbers) = in_palette([some, others])
    assert palette.shape == (COLORS,)
    assert (palette[some_numbers] == some).all()
    assert (palette[other_numbers] == others).all()


def test_many_colors_are_near_to_those_that_stand_for_them() -> None:
    # asphalt with a white and a yellow line: most of a road's texels differ little
    rng = np.random.default_rng(0)
    road = rng.normal(60, 12, (128, 128, 1)) + rng.normal(0, 3, (128, 128, 4))
    road[:, 20:26], road[:, 90:94] = (230, 230, 225, 255), (220, 190, 30, 255)
    road += rng.normal(0, 4, road.shape)
    picture = packed(np.clip(road, 0, 255))
    palette, (numbers,) = in_palette([picture])
    shown, true = (image.view(np.uint8).astype(float) for image in (palette[numbers], picture))
    assert np.sqrt(np.mean((shown - true) ** 2)) < 2.5


def test_the_choice_does_not_depend_on_where_colors_are() -> None:
    picture = np.random.default_rng(1).integers(0, 2**32, (64, 64), dtype=np.uint32)
    palette, (numbers,) = in_palette([picture])
    turned_palette, (turned,) = in_palette([np.rot90(picture).copy()])
    assert (palette == turned_palette).all()
    assert (np.rot90(numbers) == turned).all()
