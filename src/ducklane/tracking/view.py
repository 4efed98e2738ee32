"""The columns with which MLflow's list of runs opens, as one of its saved views.

MLflow remembers the columns that somebody chose in his browser, and has no default that a project could set.
But a saved view is a tag of the experiment, and an address may name it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ducklane.tracking.store.opening import client, one_line

KEY = "ducklane"
"""Of the view, in addresses and in the list's menu of saved views."""

TAG = f"mlflow.sharedViewState.{KEY}"
"""Tag of the experiment that holds the view."""

COLUMNS = (
    "metrics.`best/episode_reward_mean`",
    "metrics.`evaluate/distance_m`",
    "metrics.`evaluate/survived`",
    "metrics.`evaluate/lateral_mean_m`",
    "metrics.`seeds/distance_m_median`",
    "metrics.`seeds/survived_share_median`",
    "params.`rllib.lr`",
    "params.`simulator.seed`",
    "tags.`recipe_digest`",
)
"""What stands beside a run's name, as MLflow calls columns. It leaves out those that no run has.

Datasets and models are left to the run's own page: their columns would push the scores out of sight.
"""


@one_line()
def save_view(experiment_id: str) -> str:
    """Save the view in an experiment, unless it is there already, or somebody has changed it.

    Returns:
        what names it in the query of an address.

    Raises:
        TrackingError: the store does not answer, or does not permit it.
    """
    store = client()
    saved = _read(store.get_experiment(experiment_id).tags.get(TAG))
    state = json.dumps({"selectedColumns": COLUMNS})
    changed_by_hand = saved.get("updatedAt") != saved.get("createdAt")
    if saved.get("state") != state and not changed_by_hand:
        now = int(time.time() * 1000)
        view = {"name": KEY, "createdAt": now, "updatedAt": now, "state": state}
        store.set_experiment_tag(experiment_id, TAG, json.dumps(view))
    return f"viewStateShareKey={KEY}"


def _read(tag: str | None) -> dict[str, Any]:
    """A saved view; empty if there is none, or none that MLflow could read."""
    try:
        view = json.loads(tag or "{}")
    except ValueError:
        return {}
    return view if isinstance(view, dict) else {}
