"""A comparison in words and as a table, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ducklane.comparing.comparison import NOT_SHOWN, Compared, Comparison
from ducklane.comparing.scored import SHORT, SIMULATORS, Scored
from ducklane.comparing.statistics import visible

COLUMNS = 80

WIDE = 10.0
"""A difference or bound from which on an interval has one digit after the point at most."""

LABEL = 10
"""Columns before what a line says."""


def show(comparisons: Sequence[Comparison]) -> None:
    """Print what differs, and the scores."""
    console = Console(highlight=False)
    letters = [chr(ord("B") + number % 25) for number in range(len(comparisons))]
    for letter, scored in zip(
        ("A", *letters), (comparisons[0].a, *(each.b for each in comparisons)), strict=True
    ):
        _print(console, f"{letter:<{LABEL}}{scored.name}: {_seeds(scored)}")
    _print(console, f"{'task':<{LABEL}}{_drives(comparisons[0].a)}")
    for letter, comparison in zip(letters, comparisons, strict=True):
        console.print()
        for line in _origin(letter, comparison):
            _print(console, line)
        console.print()
        console.print(_table(letter, comparison))
        console.print()
        for line in _outlook(comparison):
            _print(console, line, indent=0)


def _print(console: Console, line: str, indent: int = LABEL) -> None:
    wrapped = textwrap.wrap(
        line, COLUMNS, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False
    )
    console.print("\n".join(wrapped), markup=False, soft_wrap=True)


def _seeds(scored: Scored) -> str:
    left_out = f"; {_counted(scored.left_out, 'run')} without scores left out" if scored.left_out else ""
    numbers = ", ".join(seed.seed for seed in scored.seeds)
    return f"{_counted(len(scored.seeds), 'seed')} ({numbers}){left_out}"


def _drives(scored: Scored) -> str:
    stock, laps = (len(scored.seeds[0].drives[simulator].starts) for simulator in SIMULATORS)
    return f"{stock} drives in gym-duckietown and {laps} long drives for each seed"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _origin(letter: str, comparison: Comparison) -> Iterator[str]:
    """What differs between the recipes."""
    a, b = comparison.a, comparison.b
    for key, (one, other) in comparison.settings.items():
        yield f"{'settings':<{LABEL}}{key}: {one} -> {other}"
    if a.recipe == b.recipe:
        yield f"{'settings':<{LABEL}}the same recipe in A and {letter}"
    elif not comparison.settings:
        yield f"{'settings':<{LABEL}}none differs, but recipes {a.recipe[:SHORT]} and {b.recipe[:SHORT]}"
    yield f"{'code':<{LABEL}}{_code(a, b)}"
    if shared := comparison.models_in_both:
        yield f"{'note':<{LABEL}}{_counted(shared, 'model')} in both A and {letter}, which hides differences"


def _code(a: Scored, b: Scored) -> str:
    if a.code == b.code:
        return "the same"
    if a.commit and b.commit and a.commit != b.commit:
        return f"differs: git diff {a.commit[:SHORT]} {b.commit[:SHORT]} -- src"
    return f"differs, though not by its commit: {a.code[:SHORT]} -> {b.code[:SHORT]}"


def _table(letter: str, comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("mean over seeds")
    sure = comparison.fewest_seeds > 1
    for heading in (
        "A",
        letter,
        f"{letter} - A [95 %]" if sure else f"{letter} - A",
        *(["P(better)"] if sure else []),
    ):
        table.add_column(heading, justify="right")
    table.add_column("verdict" if sure else "")
    for simulator in SIMULATORS:
        rows = [each for each in comparison.scores if each.simulator == simulator]
        table.add_row(Text(simulator), style="bold")
        for each in rows:
            table.add_row(*map(Text, _row(each, sure)))
    return table


def _row(compared: Compared, sure: bool) -> list[str]:
    score, found = compared.score, compared.found
    name = f" {score.name} ({score.unit})"
    means = [score.text(value) for value in (found.mean_a, found.mean_b)]
    if found.low is None or found.high is None:
        return [name, *means, score.text(found.difference, "+"), *(["", "unknown"] if sure else [])]
    bounds = (found.difference, found.low, found.high)
    # more digits than that mean nothing, and do not fit on 80 columns
    wide = max(map(abs, bounds)) * score.per_unit >= WIDE
    digits = min(score.digits, 1) if wide else score.digits
    difference, low, high = (score.text(bound, "+", digits) for bound in bounds)
    interval = f"{difference} [{low}, {high}]"
    return [name, *means, interval, f"{compared.probability_better:.0%}", compared.verdict]


def _outlook(comparison: Comparison) -> Iterator[str]:
    """What more seeds would show."""
    counts = [len(scored.seeds) for scored in (comparison.a, comparison.b)]
    if min(counts) == 1:
        which = "one seed each" if max(counts) == 1 else "a single seed"
        yield f"{which}: differences between seeds are unknown; train with tune.num_samples=3"
        return
    more = comparison.more_seeds
    sizes: dict[str, list[str]] = {}
    for each in comparison.scores:
        if each.verdict == NOT_SHOWN:
            size = f"{each.score.name} {each.score.text(visible(each.found, more))} {each.score.unit}"
            sizes.setdefault(each.simulator, []).append(size)
    if sizes:
        listed = "; ".join(f"{', '.join(of_it)} ({simulator})" for simulator, of_it in sizes.items())
        yield f"where none is shown, {more} seeds each would show a difference of: {listed}"
