"""Record the files that the settings name, maps and an older policy, with digests of their contents."""

from __future__ import annotations

import sys

from ducklane.errors import exits_cleanly
from ducklane.project.inputs import (
    LISTED,
    PRETRAINED,
    check_older_policy,
    digests,
    scoring_files,
    training_files,
    unseen,
)
from ducklane.project.outputs import together, write_json
from ducklane.settings import load
from ducklane.settings.trials import trials_of
from ducklane.simulator.town.maps import check_maps
from ducklane.simulator.town.resources import MAPS_FOLDER


def main() -> None:
    """Refuse maps and policies that cannot be used; then record the files."""
    settings = load()
    trials = trials_of(settings)
    for trial in trials:
        check_maps(trial.settings)
    check_older_policy(settings)
    training, scoring = training_files(trials), scoring_files(settings)
    with together():
        write_json(LISTED / "train.json", digests(training))
        write_json(LISTED / "evaluate.json", digests(scoring))
    if unseen_files := unseen(sorted({*training, *scoring})):
        more = f" and {len(unseen_files) - 1} more" if len(unseen_files) > 1 else ""
        print(
            f"inputs: DVC does not see changes to {unseen_files[0]}{more}; keep such files in "
            f"{MAPS_FOLDER} or {PRETRAINED}, or type dvc repro -f inputs after each change",
            file=sys.stderr,
        )


if __name__ == "__main__":
    exits_cleanly(main)()
