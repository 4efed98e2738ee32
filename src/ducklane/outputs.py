"""Writing a stage's outputs so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` for a new file or folder, which takes its place only on success."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.partial{target.suffix}")
    _remove(draft)
    try:
        yield draft
        if target.is_dir():
            _remove(target)  # a file is replaced in one step
        os.replace(draft, target)
    finally:
        _remove(draft)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, complete or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
