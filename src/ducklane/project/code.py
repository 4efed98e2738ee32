"""What code means: its syntax trees, without comments, docstrings and layout."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.inputs import digest, files_below
from ducklane.project.stages import TRAIN, sources, stages
from ducklane.repository import git


def code_digest() -> str:
    """Hexadecimal SHA-256 of the code and versions that a trained model depends on; "" without dvc.yaml.

    Different versions of Python dump syntax trees differently, and give another digest.
    """
    if not (git.project_folder() / git.PIPELINE).exists():
        return ""
    meanings = meanings_of(sources(stages(), TRAIN))
    return hashlib.sha256(json.dumps(meanings, sort_keys=True).encode()).hexdigest()


def meanings_of(listed: Sequence[str]) -> dict[str, str]:
    """Digest of each file, or of each file in a folder; of a Python file, its syntax tree's.

    Args:
        listed: as in dvc.yaml, below the project.

    Raises:
        UserError: one of them does not exist.
    """
    root = git.project_folder()
    meanings = {}
    for name in listed:
        path = root / name
        if not path.exists():
            restore = f"type git checkout -- {name}, or remove it from the list"
            raise UserError(f"{git.PIPELINE}: {name} of {TRAIN}'s deps is missing; {restore}")
        for file in files_below(path) if path.is_dir() else [path]:
            meanings[str(file.relative_to(root))] = _meaning(file)
    return meanings


def _meaning(path: Path) -> str:
    if path.suffix != ".py":
        return digest(path)
    meaning = ast.dump(_WithoutDocstrings().visit(ast.parse(path.read_bytes())))
    return hashlib.sha256(meaning.encode()).hexdigest()


class _WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Drop docstrings."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
