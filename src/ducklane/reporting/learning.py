"""The learning curves as a drawing: every seed thin, their median, and a band from the lowest to the highest.

It is an SVG that takes its colours from the page, so that it is legible in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ducklane.reporting.results import Curve

LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 44
"""Margins for the axes, in the drawing's units."""

TICKS = 5
"""About as many on an axis."""

Points = NDArray[np.float64]
"""[n, 2]: environment steps, episode_reward_mean."""


@dataclass(frozen=True)
class _Frame:
    """Where numbers are drawn."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, points: Points) -> Points:
        """Places in the drawing."""
        inner = (self.width - LEFT - RIGHT, self.height - TOP - BOTTOM)
        share = (points - (self.x[0], self.y[0])) / (self.x[1] - self.x[0], self.y[1] - self.y[0])
        return np.stack([LEFT + share[:, 0] * inner[0], self.height - BOTTOM - share[:, 1] * inner[1]], 1)

    def line(self, points: Points, kind: str) -> str:
        """A line through points."""
        return f'<polyline class="{kind}" points="{_listed(self.at(points))}"/>'


def draw_curves(
    curves: Sequence[Curve], best: tuple[float, float], size: tuple[int, int], *, described_by: str
) -> Markup:
    """Draw the curves; empty if no episode ended in the whole training.

    Args:
        curves: one for each seed.
        best: (environment steps, episode_reward_mean) of the checkpoint that became the model.
        size: width and height; a unit is a pixel where the page is as wide.
        described_by: id of the text that says what the drawing shows.
    """
    lines = [np.array(curve.points, float) for curve in curves if curve.points]
    if not lines:
        return Markup()
    every = np.concatenate([*lines, [best]])
    frame = _Frame(*size, (0.0, float(every[:, 0].max())), _around(every[:, 1]))
    parts = [*_axes(frame), *_lines(frame, lines), *_best(frame, best)]
    width, height = size
    return Markup(
        f'<svg class="curves" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Learning curves" aria-describedby="{described_by}">{"".join(parts)}</svg>'
    )


def _lines(frame: _Frame, lines: Sequence[Points]) -> Iterator[str]:
    if len(lines) == 1:
        yield frame.line(lines[0], "median")
        return
    steps = _common_steps(lines)
    if len(steps):
        rewards = np.stack([np.interp(steps, *line.T) for line in lines])
        around = [np.stack([steps, edge], 1) for edge in (rewards.min(0), rewards.max(0))]
        outline = np.concatenate([around[0], around[1][::-1]])
        yield f'<polygon class="band" points="{_listed(frame.at(outline))}"/>'
    yield from (frame.line(line, "seed") for line in lines)
    if len(steps):
        yield frame.line(np.stack([steps, np.median(rewards, 0)], 1), "median")


def _common_steps(lines: Sequence[Points]) -> NDArray[np.float64]:
    """Steps at which all curves have a value; empty if there are none."""
    first, last = max(line[0, 0] for line in lines), min(line[-1, 0] for line in lines)
    steps = np.unique(np.concatenate([line[:, 0] for line in lines]))
    return steps[(steps >= first) & (steps <= last)]


def _best(frame: _Frame, best: tuple[float, float]) -> Iterator[str]:
    ((x, y),) = frame.at(np.array([best]))
    yield f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _axes(frame: _Frame) -> Iterator[str]:
    bottom, right = frame.height - BOTTOM, frame.width - RIGHT
    for value in _ticks(*frame.y):
        ((_, y),) = frame.at(np.array([[0.0, value]]))
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:z,g}</text>'
    # fewer where there is less room
    for value in _ticks(*frame.x, TICKS if frame.width > 500 else 3):
        ((x, _),) = frame.at(np.array([[value, 0.0]]))
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_shortened(value)}</text>'
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{frame.height - 6}" text-anchor="middle">environment steps</text>'


def _ticks(low: float, high: float, count: int = TICKS) -> Iterator[float]:
    """Round numbers between two others."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(round_ * power for round_ in (1, 2, 5, 10) if round_ * power >= rough)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield number * step


def _around(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _shortened(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _listed(places: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
