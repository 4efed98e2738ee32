"""Settings that differ from others: from the defaults, and from those of a commit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from ducklane.project.recipe import flatten
from ducklane.project.stages import stages
from ducklane.repository import git
from ducklane.settings import PARAMS_FILE, Settings

DEFAULTS = Path("docs/parameters.md")
"""Has the defaults of all settings, also where there is no git to ask: `make reference` writes it."""

_ROW = re.compile(r"^\| `(?P<key>[\w.]+)` \| `(?P<value>.*?)` \|", re.MULTILINE)

PLAIN = re.compile(r"[\w.+\-/]+")
"""Text that Hydra, which reads the settings on DVC's command line, takes as it is."""


class Change(NamedTuple):
    """A setting that differs."""

    key: str
    """section.key"""
    before: str
    """its value as in YAML; empty if there was none"""
    value: str


def from_defaults(settings: Settings) -> list[Change] | None:
    """The settings that differ from their defaults and change a result; None if these are unknown."""
    try:
        text = DEFAULTS.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    defaults = {row["key"]: _read(row["value"]) for row in _ROW.finditer(text)}
    listed = stages().values()
    return [
        change
        for change in _differing(defaults, settings)
        if any(stage.depends_on(change.key) for stage in listed)
    ]


def commands(settings: Settings, commit: str, changed: list[Change] | None) -> list[str]:
    """What to type in a clone to repeat the experiment.

    Args:
        settings: of the experiment.
        commit: that it was trained from.
        changed: the changes from the defaults, which are taken where git does not know the commit's settings.
    """
    committed = _read(git.ask("show", f"{commit}:./{PARAMS_FILE}"))
    changes = list(_differing(flatten(committed), settings)) if committed else changed or []
    options = "".join(f" -S {shlex.quote(_assigned(change))}" for change in changes)
    return [
        f"git checkout {commit}",
        "make setup",
        "source .venv/bin/activate",
        f"dvc exp run{options}",
    ]


def _differing(before: Mapping[str, Any], settings: Settings) -> Iterator[Change]:
    for key, value in flatten(settings.as_dict()).items():
        # an empty section that has been filled is a mapping on one side only
        if key not in before:
            yield Change(key, "", shown(value))
        elif before[key] != value:
            yield Change(key, shown(before[key]), shown(value))


def _assigned(change: Change) -> str:
    """A change as DVC's option -S takes it; a new key has a plus sign."""
    is_text = isinstance(_read(change.value), str)
    quoted = f'"{change.value}"' if is_text and not PLAIN.fullmatch(change.value) else change.value
    return f"{'' if change.before else '+'}{change.key}={quoted}"


def shown(value: object) -> str:
    """A value as in YAML, and in DVC's option -S."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value)


def _read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)
