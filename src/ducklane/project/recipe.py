"""Recipes: what a training run is apart from its seed and its machine.

A difference between two models means something only beside the differences between seeds. So the seed is not
part of a recipe: training runs of one recipe are samples of the same thing, however they were started.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ducklane.project.stages import TRAIN, Stage, stages
from ducklane.repository import git
from ducklane.settings import Settings

SAMPLING = (
    "simulator.seed",
    "tune.num_samples",
    "tune.search_space",
    "tune.scheduler",
    "tune.asha.grace_period",
    "tune.asha.reduction_factor",
)
"""Settings that change how many models are trained, and from which seeds, but not how each is trained."""


def recipe_of(settings: Settings) -> dict[str, object]:
    """The settings, as `section.key`, that how a model is trained depends on."""
    return recipe_in(settings.as_dict(), stages()[TRAIN])


def recipe_in(content: Mapping[str, Any], train: Stage) -> dict[str, object]:
    """The same of the content of a params.yaml.

    Args:
        content: of params.yaml.
        train: that stage, which lists the settings that change its result.
    """
    return {key: value for key, value in flatten(content).items() if is_of_recipe(key, train)}


def is_of_recipe(key: str, train: Stage) -> bool:
    """Whether how a model is trained depends on a setting, given as `section.key`; `train` as above."""
    return train.depends_on(key) and not any(key == at or key.startswith(f"{at}.") for at in SAMPLING)


def recipe_digest(settings: Settings) -> str:
    """Hexadecimal SHA-256 of `recipe_of`; "" without dvc.yaml."""
    if not (git.project_folder() / git.PIPELINE).exists():
        return ""
    return hashlib.sha256(json.dumps(recipe_of(settings), sort_keys=True).encode()).hexdigest()


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """{"rllib": {"lr": 1}} as {"rllib.lr": 1}; empty mappings stay."""
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
