"""The model card says of the exported file what its scores and its settings say, and its example runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ducklane import settings as ducklane_settings
from ducklane.export.onnx_file import export_onnx
from ducklane.policy import TrainedPolicy
from ducklane.reporting.model_card import model_card, without_front
from ducklane.reporting.results import EXPORT_CHECK, SCORES, read_json, read_scored
from ducklane.settings import Settings


@pytest.fixture
def write(here: Path) -> Callable[[Settings], str]:
    """The card for what the folder holds."""
    return lambda settings: model_card(read_scored(), settings, read_json(EXPORT_CHECK, "export"))


@pytest.fixture
def card(write: Callable[[Settings], str], own_settings: Settings) -> str:
    return write(own_settings)


def front(card: str) -> Any:
    """The fields at the top."""
    return YAML(typ="safe", pure=True).load(card.split("---\n")[1])


def row(card: str, driver: str) -> list[str]:
    """The cells of a driver's first row."""
    found = re.search(rf"^\| {re.escape(driver)} \| (.*) \|$", card, re.MULTILINE)
    assert found, driver
    return found[1].split(" | ")


def test_its_numbers_are_those_of_the_scores(card: str) -> None:
    scores = json.loads(SCORES.read_text())
    assert row(card, "all 3 seeds") == ["100%", "8.01 (7.99 to 8.04)", "2.1", "99.5%"]
    assert row(card, "best seed, 2") == ["100%", "8.04", "2.2", "99.5%"]
    assert f"{scores['survived']} of {scores['episodes']} drives" in card
    values = {
        metric["type"]: metric["value"] for metric in front(card)["model-index"][0]["results"][0]["metrics"]
    }
    assert values == {
        "survived_share": 1,
        "distance_m": 8.04,
        "lateral_mean_m": 0.022,
        "in_lane_share": 0.995,
    }


@pytest.mark.usefixtures("one_seed")
def test_of_a_single_seed_they_are_those_of_the_one_model(
    write: Callable[[Settings], str], own_settings: Settings
) -> None:
    card, scores = write(own_settings), json.loads(SCORES.read_text())
    readable = scores["readable"]
    survived, distance, lateral, _ = row(card, "seed 2")
    assert survived == f"{100 * scores['survived'] / scores['episodes']:g}%"
    assert distance == f"{readable['distance_m']:.2f}"
    assert lateral == f"{100 * readable['lateral_mean_m']:.1f}"
    laps = scores["laps"]["trained"]["official"]["driven_lanedir_consec"]
    assert f"{laps['median']:.2f} ({laps['low']:.2f} to {laps['high']:.2f})" in card


def test_its_example_runs(
    here: Path, card: str, own_settings: Settings, make_policy: Callable[[Settings], TrainedPolicy]
) -> None:
    export_onnx(make_policy(own_settings), here / "models/policy.onnx", opset=20)
    (example,) = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    assert len([line for line in example.splitlines() if line]) == 5
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    left, right = map(float, re.fullmatch(r"\[\[\s*(\S+)\s+(\S+)\]\]\n", done.stdout).groups())  # type: ignore[union-attr]
    assert -1 <= left <= 1
    assert -1 <= right <= 1


def test_it_says_what_the_file_takes_and_gives(card: str) -> None:
    assert "uint8 [n, 3, 480, 640, 3] = [n, frames, height, width, 3], RGB" in card
    assert "30 Hz, 1/30 s apart, oldest first" in card
    assert (
        "float32 [n, 2], the duty of the left and the right wheel, each in [-1, 1]; 30 times a second" in card
    )


def test_what_it_was_never_tried_on_follows_the_settings(
    card: str, write: Callable[[Settings], str], changed: Callable[..., Settings]
) -> None:
    assert "- A real Duckiebot" in card
    assert "- Maps other than loop_empty.\n" in card
    assert "(1 x cone, 3 x duckie)" in card
    assert "- Other light and other colours: not varied in training.\n" in card
    assert "| varied in training | nothing |" in card
    other = write(changed(simulator={"domain_rand": True}, evaluate={"map_name": "small_loop"}))
    assert "- Maps other than loop_empty and small_loop.\n" in other
    assert "Other light" not in other
    assert "| varied in training | light, colours, camera and moving objects |" in other


def test_the_licence_is_the_projects(here: Path, card: str, write: Callable[[Settings], str]) -> None:
    assert front(card)["license"] == "mit"
    assert "## Licence\n\nMIT\n" in card
    (here / "pyproject.toml").unlink()
    other = write(ducklane_settings.load())
    assert "license" not in front(other)
    assert "## Licence\n\nNone given.\n" in other


def test_a_model_that_was_not_scored_has_a_card_without_scores(
    write: Callable[[Settings], str], own_settings: Settings
) -> None:
    SCORES.write_text(json.dumps({**json.loads(SCORES.read_text()), "model_sha256": "0" * 64}))
    card = write(own_settings)
    assert "## How well it drives\n\nIt has not been scored yet.\n\n## What goes in" in card
    assert front(card)["model-index"][0]["results"][0]["metrics"] is None


def test_the_registry_shows_it_without_its_fields(card: str) -> None:
    shown = without_front(card)
    assert shown.startswith("# ducklane-policy\n")
    assert len(shown) < 5000


def test_dvc_knows_what_it_is_made_of(listed: dict[str, tuple[str, ...]]) -> None:
    made_of = {"pyproject.toml", "src/ducklane/reporting/templates/model_card.md"}
    assert made_of <= set(listed["export"])


def test_the_card_in_the_repository_is_that_of_its_results() -> None:
    repository = Path(__file__).resolve().parents[2]
    card, scores = (
        (repository / "models/model_card.md").read_text(),
        json.loads((repository / SCORES).read_text()),
    )
    assert scores["model_sha256"] in card
    assert json.loads((repository / EXPORT_CHECK).read_text())["sha256"] in card
