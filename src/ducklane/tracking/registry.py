"""Versions of the registered policy, and which of them is the champion."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from ducklane.tracking.store.opening import client, one_line

CHAMPION = "champion"
"""Alias of the registered policy that passed the gate and of which none was shown to drive less far."""

DISTANCE, HIGH = "gate_distance_m", "gate_distance_m_high"
"""Tags of a registered policy's version: median distance in the gate's episodes, and the upper bound of its
95 % interval."""

SCORES = "evaluate/scores.json"
"""Artifact of the run that a version comes from."""

LONGEST_DESCRIPTION = 5000
"""Characters of a version's description that MLflow's databases hold."""


class Champion(NamedTuple):
    """The champion among the versions of a registered policy."""

    version: str
    run_id: str
    scores: dict[str, Any]
    """content of its run's scores.json, empty if that is not there"""


def crown(name: str, version: str, distance_m: float, low_m: float, high_m: float) -> str:
    """Make a version of a registered policy the champion if it is shown to drive farther than the champion.

    That is so if all of its 95 % interval is above the champion's: one lucky start does not move it.
    A champion that was chosen by hand, without a known distance, stays.

    Args:
        name: of the registered policy.
        version: one that has passed the gate.
        distance_m: median distance in the gate's episodes.
        low_m, high_m: bounds of its interval.

    Returns:
        the decision, in one line.
    """
    store = client()
    with one_line():
        before = _champion(store, name)
        for tag, value in ((DISTANCE, distance_m), (HIGH, high_m)):
            store.set_model_version_tag(name, version, tag, str(value))
        if before is not None and not low_m > _high(before):
            drives = f"version {version} drives {distance_m:.2f} m"
            luck = ", which may be luck" if distance_m > _distance(before) else ""
            return f"champion stays {_in_words(before)}: {drives}{luck}"
        store.set_registered_model_alias(name, CHAMPION, version)
    earlier = f", before {_in_words(before)}" if before else ""
    return f"champion is version {version} ({distance_m:.2f} m){earlier}"


@one_line()
def champion(name: str) -> Champion | None:
    """The champion with its scores, None if there is none.

    Args:
        name: of the registered policy.

    Raises:
        TrackingError: the store cannot be used.
    """
    store = client()
    try:
        version = _champion(store, name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return None
    if version is None:
        return None
    scores = _scores(store, version.run_id)
    # exported with other settings, it comes from a run that is nested in the one that has its scores
    if not scores and (parent := store.get_run(version.run_id).data.tags.get(MLFLOW_PARENT_RUN_ID)):
        scores = _scores(store, parent)
    return Champion(str(version.version), version.run_id, scores)


@one_line()
def describe(name: str, version: str, text: str) -> None:
    """Give a version of a registered policy a description, in Markdown; what is too long is cut off."""
    cut = text if len(text) <= LONGEST_DESCRIPTION else f"{text[: LONGEST_DESCRIPTION - 2]} …"
    client().update_model_version(name, version, cut)


def _scores(store: MlflowClient, run_id: str) -> dict[str, Any]:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # for a few kilobytes
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(store.download_artifacts(run_id, SCORES, folder))
            scores: dict[str, Any] = json.loads(file.read_text())
        except (MlflowException, OSError, ValueError):  # deleted, or its files went with its machine
            return {}
    return scores


def _champion(store: MlflowClient, name: str) -> Any:
    version = store.get_registered_model(name).aliases.get(CHAMPION)
    # a number from a local store, a string from a server
    return store.get_model_version(name, str(version)) if version else None


def _distance(version: Any) -> float:
    """In metres, NaN if unknown."""
    return float(version.tags.get(DISTANCE, math.nan))


def _high(version: Any) -> float:
    """In metres, the median of versions from before the bound was kept; NaN if unknown."""
    return float(version.tags.get(HIGH, _distance(version)))


def _in_words(version: Any) -> str:
    distance = _distance(version)
    distance_text = f"{distance:.2f} m" if math.isfinite(distance) else "distance unknown"
    return f"version {version.version} ({distance_text})"
