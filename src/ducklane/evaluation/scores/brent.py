"""Brent's method for many functions at once.

The official rules find the point of a lane closest to the robot with Brent's minimiser at a tolerance of
1e-6. The remaining error is part of the official numbers, so the same minimiser is run here, on all poses
and lanes at once.

References:
    R. P. Brent, Algorithms for Minimization without Derivatives (1973), chapter 5;
    `scipy.optimize.minimize_scalar` is the implementation that the official rules call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BRENT_TOLERANCE = 1e-6
"""Relative tolerance of the closest point along a lane in the official rules."""

# with the same digits as in scipy
_GOLDEN_RATIO = 1.618034
_GOLDEN_SECTION = 0.3819660
_SMALLEST_MOVE = 1e-11


def minimize(function: Callable[[Floats, Ints], Floats], low: Floats, high: Floats) -> Floats:
    """Minimise n functions of one variable, each as `scipy.optimize.minimize_scalar` does from two points.

    Args:
        function: takes (m,) arguments and the (m,) indices of the functions to evaluate, returns (m,) values.
        low: (n,) first of the two initial points.
        high: (n,) the second. Beyond the one with the lower value the function must rise. For a lane it
            does: beyond its tile the lane continues straight, away from every point on the tile.

    Returns:
        (n,) the arguments of the minima.
    """
    every = np.arange(len(low))
    at_low, at_high = function(low, every), function(high, every)
    x = np.where(at_low < at_high, low, high)
    beyond = x + _GOLDEN_RATIO * (x - np.where(at_low < at_high, high, low))
    a, b = np.minimum(beyond, np.minimum(low, high)), np.maximum(beyond, np.maximum(low, high))
    fx = np.minimum(at_low, at_high)
    zero = np.zeros_like(x)
    minima = np.empty_like(x)
    search = _Search(every, a, b, x, x, x, fx, fx, fx, zero, zero)
    while len(search.which):
        arrived = search.has_arrived()
        minima[search.which[arrived]] = search.x[arrived]
        search = _Search._make(column[~arrived] for column in search).advanced(function)
    return minima


class _Search(NamedTuple):
    """The state of Brent's method: one entry per function whose minimum is still being searched."""

    which: Ints
    """indices of the functions"""
    a: Floats
    b: Floats
    """bounds of the minimum"""
    x: Floats
    second: Floats
    third: Floats
    """the best, second and third best arguments so far"""
    fx: Floats
    f_second: Floats
    f_third: Floats
    """their values"""
    move: Floats
    """the last move"""
    reach: Floats
    """the one before it, or the interval's longer part if that was a golden section"""

    def has_arrived(self) -> Bools:
        near = 2 * self._smallest_move()
        arrived: Bools = np.abs(self.x - self._middle()) < near - 0.5 * (self.b - self.a)
        return arrived

    def advanced(self, function: Callable[[Floats, Ints], Floats]) -> _Search:
        """After one more evaluation of each function."""
        move, reach = self._next_move()
        smallest = self._smallest_move()
        u = self.x + np.where(np.abs(move) < smallest, np.where(move >= 0, smallest, -smallest), move)
        fu = function(u, self.which)
        worse = fu > self.fx
        # the worse of u and x becomes a bound, on its side of the better one
        inner = np.where(worse, u, self.x)
        is_lower = np.where(worse, u < self.x, u >= self.x)
        runner_up = worse & ((fu <= self.f_second) | (self.second == self.x))
        also_ran = worse & ((fu <= self.f_third) | (self.third == self.x) | (self.third == self.second))
        shifts = ~worse | runner_up
        return _Search(
            which=self.which,
            a=np.where(is_lower, inner, self.a),
            b=np.where(is_lower, self.b, inner),
            x=np.where(worse, self.x, u),
            second=np.where(worse, np.where(runner_up, u, self.second), self.x),
            third=np.where(shifts, self.second, np.where(also_ran, u, self.third)),
            fx=np.where(worse, self.fx, fu),
            f_second=np.where(worse, np.where(runner_up, fu, self.f_second), self.fx),
            f_third=np.where(shifts, self.f_second, np.where(also_ran, fu, self.f_third)),
            move=move,
            reach=reach,
        )

    def _next_move(self) -> tuple[Floats, Floats]:
        """To the vertex of the parabola through the best three, or by golden section where that is poor."""
        x, smallest, middle = self.x, self._smallest_move(), self._middle()
        r = (x - self.second) * (self.fx - self.f_third)
        q = (x - self.third) * (self.fx - self.f_second)
        p = (x - self.third) * q - (x - self.second) * r
        q = 2 * (q - r)
        p, q = np.where(q > 0, -p, p), np.abs(q)
        parabola = (
            (np.abs(self.reach) > smallest)
            & (p > q * (self.a - x))
            & (p < q * (self.b - x))
            & (np.abs(p) < np.abs(0.5 * q * self.reach))
        )
        longer_part = np.where(x >= middle, self.a - x, self.b - x)
        move = np.where(parabola, p / np.where(parabola, q, 1.0), _GOLDEN_SECTION * longer_part)
        u = x + move
        at_edge = parabola & ((u - self.a < 2 * smallest) | (self.b - u < 2 * smallest))
        move = np.where(at_edge, np.where(middle >= x, smallest, -smallest), move)
        return move, np.where(parabola, self.move, longer_part)

    def _smallest_move(self) -> Floats:
        return BRENT_TOLERANCE * np.abs(self.x) + _SMALLEST_MOVE

    def _middle(self) -> Floats:
        return 0.5 * (self.a + self.b)
