"""Scores of several policies side by side, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {
    "distance_m": ("distance (m)", "{:z.2f}"),
    "survival_s": ("time (s)", "{:.1f}"),
    "speed_mps": ("speed (m/s)", "{:z.2f}"),
    "lateral_mean_m": ("off centre (m)", "{:.3f}"),
    "in_lane_share": ("in lane", "{:.0%}"),
}
"""Readable score -> (heading, format)."""

HEADINGS = ("policy", "survived", *(heading for heading, _ in COLUMNS.values()))

SEEDS = {
    "survived_share": ("survived", "{:.1%}"),
    "distance_m": ("distance (m)", "{:z.2f}"),
    "lateral_mean_m": ("off centre (m)", "{:.3f}"),
    "in_lane_share": ("in lane", "{:.1%}"),
    "laps_survived_share": ("laps: survived", "{:.1%}"),
    "laps_distance_m": ("laps: distance (m)", "{:z.2f}"),
}
"""Score of a seed -> (heading, format)."""

Summaries = Mapping[str, Mapping[str, Any]]
"""Policy -> its summary, as returned by `scores.summary.summarize`."""


def print_table(summaries: Summaries) -> None:
    """Print medians over the episodes, one line per policy."""
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for row in _rows(summaries):
        table.add_row(*row)
    Console().print(table)


def print_seeds(scores: Mapping[int, Mapping[str, float | None]], over: Mapping[str, Any]) -> None:
    """Print the scores of each seed, and their medians and intervals over the seeds.

    Args:
        scores: seed -> its scores, as `SeedScores.scores` gives them.
        over: what `over_seeds` returns.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for seed in scores:
        table.add_column(f"seed {seed}", justify="right")
    table.add_column("median [95 %]", justify="right")
    for name, (heading, form) in SEEDS.items():
        cells = [_shown(of_seed[name], form) for of_seed in scores.values()]
        median, low, high = (_shown(over[name][kind], form) for kind in ("median", "low", "high"))
        table.add_row(heading, *cells, f"{median} [{low}, {high}]")
    Console().print(table)


def markdown_table(summaries: Summaries) -> str:
    """The same as a Markdown table."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *_rows(summaries)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(summaries: Summaries) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{summary['survived']} of {summary['episodes']}",
            *(_shown(summary["readable"][key], form) for key, (_, form) in COLUMNS.items()),
        )
        for name, summary in summaries.items()
    ]


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
