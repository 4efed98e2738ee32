"""The identity of a training run: a hash of all that its result depends on according to dvc.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version

from ducklane.project.code import meanings_of
from ducklane.project.inputs import digests, training_files
from ducklane.project.stages import TRAIN, sources, stages
from ducklane.settings import Settings
from ducklane.settings.trials import trials_of

PACKAGES = ("duckietown-gym-daffy", "numba", "numpy", "ray", "torch")
"""A checkpoint is only valid with the installed versions that wrote it, whatever constraints.txt pins."""


def fingerprint(settings: Settings, workers: Sequence[int] = ()) -> str:
    """Hexadecimal SHA-256 of the settings, code, versions and files that training's result depends on.

    Code is compared by its syntax tree, without comments, docstrings and layout. Different versions of
    Python dump that tree differently, so each makes a training run of its own.

    Args:
        settings: all of them.
        workers: the number of sampling processes of each trial, where it is known: `rllib.num_workers: -1`
            gives another number, and so another training run, on a machine with another number of cores.

    Raises:
        UserError: dvc.yaml lists a file that does not exist.
    """
    all_stages = stages()
    parts = {
        "settings": all_stages[TRAIN].chosen(settings.as_dict()),
        "workers": list(workers),
        "packages": {package: version(package) for package in PACKAGES},
        "code": meanings_of(sources(all_stages, TRAIN)),
        # their current contents, whether or not the stage `inputs` has recorded them
        "files": digests(training_files(trials_of(settings))),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
