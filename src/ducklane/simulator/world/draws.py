"""A random number generator for each robot: xoshiro256** (Blackman and Vigna, 2018).

What a robot draws depends only on its seed and its own past draws: never on its neighbours, on how many there
are or on which thread they run. A stream is the generator's state, a row uint64 [4], which each draw changes
in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ducklane.kernel import lean_kernel

Stream = NDArray[np.uint64]
"""uint64 [4]"""

# numba promotes an operation on uint64 and int64 to float64, so every constant is a uint64
_FIVE, _SEVEN, _NINE, _ELEVEN, _SEVENTEEN, _FORTY_FIVE, _BITS = (
    np.uint64(number) for number in (5, 7, 9, 11, 17, 45, 64)
)
_UNIT = 2.0**-53
"""spacing of the doubles drawn from [0, 1): the 53 bits of a double's mantissa"""


def seed_robots(seed: int, indices: Iterable[int]) -> NDArray[np.uint64]:
    """One stream per robot.

    Args:
        seed: 0 or more.
        indices: of the robots, 0 or more; a stream depends on the seed and on the robot's index only.

    Returns:
        uint64 [N, 4].
    """
    streams = [np.random.SeedSequence(seed, spawn_key=(int(index),)) for index in indices]
    states = [stream.generate_state(4, np.uint64) for stream in streams]
    return np.array(states, dtype=np.uint64).reshape(-1, 4)


@lean_kernel
def uniform(stream: Stream, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * _unit(stream)


@lean_kernel
def integers(stream: Stream, low: int, high: int) -> int:
    """A whole number in [low, high)."""
    return low + int(_unit(stream) * (high - low))


@lean_kernel
def normal(stream: Stream, loc: float, scale: float) -> float:
    """A number from the normal distribution with this mean and standard deviation (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - _unit(stream)))
    return loc + scale * radius * math.cos(2.0 * math.pi * _unit(stream))


@lean_kernel
def _unit(stream: Stream) -> float:
    """A number in [0, 1) from the upper 53 bits of the next 64."""
    return float(_next(stream) >> _ELEVEN) * _UNIT


@lean_kernel
def _next(stream: Stream) -> np.uint64:
    """The generator's next 64 bits; step for step the authors' `next` in xoshiro256starstar.c."""
    result = _rotated(stream[1] * _FIVE, _SEVEN) * _NINE
    shifted = stream[1] << _SEVENTEEN
    stream[2] ^= stream[0]
    stream[3] ^= stream[1]
    stream[1] ^= stream[2]
    stream[0] ^= stream[3]
    stream[2] ^= shifted
    stream[3] = _rotated(stream[3], _FORTY_FIVE)
    return result


@lean_kernel
def _rotated(word: np.uint64, bits: np.uint64) -> np.uint64:
    """The word rotated left."""
    return (word << bits) | (word >> (_BITS - bits))
