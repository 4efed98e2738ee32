"""All pictures that a policy was shown, with its commands drawn in, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ducklane.robot.probe import Shown

COLUMNS = 6
WIDTH, HEIGHT, CAPTION = 256, 192, 20
"""Pixels of a picture, and of the line above it."""

BACKGROUND, AGREES, DIFFERS = (32, 32, 36), (0, 200, 140), (255, 90, 90)
LENGTH = 70
"""Pixels of an arrow for two full duties."""


def save_sheet(path: Path, folder: Path, shown: Sequence[Shown]) -> None:
    """Draw the pictures, those first in which policy and label differ.

    An arrow's height is the mean duty of the wheels, and its lean the difference between them.
    """
    ordered = sorted(shown, key=lambda one: (one.agrees, one.light, one.label, one.file))
    rows = -(-len(ordered) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, rows * (HEIGHT + CAPTION)), BACKGROUND)
    for number, one in enumerate(ordered):
        corner = number % COLUMNS * WIDTH, number // COLUMNS * (HEIGHT + CAPTION)
        sheet.paste(_drawn(folder / one.file, one), corner)
    sheet.save(path, quality=85)


def _drawn(path: Path, one: Shown) -> Image.Image:
    panel = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), BACKGROUND)
    with Image.open(path) as picture:
        panel.paste(picture.convert("RGB").resize((WIDTH, HEIGHT)), (0, CAPTION))
    draw, color = ImageDraw.Draw(panel), AGREES if one.agrees else DIFFERS
    caption = f"{one.light}, {one.label}: {one.wheels[0]:.2f} {one.wheels[1]:.2f}"
    draw.text((4, 2), caption, fill=color, font_size=13)
    start = WIDTH / 2, HEIGHT + CAPTION - 12
    end = start[0] + LENGTH * one.turn, start[1] - LENGTH * sum(one.wheels) / 2
    draw.line([start, end], fill=color, width=4)
    draw.circle(end, 5, fill=color)
    return panel
