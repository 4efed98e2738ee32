"""Where drives ended early, in words and as a plan of the map's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ducklane.reporting.results import Row, number

SIDE = 46
"""Of a tile, in the drawing's units."""


@dataclass(frozen=True)
class Failures:
    """Where one kind of drives ended early."""

    drives: str
    """their name in tiles.csv: fixed starts or laps"""
    worst: Sequence[tuple[str, int]]
    """(tile, drives that ended on it), most first"""
    least_centred: str
    """the tile with the greatest mean distance from the lane's centre, and that; empty if never in a lane"""
    plan: Markup

    @property
    def count(self) -> int:
        """Drives that ended early."""
        return sum(failures for _, failures in self.worst)


def find_failures(tiles: Sequence[Row]) -> list[Failures]:
    """Where drives ended early, for each kind of drives.

    Args:
        tiles: rows of tiles.csv.
    """
    return [
        _found(drives, [row for row in tiles if row["drives"] == drives])
        for drives in dict.fromkeys(row["drives"] for row in tiles)
    ]


def _found(drives: str, rows: Sequence[Row]) -> Failures:
    failed = [(_named(row), int(row["failures"])) for row in rows if int(row["failures"])]
    driven = [(lateral, row) for row in rows if (lateral := number(row["lateral_mean_m"])) is not None]
    least = ""
    if driven:
        lateral, row = max(driven, key=lambda found: found[0])
        least = f"{_named(row)}: {100 * lateral:.1f} cm"
    return Failures(drives, sorted(failed, key=lambda found: -found[1]), least, _plan(rows))


def _named(row: Row) -> str:
    return f"{row['kind'].replace('_', ' ')} at column {row['tile_i']}, row {row['tile_j']}"


def _plan(rows: Sequence[Row]) -> Markup:
    """The tiles with road, each with its failures, or with the mean distance from the lane's centre in cm."""
    columns, lines = ([int(row[name]) for row in rows] for name in ("tile_i", "tile_j"))
    left, top = min(columns), min(lines)
    width, height = ((max(places) - min(places) + 1) * SIDE for places in (columns, lines))
    tiles = "".join(_tile(row, int(row["tile_i"]) - left, int(row["tile_j"]) - top) for row in rows)
    return Markup(
        f'<svg class="plan" viewBox="0 0 {width} {height}" style="max-width: {width}px" role="img" '
        f'aria-label="Plan of the tiles with road; the list above has the same in words">{tiles}</svg>'
    )


def _tile(row: Row, column: int, line: int) -> str:
    failures, lateral = int(row["failures"]), number(row["lateral_mean_m"])
    text = str(failures) if failures else "" if lateral is None else f"{100 * lateral:.1f}"
    x, y = column * SIDE, line * SIDE
    return (
        f'<rect class="{"failed" if failures else "road"}" x="{x + 1}" y="{y + 1}" '
        f'width="{SIDE - 2}" height="{SIDE - 2}" rx="4"/>'
        f'<text class="{"failed" if failures else "road"}" x="{x + SIDE / 2:g}" y="{y + SIDE / 2 + 5:g}" '
        f'text-anchor="middle">{text}</text>'
    )
