"""What the benchmarks' reports have in common."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ducklane.project.outputs import replacing, write_json
from ducklane.project.provenance import git_commit


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, Python and commit, and the versions of these packages."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "git_commit": git_commit(),
    }


def median_ratio(ones: Iterable[float], others: Iterable[float]) -> float:
    """Median over the rounds of how many times as fast one arm is as another."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def interval(found: Mapping[str, float]) -> str:
    """A `median` and the bounds `low` and `high` of its interval, as text."""
    return f"{found['median']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def write_report(folder: Path, name: str, report: dict[str, Any], table: str) -> None:
    """Write a report as <name>.json, and its table as <name>.md."""
    write_json(folder / f"{name}.json", report)
    with replacing(folder / f"{name}.md") as draft:
        draft.write_text(table)


def write_section(page: Path, command: str, text: str) -> None:
    """Replace what stands on a page between the marks of a command, as `make suite-times`."""
    begin, end = f"<!-- {command} writes what follows -->\n", "<!-- until here -->\n"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end, maxsplit=1)
    with replacing(page) as draft:
        draft.write_text(f"{before}{begin}{text}{end}{after}")
