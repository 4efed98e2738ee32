"""How many samples of the ground a pixel needs, and how blurred each should be.

The stock simulator averages thousands of points under a pixel of an observation. Here a few samples, spread
evenly over the pixel's footprint on the ground, each read a texel that is itself an average. More samples
and finer texels follow the footprint more closely, but every sample takes time. The best choice for each size
of footprint is found by weighing both: the error is that of the two averages' frequency responses on pictures
with the spectrum of roads.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.town.road import LEVELS, TILE_TEXELS

Floats = NDArray[np.float64]

FINEST_TEXEL_M = 0.585 / TILE_TEXELS
"""Side of a texel of the finest level on nearly all maps; a texel averages a square twice as wide."""

CHOICES = ((1, 1), (2, 1), (3, 1), (4, 1), (6, 1), (8, 1), (1, 2), (2, 2), (3, 2), (4, 2))
"""Samples along a footprint and across it; few choices, so that groups of pixels are large."""

SMALLEST, STEP, SIZES = 0.25, 0.25, 44
"""Of the footprints' sides that are distinguished: the smallest, in finest texels, the ratio between two
neighbours, in octaves, and their number."""

COST = 0.007
"""Of a sample, in units of error. It sets the exchange of speed for fidelity: at 84 x 84 pixels twice this
saves a quarter of the samples and costs 1.3 dB of PSNR against the stock simulator."""

_SLOPE = 1.25
"""Amplitudes in pictures of roads fall with this power of the frequency. Steeper spectra gave lower fidelity
for the same number of samples."""

_FREQUENCIES = np.geomspace(1.5, 500.0, 20)
"""Cycles per metre: from two in a tile to more than the finest texels show."""

_DIRECTIONS = (np.arange(12) + 0.5) / 12 * np.pi
"""Of waves against the footprint's length."""

_TURNS = (0.2, 0.6, 1.0, 1.4)
"""Of the texels against the footprint, radians: no heading of the robot is special."""


@cache
def best_plans() -> NDArray[np.int32]:
    """What to do for each size of footprint.

    Returns:
        (SIZES, SIZES) by the footprint's width and by its length: level * len(CHOICES) + index in CHOICES.
    """
    sides = FINEST_TEXEL_M * SMALLEST * 2 ** (STEP * np.arange(SIZES))
    frequency, direction = (grid.ravel() for grid in np.meshgrid(_FREQUENCIES, _DIRECTIONS))
    along, across = frequency * np.cos(direction), frequency * np.sin(direction)
    # an area of the frequencies' plane, at even steps of the logarithm, grows with the square
    power = frequency ** (2 - 2 * _SLOPE) * np.log(_FREQUENCIES[1] / _FREQUENCIES[0]) * _DIRECTIONS[0] * 2
    wide, long = np.sinc(np.outer(sides, across)), np.sinc(np.outer(sides, along))
    costs = np.empty((LEVELS, len(CHOICES), SIZES, SIZES))
    for level in range(LEVELS):
        shift, spread, scatter = _texel(FINEST_TEXEL_M * 2**level, frequency, direction)
        for choice, (lengthwise, sidewise) in enumerate(CHOICES):
            combs = _comb(sidewise, np.outer(sides, across)), _comb(lengthwise, np.outer(sides, along))
            costs[level, choice] = (
                (wide**2 * power) @ (long**2).T
                - 2 * (wide * combs[0] * power * shift) @ (long * combs[1]).T
                + (combs[0] ** 2 * power * spread) @ (combs[1] ** 2).T
                + power @ scatter / (lengthwise * sidewise)
                + COST * lengthwise * sidewise
            )
    return costs.reshape(-1, SIZES, SIZES).argmin(axis=0).astype(np.int32)


def _texel(side: float, frequency: Floats, direction: Floats) -> tuple[Floats, Floats, Floats]:
    """Response of reading the texel under a point, for each wave, averaged over the turns.

    A texel averages a square twice as wide as it is itself, and lies up to half its side away from the point.

    Returns:
        its mean, the mean of its square, and the variance that the distance to the texel brings.
    """
    angles = direction + np.array(_TURNS)[:, None]
    across, along = side * frequency * np.cos(angles), side * frequency * np.sin(angles)
    blurred, moved = np.sinc(2 * across) * np.sinc(2 * along), np.sinc(across) * np.sinc(along)
    mean = blurred * moved
    return mean.mean(axis=0), (mean**2).mean(axis=0), (blurred**2 - mean**2).mean(axis=0)


def _comb(samples: int, waves: Floats) -> Floats:
    """Response of evenly spaced points to waves, given as periods over the whole length."""
    places = (np.arange(samples) + 0.5) / samples - 0.5
    return np.cos(2 * np.pi * waves[..., None] * places).mean(axis=-1)
