"""How many samples a footprint gets, and how fine."""

from __future__ import annotations

import numpy as np

from ducklane.simulator.camera.filtering import CHOICES, SIZES, best_plans
from ducklane.simulator.town.road import LEVELS


def test_larger_footprints_get_coarser_texels_and_longer_ones_more_samples() -> None:
    level, choice = np.divmod(best_plans(), len(CHOICES))
    along, across = np.array(CHOICES)[choice].transpose(2, 0, 1)
    square = np.arange(SIZES)
    assert level[0, 0] == 0
    assert level[-1, -1] == LEVELS - 1
    assert (np.diff(level[square, square]) >= 0).all()
    # eight times as long as wide: several, one behind the other, but only one side by side
    wide = square[12 : SIZES - 12]  # two finest texels and more
    assert (along[wide, wide + 12] >= 4).all()
    assert (across[wide, wide + 12] == 1).all()
    # two octaves wider than long: side by side
    assert (across[wide + 8, wide] >= along[wide + 8, wide]).all()
