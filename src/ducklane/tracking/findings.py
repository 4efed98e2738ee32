"""The findings about an experiment's lineage, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console

OK = "ok"

NOTE = "note"

WRONG = "WRONG"

LINKS = (
    "model",
    "weights",
    "MLflow run",
    "MLflow store",
    "stands in for",
    "trial",
    "DVC experiment",
    "results",
    "code",
    "settings",
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

    def check(self, holds: bool, what: str) -> None:
        """Add a check."""
        self.checks.append((OK if holds else WRONG, what))

    def note(self, what: str) -> None:
        """Add something that cannot be checked, or that the user should know."""
        self.checks.append((NOTE, what))

    def compare(self, what: str, claims: Mapping[str, str | None]) -> None:
        """Check that all sources that give a value give the same.

        Args:
            what: name of the value.
            claims: source -> the value it gives, or None.
        """
        values = {source: value for source, value in claims.items() if value}
        if len(set(values.values())) > 1:
            shorts = {value[:SHORT] for value in values.values()}
            end = SHORT if len(shorts) == len(set(values.values())) else None
            self.check(
                False,
                f"{what}: {', '.join(f'{value[:end]} in {source}' for source, value in values.items())}",
            )
        elif len(values) > 1:
            self.check(True, f"{what}: {_listed(values)} agree")
        for source, value in claims.items():
            if not value:
                self.note(f"{what}: none recorded in {source}")


def _listed(items: Iterable[str]) -> str:
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else str(last)


def show(lineage: Lineage) -> None:
    """Print the chain and its checks."""
    console = Console(soft_wrap=True, highlight=False)
    for line in lines(lineage):
        console.print(line, markup=False)


def lines(lineage: Lineage) -> Iterator[str]:
    """The chain and its checks, in words."""
    for name in LINKS:
        if name in lineage.links:
            yield f"{name:<15}{lineage.links[name]}"
    for result, what in lineage.checks:
        yield f"{result:<15}{what}"
