"""What a judgement leaves: scores.json, a picture of each drive, records, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ducklane.evaluation.episodes import Episode
from ducklane.evaluation.pictures import save_trajectories
from ducklane.evaluation.scores.summary import summarize
from ducklane.project.outputs import replacing, write_json
from ducklane.robot.judge.driving import TIME, Drive, record
from ducklane.robot.judge.judging import Judged

SCORES = "scores.json"


class Results:
    """Writes what is known after each drive, so that nothing of it is lost if a later one is interrupted.

    Args:
        folder: for scores.json and the pictures; it replaces those of an earlier judgement.
        about: what is written beside the scores: what was judged, and how.
        names: of the scenarios, in the order in which they are shown.
        records: folder for the drives as .npz files; None to keep none.
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Any], names: Sequence[str], records: Path | None = None
    ) -> None:
        self._folder = folder
        self._about = about
        self._names = names
        self._records = records
        self._judged: dict[str, Judged] = {}

    def add(self, judged: Judged) -> None:
        """Write a complete drive."""
        name = judged.drive.scenario.name
        if self._records is not None:
            record(self._records / f"{name}.npz", judged.drive)
        with replacing(self._folder / f"{name}.png") as picture:
            _draw(picture, judged)
        self._judged[name] = judged
        write_json(self._folder / SCORES, self.content())

    def content(self) -> dict[str, Any]:
        """What scores.json holds.

        Returns:
            `about`; `asked`, the number of drives that were to be; `drives`, those that are complete, with
            their official and readable scores; and `summary`, the medians over them.
        """
        judged = self._in_order()
        return {
            **self._about,
            "asked": len(self._names),
            "drives": [_entry(one) for one in judged],
            "summary": summarize([one.scores for one in judged]),
        }

    def print_table(self) -> None:
        """Print one line per drive, and the medians."""
        table = Table(box=None, pad_edge=False)
        for number, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="left" if number < 2 else "right", overflow="fold")
        for one in self._in_order():
            table.add_row(one.drive.scenario.name, how_it_ended(one.drive), *_cells(_shown(one)))
        if len(self._judged) > 1:
            summary = self.content()["summary"]
            survived = f"{summary['survived']} of {summary['episodes']} survived"
            table.add_row("median", survived, *_cells({**summary["official"], **summary["readable"]}))
        Console().print(table)

    def _in_order(self) -> list[Judged]:
        return [self._judged[name] for name in self._names if name in self._judged]


COLUMNS = {
    "survival_time": ("time s", "{:.1f}"),
    "driven_lanedir_consec": ("along m", "{:z.2f}"),
    "deviation-center-line": ("deviation", "{:.2f}"),
    "in-drivable-lane": ("no lane s", "{:.1f}"),
    "lateral_mean_m": ("off m", "{:.3f}"),
}
"""Score -> (heading, format); the first four are those that AIDO ranks by."""

ENDINGS = {
    TIME: "survived",
    "out-of-lane": "hit an obstacle",
    "out-of-tile": "left the map",
    "collision": "hit another",
}
"""The node's code -> what it means: only obstacles that stand still make it say "out-of-lane"."""


def how_it_ended(drive: Drive) -> str:
    """In two or three words."""
    return ENDINGS.get(drive.code, drive.code)


HEADINGS = ("scenario", "ended", *(heading for heading, _ in COLUMNS.values()))


def _shown(judged: Judged) -> dict[str, float | None]:
    return {**judged.scores.official(), **judged.scores.readable()}


def _cells(scores: Mapping[str, float | None]) -> list[str]:
    values = [(scores[name], form) for name, (_, form) in COLUMNS.items()]
    return ["-" if value is None else form.format(value) for value, form in values]


def _entry(judged: Judged) -> dict[str, Any]:
    drive, scores = judged.drive, judged.scores
    return {
        "scenario": drive.scenario.name,
        "file": str(drive.scenario.path) if drive.scenario.path else None,
        "ended": how_it_ended(drive),
        "code": drive.code,
        "why": drive.why,
        "survived": drive.survived,
        "official": scores.official(),
        "readable": scores.readable(),
    }


def _draw(path: Path, judged: Judged) -> None:
    drive = judged.drive
    episode = Episode("agent", drive.poses, drive.survived)
    figures = f"{drive.seconds:.1f} s, {judged.scores.distance_m:.2f} m along the lane"
    title = f"{drive.scenario.name}: {how_it_ended(drive)}, {figures}"
    save_trajectories(path, drive.map_image, [episode], title)
