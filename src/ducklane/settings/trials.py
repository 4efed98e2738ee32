"""The trials of one training run, and the settings each changes (`tune.num_samples`, `tune.search_space`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from ducklane.settings.loading import PARAMS_FILE
from ducklane.settings.refusals import SettingsError, problems
from ducklane.settings.schema import Settings

DIGITS = 4
"""Significant digits of a drawn number: more would only make it hard to retype."""

SEED = "simulator.seed"


@dataclass(frozen=True)
class Trial:
    """One trial of a training run."""

    changes: dict[str, object]
    """setting -> value, where it differs from params.yaml; `dvc exp run -S` with exactly these gives the same
    training run"""
    settings: Settings
    """of this trial alone"""

    @property
    def name(self) -> str:
        """Its changes in short."""
        return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in self.changes.items()) or "as it is"

    def value(self, key: str) -> object:
        """The value of a setting, given as `section.key`."""
        section, name = key.split(".", 1)
        return self.settings.as_dict()[section][name]


def trials_of(settings: Settings) -> list[Trial]:
    """All trials that the settings ask for, reproducibly.

    Each sample draws once from the distributions and goes through the whole grid, with the next seed unless
    the search space holds the seed.

    Raises:
        SettingsError: the settings of a trial conflict.
    """
    drawn = [changes for sample in range(settings.tune.num_samples) for changes in _sample(settings, sample)]
    return [Trial(changes, _changed(settings, changes)) for changes in drawn]


def _sample(settings: Settings, sample: int) -> Iterator[dict[str, object]]:
    space = settings.tune.search_space
    seed = {} if SEED in space or sample == 0 else {SEED: settings.simulator.seed + sample}
    rng = np.random.default_rng([settings.simulator.seed, sample])
    drawn = {key: _draw(rng, *space[key]) for key in sorted(space) if space[key][0] != "grid"}
    grid = {key: values for key, (kind, values) in sorted(space.items()) if kind == "grid"}
    for values in itertools.product(*grid.values()):
        yield {**seed, **drawn, **dict(zip(grid, values, strict=True))}


def _draw(rng: np.random.Generator, kind: str, values: tuple[Any, ...]) -> object:
    if kind == "choice":
        return values[rng.integers(len(values))]
    low, high = values
    if kind == "randint":
        return int(rng.integers(low, high, endpoint=True))
    if kind == "uniform":
        return _rounded(rng.uniform(low, high))
    return _rounded(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _changed(settings: Settings, changes: Mapping[str, object]) -> Settings:
    content = settings.as_dict()
    content["tune"] |= {"num_samples": 1, "search_space": {}}
    for key, value in changes.items():
        section, name = key.split(".", 1)
        content[section][name] = value
    try:
        return Settings.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        changed = ", ".join(f"{key} {value}" for key, value in changes.items())
        where = f"{PARAMS_FILE}: tune.search_space, trial with {changed}"
        raise SettingsError(*(f"{where}: {line}" for line in problems(error, Settings))) from None
