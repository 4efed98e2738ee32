"""Write down which files the settings name, maps and an older policy, and the digests of their contents."""

from __future__ import annotations

import sys

from ducklane import settings
from ducklane.errors import exits_cleanly
from ducklane.project.inputs import (
    PRETRAINED,
    RESULTS,
    check_older_policy,
    digests,
    scoring_files,
    training_files,
    unseen,
)
from ducklane.project.outputs import together, write_json
from ducklane.settings.trials import trials
from ducklane.simulator.town.maps import check_maps
from ducklane.simulator.town.resources import OWN


def main() -> None:
    """Refuse maps and policies that cannot be used; then write."""
    chosen = settings.load()
    wanted = trials(chosen)
    for trial in wanted:
        check_maps(trial.settings)
    check_older_policy(chosen)
    training, scoring = training_files(wanted), scoring_files(chosen)
    with together():
        write_json(RESULTS / "train.json", digests(training))
        write_json(RESULTS / "evaluate.json", digests(scoring))
    if elsewhere := unseen(sorted({*training, *scoring})):
        more = f" and {len(elsewhere) - 1} more" if len(elsewhere) > 1 else ""
        print(
            f"inputs: DVC does not see changes of {elsewhere[0]}{more}; put what settings name into {OWN} or "
            f"{PRETRAINED}, or type dvc repro -f inputs after a change",
            file=sys.stderr,
        )


if __name__ == "__main__":
    exits_cleanly(main)()
