"""Versions of the registered policy, and which of them is the champion."""

from __future__ import annotations

import math
from typing import Any

from mlflow import MlflowClient

from ducklane.tracking.store.opening import client, one_line

CHAMPION = "champion"
"""Alias of the registered policy that passed the gate and of which none was shown to drive less far."""

DISTANCE, HIGH = "gate_distance_m", "gate_distance_m_high"
"""Tags of a registered policy's version: median distance in the gate's episodes, and the upper bound of its
95 % interval."""


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
