"""Where the time of the last `make test` went, file by file.

`make suite-times` reads what that left in build/, and writes benchmarks/results/suite_times.json and the
table in CONTRIBUTING.md. A file's seconds are those of its tests and of what these share.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from reports import machine, write_section

from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import write_json

BUILD = Path("build")
RESULTS = Path(__file__).parent / "results" / "suite_times.json"
PAGE = Path("CONTRIBUTING.md")
SHOWN_S = 5.0
"""Files that take less are one line together."""


def collect(build: Path) -> dict[str, Any]:
    """The seconds of the whole, and of each file, the longest first.

    Raises:
        UserError: nothing was left.
    """
    try:
        cases = ElementTree.parse(build / "tests.xml").iter("testcase")
        seconds = json.loads((build / "test_seconds.json").read_text())["seconds"]
    except (OSError, ElementTree.ParseError, ValueError):
        raise UserError(f"{build}: holds no times of tests; run `make test` first") from None
    files: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases:
        files[case.attrib["classname"].replace(".", "/") + ".py"].append(float(case.attrib["time"]))
    rows = [
        {"file": file, "tests": len(times), "seconds": round(sum(times), 1)} for file, times in files.items()
    ]
    return {"seconds": seconds, "files": sorted(rows, key=lambda row: -float(str(row["seconds"])))}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    long = [row for row in report["files"] if row["seconds"] >= SHOWN_S]
    short = [row for row in report["files"] if row["seconds"] < SHOWN_S]
    lines = ["| file | tests | seconds |", "| --- | ---: | ---: |"]
    lines += [f"| `{row['file']}` | {row['tests']} | {row['seconds']:.0f} |" for row in long]
    rest = sum(row["tests"] for row in short), sum(row["seconds"] for row in short)
    lines += [f"| {len(short)} others | {rest[0]} | {rest[1]:.0f} |"]
    minutes, cores, cpu = report["seconds"] / 60, report["machine"]["cores"], report["machine"]["cpu"]
    lines += [
        "",
        f"The whole `make test` took {minutes:.1f} minutes on {cores} cores ({cpu}): the processes share "
        "these seconds, and set-up, style and types come on top.",
    ]
    return "\n".join(lines) + "\n"


@exits_cleanly
def main() -> None:
    """Write both."""
    report = {**collect(BUILD), "machine": machine()}
    write_json(RESULTS, report)
    write_section(PAGE, "make suite-times", table(report))
    print(table(report))


if __name__ == "__main__":
    main()
