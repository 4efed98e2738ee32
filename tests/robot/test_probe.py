"""A policy shown real pictures: what is counted, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ducklane.cli import app
from ducklane.errors import UserError
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.robot import probe

REPOSITORY = Path(__file__).resolve().parents[2]

PICTURES = {
    # name: (label, duty of the left wheel, of the right one), of 255
    "b_cr_bot_1.png": ("left", 100, 200),
    "b_cr_bot_2.png": ("right", 100, 200),
    "D_BR_bot_3.png": ("right", 210, 108),
    "d_br_bot_4.png": ("straight", 200, 154),
    "red_br_bot_5.png": ("straight", 100, 202),
    "street_6.png": ("straight", 255, 255),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (_, left, right) in PICTURES.items():
        Image.fromarray(np.full((4, 6, 3), (right, left, 0), np.uint8)).save(tmp_path / name)
    lines = [f"{name},{label}\n" for name, (label, _, _) in PICTURES.items()]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(lines))
    return tmp_path


def test_turns_are_counted_by_light(folder: Path, telling_file: Path) -> None:
    command = ["probe", str(folder), "--labels", str(folder / "labels.csv"), "--model", str(telling_file)]
    outputs = ["--json", str(folder / "out" / "probe.json"), "--sheet", str(folder / "out" / "sheet.png")]
    done = CliRunner().invoke(app, [*command, *outputs])
    assert done.exit_code == 0, done.output
    figures = json.loads((folder / "out" / "probe.json").read_text())
    counts = {
        light: (part["turned"], part["turns"], part["straight"], part["straights"])
        for light, part in figures["lights"].items()
    }
    assert counts == {
        "bright": (1, 2, 0, 0),
        "dark": (1, 1, 1, 1),
        "red": (0, 0, 0, 1),
        "unknown": (0, 0, 1, 1),
        "all": (2, 3, 2, 3),
    }
    assert figures["lights"]["all"]["turn_share"] == pytest.approx(2 / 3)
    assert figures["lights"]["all"]["turn_median"] == pytest.approx(100 / 255)
    assert figures["lights"]["all"]["straight_median"] == pytest.approx(46 / 255)
    assert done.output.splitlines()[-2].split() == ["all", "3", "2", "0.392", "3", "2", "0.18"]
    with Image.open(folder / "out" / "sheet.png") as sheet:
        # those that differ come first, framed in the colour of a failure
        colors = {color for _, color in sheet.crop((0, 0, 256, 212)).getcolors(100_000)}
    assert (255, 90, 90) in colors
    assert (0, 200, 140) not in colors


def test_the_policy_starts_anew_with_each_picture(folder: Path, telling_file: Path) -> None:
    labels = probe.read_labels(folder / "labels.csv")
    shown = probe.show(OnnxPolicy(telling_file), folder, labels)
    expected = {name: (left / 255, right / 255) for name, (_, left, right) in PICTURES.items()}
    assert {one.file: pytest.approx(one.wheels) for one in shown} == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "labels.csv: cannot be read"),
        ("", "labels.csv: holds no labels"),
        ("name,label\na.png,left\n", "line 2: file None, label 'left'"),
        ("file,label\nb_cr_bot_1.png,left\nb_cr_bot_2.png,up\n", "line 3: file 'b_cr_bot_2.png', label 'up'"),
        ("file,label\nb_cr_bot_1.png,left\nb_cr_bot_1.png,right\n", "line 3: b_cr_bot_1.png is there twice"),
        ("file,label\nelsewhere.png,left\n", "elsewhere.png: is missing, but has a label"),
        ("file,label\nlabels.csv,left\n", "labels.csv: cannot be read as a picture"),
        ("file,label\nlarge.png,left\n", "large.png: has 7 x 4 pixels, but the policy takes 6 x 4"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    folder: Path, telling_file: Path, content: str | None, message: str
) -> None:
    Image.new("RGB", (7, 4)).save(folder / "large.png")
    (folder / "labels.csv").unlink()
    if content is not None:
        (folder / "labels.csv").write_text(content)
    with pytest.raises(UserError) as raised:
        probe.show(OnnxPolicy(telling_file), folder, probe.read_labels(folder / "labels.csv"))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_committed_labels_are_of_the_public_pictures_in_all_lights() -> None:
    labels = probe.read_labels(REPOSITORY / "benchmarks" / "real_images.csv")
    assert len(labels) > 60
    assert {probe.light_of(file) for file in labels} == {*probe.LIGHTS.values(), probe.UNKNOWN_LIGHT}
    assert set(labels.values()) == set(probe.LABELS)
