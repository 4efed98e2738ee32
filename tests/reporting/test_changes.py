"""What differs from the default, and the commands that repeat it: what they say is what has to be typed."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from ducklane import settings as ducklane_settings
from ducklane.reporting import changes
from ducklane.reporting.changes import Change
from ducklane.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]

Changed = Callable[..., Settings]

OTHERS = {
    "rllib": {"lr": 0.0003, "restore_from": "models/pretrained/the older one"},
    "simulator": {"domain_rand": True, "map_name": ["loop_empty", "small_loop"]},
    "network": {"conv_filters": [[8, 8, 4], [16, 4, 2]]},
    "tune": {"search_space": {"rllib": {"lr": {"loguniform": [0.0003, 0.003]}}}, "num_samples": 3},
}


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def commit(here: Path) -> str:
    """The commit of the experiment's folder, which is a repository now."""
    git("init", "-q")
    git("config", "user.name", "tester")
    git("config", "user.email", "tester@localhost")
    git("add", "params.yaml")
    git("commit", "-q", "-m", "settings")
    return git("rev-parse", "HEAD")


def test_the_shipped_settings_are_the_defaults(here: Path, settings: Settings) -> None:
    assert changes.from_defaults(settings) == []


def test_what_differs_is_named_with_both_values(here: Path, changed: Changed) -> None:
    found = changes.from_defaults(changed(**OTHERS))
    assert found is not None
    assert {change.key: change for change in found} == {
        change.key: change
        for change in (
            Change("rllib.lr", "0.001", "0.0003"),
            Change("rllib.restore_from", "null", "models/pretrained/the older one"),
            Change("simulator.domain_rand", "false", "true"),
            Change("simulator.map_name", "loop_empty", "[loop_empty, small_loop]"),
            Change("network.conv_filters", "[[16, 8, 4], [32, 4, 2], [32, 3, 1]]", "[[8, 8, 4], [16, 4, 2]]"),
            Change("tune.num_samples", "1", "3"),
            Change("tune.search_space.rllib.lr.loguniform", "", "[0.0003, 0.003]"),
        )
    }


def test_what_changes_no_result_is_left_out(here: Path, changed: Changed) -> None:
    assert changes.from_defaults(changed(simulator={"threads": 1}, ray={"num_cpus": 1})) == []


def test_without_the_page_the_defaults_are_unknown(here: Path, settings: Settings) -> None:
    (here / "docs/parameters.md").unlink()
    assert changes.from_defaults(settings) is None


def options(typed: list[str]) -> list[str]:
    """What the last command gives to DVC's option -S."""
    words = shlex.split(typed[-1])
    return [value for option, value in itertools.pairwise(words) if option == "-S"]


def test_what_it_says_to_type_gives_these_settings(here: Path, commit: str, changed: Changed) -> None:
    wanted = changed(**OTHERS)
    typed = changes.commands(wanted, commit, None)
    assert typed[0] == f"git checkout {commit}"
    apply_overrides(here / "params.yaml", options(typed))
    assert ducklane_settings.load() == wanted


def test_what_the_commit_has_need_not_be_typed(here: Path, commit: str, changed: Changed) -> None:
    params = here / "params.yaml"
    params.write_text(re.sub(r"^  lr: 0.001", "  lr: 0.0003", params.read_text(), flags=re.MULTILINE))
    git("commit", "-q", "-a", "-m", "slower")
    slower = ducklane_settings.load()
    assert changes.commands(slower, git("rev-parse", "HEAD"), None)[-1] == "dvc exp run"
    assert options(changes.commands(slower, commit, None)) == ["rllib.lr=0.0003"]


def test_where_git_knows_nothing_the_defaults_stand_for_the_commit(here: Path, changed: Changed) -> None:
    slower = changed(rllib={"lr": 0.0003})
    typed = changes.commands(slower, "c0ffee", changes.from_defaults(slower))
    assert options(typed) == ["rllib.lr=0.0003"]
