"""A policy shown real pictures, its turns compared with labels by eye.

One picture stands for all frames that the policy stacks. Turns are the duty of the left wheel minus that of
the right one: positive to the right.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ducklane.errors import UserError
from ducklane.policy import Observations, Policy

LABELS = {"left": -1, "straight": 0, "right": 1}
"""Label -> sign of the turn that a robot in this place must make to keep to the middle of its lane."""

STRAIGHT_WITHIN = 0.2
"""Largest turn that counts as straight on."""

LIGHTS = {
    "b": "bright",
    "m": "medium",
    "d": "dark",
    "red": "red",
    "green": "green",
    "blue": "blue",
}
"""First word of a file's name, in lower case -> the light in which the picture was taken."""

UNKNOWN_LIGHT = "unknown"

COLUMNS = ("turns", "turned", "turn_median", "straights", "straight", "straight_median")
"""Of the printed table."""


@dataclass(frozen=True)
class Shown:
    """What a policy made of one picture."""

    file: str
    label: str
    light: str
    wheels: tuple[float, float]
    """duty (left, right) in [-1, 1]"""

    @property
    def turn(self) -> float:
        """Left duty minus right duty: positive to the right."""
        return self.wheels[0] - self.wheels[1]

    @property
    def towards(self) -> float:
        """The turn, positive to the label's side; from straight on, how far it turns to either side."""
        wanted = LABELS[self.label]
        return self.turn * wanted if wanted else abs(self.turn)

    @property
    def agrees(self) -> bool:
        """Whether it turns to the right side, or drives straight on where it should."""
        return self.towards > 0 if LABELS[self.label] else self.towards <= STRAIGHT_WITHIN


def read_labels(path: Path) -> dict[str, str]:
    """File name -> label, from a CSV file with the columns file and label.

    Raises:
        UserError: the file is missing or is not such a list.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--labels {path}: cannot be read ({error}); give a CSV file") from None
    labels: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, label = row.get("file"), row.get("label")
        if not name or label not in LABELS:
            raise UserError(
                f"--labels {path}, line {number}: file {name!r}, label {label!r}; give the columns file and "
                f"label, a label being one of {', '.join(LABELS)}"
            )
        if name in labels:
            raise UserError(f"--labels {path}, line {number}: {name} is there twice; keep one of its labels")
        labels[name] = label
    if not labels:
        raise UserError(f"--labels {path}: holds no labels; give the columns file and label")
    return labels


def light_of(file: str) -> str:
    """The light in which a picture was taken, from its name: `b_cr_zgxbot_00009.jpg` was bright."""
    return LIGHTS.get(file.partition("_")[0].lower(), UNKNOWN_LIGHT)


def read_picture(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as the camera would give it, uint8 [height, width, 3], RGB.

    Raises:
        UserError: it is missing, cannot be read, or has another size than `shape`, (height, width).
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        raise UserError(
            f"{path}: {'cannot be read as a picture' if path.is_file() else 'is missing'}, but has a label; "
            "give the folder with the pictures, or take it off the list"
        )
    if picture.shape[:2] != shape:
        raise UserError(
            f"{path}: has {picture.shape[1]} x {picture.shape[0]} pixels, but the policy takes "
            f"{shape[1]} x {shape[0]}; scale it to that"
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def show(policy: Policy, folder: Path, labels: Mapping[str, str]) -> list[Shown]:
    """Show a policy each picture that has a label.

    Raises:
        UserError: a picture is missing, cannot be read, or has the wrong size.
    """
    assert policy.camera_shape is not None
    unseen = np.full((1, 2), np.nan)
    shown = []
    for file, label in labels.items():
        frame = read_picture(folder / file, policy.camera_shape)
        policy.reset(1)
        left, right = policy.act(Observations(frame[None], unseen))[0]
        shown.append(Shown(file, label, light_of(file), (float(left), float(right))))
    return shown


def summary(shown: Sequence[Shown]) -> dict[str, Any]:
    """How many of the pictures that ask for a turn got one to the right side, and of the others none.

    Returns:
        turns, turned, turn_share and turn_median (of turns to the label's side) where a turn is asked for;
        straights, straight, straight_share and straight_median (of turns to either side) where none is.
        Shares and medians are None where there are no pictures.
    """
    turns = [picture for picture in shown if LABELS[picture.label]]
    straights = [picture for picture in shown if not LABELS[picture.label]]
    return _counted(turns, "turns", "turned", "turn") | _counted(
        straights, "straights", "straight", "straight"
    )


def _counted(pictures: Sequence[Shown], count: str, agree: str, name: str) -> dict[str, Any]:
    agrees = sum(picture.agrees for picture in pictures)
    median = statistics.median(picture.towards for picture in pictures) if pictures else None
    return {
        count: len(pictures),
        agree: agrees,
        f"{name}_share": agrees / len(pictures) if pictures else None,
        f"{name}_median": median,
    }


def by_light(shown: Sequence[Shown]) -> dict[str, dict[str, Any]]:
    """The same for each light, and for all of them."""
    lights = [
        light for light in (*LIGHTS.values(), UNKNOWN_LIGHT) if any(one.light == light for one in shown)
    ]
    parts = {light: summary([one for one in shown if one.light == light]) for light in lights}
    return {**parts, "all": summary(shown)}


def as_dict(shown: Sequence[Shown], model: Path) -> dict[str, Any]:
    """Everything, for a JSON file."""
    return {
        "model": str(model),
        "straight_within": STRAIGHT_WITHIN,
        "lights": by_light(shown),
        "pictures": [
            {
                "file": one.file,
                "label": one.label,
                "light": one.light,
                "left": round(one.wheels[0], 4),
                "right": round(one.wheels[1], 4),
                "agrees": one.agrees,
            }
            for one in shown
        ],
    }


def print_table(shown: Sequence[Shown]) -> None:
    """Print `by_light`, one line for each; medians are differences of duty, to the label's side."""
    table = Table(box=None, pad_edge=False)
    table.add_column("light")
    turns, straights = (
        ("must turn", "right side", "median"),
        ("must not", f"within {STRAIGHT_WITHIN:g}", "median"),
    )
    for heading in (*turns, *straights):
        table.add_column(heading, justify="right")
    for light, part in by_light(shown).items():
        cells = (part[key] for key in COLUMNS)
        table.add_row(light, *("-" if cell is None else f"{cell:z.3g}" for cell in cells))
    Console().print(table)
