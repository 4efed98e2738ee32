"""The findings about an experiment's lineage, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console

OK, NOTE, WRONG = "ok", "note", "WRONG"

LINKS = (
    *("model", "weights", "MLflow run", "MLflow store", "stands in for", "trial", "scored in"),
    *("DVC experiment", "results", "code", "settings"),
)
"""Links of the chain, in the order in which they are shown."""

SHORT = 12
"""Digits of a hash that are shown where they are unambiguous."""


@dataclass
class Lineage:
    """The links of an experiment's chain, and the checks whether they agree."""

    links: dict[str, str] = field(default_factory=dict)
    """one of LINKS -> its description"""
    checks: list[tuple[str, str]] = field(default_factory=list)
    """(OK, NOTE or WRONG; what was checked)"""

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return all(result != WRONG for result, _ in self.checks)

    def add(self, result: str, what: str) -> None:
        """Add a check or, as a NOTE, what cannot be checked or the user should know."""
        self.checks.append((result, what))

    def compare(self, what: str, claims: Mapping[str, str | None]) -> None:
        """Check that all sources of a value (source -> value) agree, and note those that give None."""
        given = {source: value for source, value in claims.items() if value}
        values = set(given.values())
        if len(values) > 1:
            end = SHORT if len({value[:SHORT] for value in values}) == len(values) else None
            told = ", ".join(f"{value[:end]} in {source}" for source, value in given.items())
            self.add(WRONG, f"{what}: {told}")
        elif len(given) > 1:
            *most, last = given
            self.add(OK, f"{what}: {', '.join(most)} and {last} agree")
        for source in claims:
            if source not in given:
                self.add(NOTE, f"{what}: none recorded in {source}")


def lines(lineage: Lineage) -> Iterator[str]:
    """The chain and its checks, in words."""
    shown = [(name, lineage.links[name]) for name in LINKS if name in lineage.links]
    return (f"{name:<15}{text}" for name, text in [*shown, *lineage.checks])


def show(lineage: Lineage) -> None:
    """Print the chain and its checks."""
    console = Console(soft_wrap=True, highlight=False)
    for line in lines(lineage):
        console.print(line, markup=False)
