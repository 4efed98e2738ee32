"""Writing a stage's outputs atomically: readers never see half of one, nor new ones next to old ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

CHECKPOINT = Path("models/checkpoint")
"""The trained model, written by `train`."""

SEEDS = Path("models/seeds")
"""The best model of each seed of its recipe, in folders named after the seeds, written by `train`."""

EXPORTED = Path("models/policy.onnx")
"""The policy as one file, written by `export`."""

VARIANTS: dict[Literal["static", "streaming"], Path] = {
    "static": Path("models/policy_static.onnx"),
    "streaming": Path("models/policy_streaming.onnx"),
}
"""The same for small computers on robots: `ducklane.export.onnx_file.export_onnx` says what they are."""

RESULTS = Path("results")
"""What stages write besides the models: one folder per stage, named after it."""

_WAITING: ContextVar[dict[Path, Path] | None] = ContextVar("waiting", default=None)
"""Within `together`: target -> its complete draft."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path next to `target` for a new file or folder, which replaces it only on success."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.partial{target.suffix}")
    _remove(draft)
    waiting = _WAITING.get()
    try:
        yield draft
        if waiting is None:
            _place({target: draft})
        else:
            waiting[target] = draft
    finally:
        if waiting is None or target not in waiting:
            _remove(draft)


@contextmanager
def together() -> Iterator[None]:
    """Make all drafts of `replacing` in this context replace their targets at its end, all or none."""
    waiting: dict[Path, Path] = {}
    token = _WAITING.set(waiting)
    try:
        yield
        _place(waiting)
    finally:
        _WAITING.reset(token)
        for draft in waiting.values():
            _remove(draft)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, complete or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def _place(drafts: Mapping[Path, Path]) -> None:
    """Move drafts to their targets; if one cannot be moved, restore all targets."""
    if len(drafts) == 1 and not any(path.is_dir() for pair in drafts.items() for path in pair):
        ((target, draft),) = drafts.items()
        os.replace(draft, target)  # atomic: nothing to restore
        return
    is_new = {target: not os.path.lexists(target) for target in drafts}
    for target in drafts:
        _remove(_earlier(target))
    try:
        for target, draft in drafts.items():
            if not is_new[target]:
                _keep(target)
            if draft.is_dir():
                _remove(target)
            os.replace(draft, target)
    except BaseException:
        for target in drafts:
            _put_back(target, is_new[target])
        raise
    finally:
        for target in drafts:
            _remove(_earlier(target))


def _earlier(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial.earlier")


def _keep(target: Path) -> None:
    """Keep the old target until all drafts are placed; a file also stays in its place, for its readers."""
    if target.is_dir():
        os.replace(target, _earlier(target))
    else:
        shutil.copy2(target, _earlier(target), follow_symlinks=False)


def _put_back(target: Path, is_new: bool) -> None:
    if is_new:
        _remove(target)
    elif os.path.lexists(_earlier(target)):
        _remove(target)
        os.replace(_earlier(target), target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
