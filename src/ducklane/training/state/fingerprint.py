"""The identity of a training run: a hash of all that its result depends on according to dvc.yaml."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.inputs import digest, digests, files_below, training_files
from ducklane.project.stages import TRAIN, sources, stages
from ducklane.repository import git
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
        "code": _contents(sources(all_stages, TRAIN)),
        # their current contents, whether or not the stage `inputs` has recorded them
        "files": digests(training_files(trials_of(settings))),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _contents(listed: Sequence[str]) -> dict[str, str]:
    root = git.project_folder()
    contents = {}
    for name in listed:
        path = root / name
        if not path.exists():
            restore = f"type git checkout -- {name}, or remove it from the list"
            raise UserError(f"{git.PIPELINE}: {name} of {TRAIN}'s deps is missing; {restore}")
        for file in files_below(path) if path.is_dir() else [path]:
            contents[str(file.relative_to(root))] = _content(file)
    return contents


def _content(path: Path) -> str:
    if path.suffix != ".py":
        return digest(path)
    meaning = ast.dump(_WithoutDocstrings().visit(ast.parse(path.read_bytes())))
    return hashlib.sha256(meaning.encode()).hexdigest()


class _WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Drop docstrings."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
