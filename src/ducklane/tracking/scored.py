"""Runs whose models were scored, and the files that they hold."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from ducklane.tracking.runs import PARENT_RUN, STAGE, find_run
from ducklane.tracking.store.opening import answer_quickly, client, one_line

RECIPE = "recipe_digest"
"""Tag of a training run: the digest of its settings without the seed."""

_PAGE = 1000


@one_line()
def training_runs(digest: str) -> dict[str, str]:
    """The training runs of a recipe, in all MLflow experiments, oldest first.

    Args:
        digest: of the recipe, or how it begins.

    Returns:
        id of the run -> whole digest.

    Raises:
        TrackingError: the store cannot be used.
    """
    answer_quickly()
    store = client()
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    found: dict[str, str] = {}
    token: str | None = ""
    while experiments and token is not None:
        page = store.search_runs(
            experiments,
            f"tags.{RECIPE} LIKE '{digest}%'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token or None,
        )
        # trials have the tag too, but their training run holds the scores
        found |= {run.info.run_id: run.data.tags[RECIPE] for run in page if PARENT_RUN not in run.data.tags}
        token = page.token or None
    return found


class ScoredRun:
    """A run with the files of its training run and its scores.

    Args:
        run_id: of a training run, of one of its trials, or of a later scoring.

    Raises:
        TrackingError: the store cannot be used.
        KeyError: it knows no such run.
    """

    def __init__(self, run_id: str) -> None:
        answer_quickly()
        run = find_run(run_id)
        if run is None:
            raise KeyError(run_id)
        tags = run.described()[1]
        parent = tags.get(PARENT_RUN)
        again = tags.get(STAGE) == "evaluate"
        self.trial = run_id if parent and not again else None
        """its own id if it is a trial: of its training run's scores only those of its seed count"""
        self.git_commit = tags.get("git_commit")
        """the commit that was checked out when it was started"""
        self._runs = [run_id] if again or not parent else []
        self._runs += [parent] if parent else []

    @cache  # noqa: B019 (lives as long as the command)
    def read(self, name: str) -> str:
        """An artifact as text, empty if there is none."""
        for run_id in self._runs:
            run = find_run(run_id)
            with tempfile.TemporaryDirectory() as folder:
                file = run.fetch(name, Path(folder)) if run else None
                if file is not None:
                    return file.read_text(encoding="utf-8")
        return ""
