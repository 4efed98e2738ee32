"""The inputs of a run as MLflow's datasets: maps, the recipe, the task in which a policy is scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from ducklane.project.inputs import map_digest, shown
from ducklane.project.recipe import recipe_digest
from ducklane.settings import PARAMS_FILE, Settings
from ducklane.simulator.town.maps import map_file

TRAINING, EVALUATION = "training", "evaluation"
"""What a dataset was used for."""

DIGITS = 8
"""Of a digest that name a dataset, as MLflow's own do."""


def training_data(settings: Settings) -> list[DatasetInput]:
    """The maps that are trained on, and the recipe: MLflow finds all seeds of one by this dataset."""
    maps = [_dataset(name, map_digest(name), shown(map_file(name))) for name in settings.simulator.map_names]
    recipe = recipe_digest(settings)
    return _inputs([*maps, *([_dataset("recipe", recipe, str(PARAMS_FILE))] if recipe else [])], TRAINING)


def scoring_data(settings: Settings, task: Mapping[str, object]) -> list[DatasetInput]:
    """The map and the starts from which policies are scored.

    MLflow keeps one context for a dataset in a run, so it is another one than the map that is trained on.

    Args:
        settings: all of them.
        task: what decides a score besides the map's files, `scoring_task`.
    """
    name = settings.evaluate.map_name
    whole = json.dumps([map_digest(name), task], sort_keys=True)
    starts = f"{name}: {settings.evaluate.episodes} starts"
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return _inputs([_dataset(starts, digest, shown(map_file(name)))], EVALUATION)


def used_for(inputs: Iterable[DatasetInput], context: str) -> Dataset | None:
    """The first dataset of a run's inputs that was used for something."""
    tag = InputTag(MLFLOW_DATASET_CONTEXT, context)
    return next((used.dataset for used in inputs if tag in used.tags), None)


def _dataset(name: str, digest: str, path: str) -> Dataset:
    return Dataset(name, digest[:DIGITS], "local", json.dumps({"uri": path}))


def _inputs(datasets: Iterable[Dataset], context: str) -> list[DatasetInput]:
    return [DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)]) for dataset in datasets]
