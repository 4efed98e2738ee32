"""Arrays that take long to compute, kept on the disk between runs.

Entries are named after the content from which they follow, so nothing has to be declared out of date: what
belongs to older files, code or packages goes unused, and what has gone unused longest is removed first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.machine.folders import cache_folder

Arrays = Mapping[str, NDArray[Any]]


def cached_arrays(
    folder: str,
    content: Iterable[bytes],
    code: Iterable[ModuleType],
    compute: Callable[[], Arrays],
    *,
    limit_bytes: int,
) -> Arrays:
    """The arrays that `compute` gives, from the disk if they have been computed before.

    Several processes may ask for the same arrays. A damaged entry is computed again; a full disk, or a folder
    that cannot be written, only costs time.

    Args:
        folder: name of a folder in the cache.
        content: all that the arrays follow from, besides the project's code; also the versions of packages
            that compute them.
        code: the project's modules that compute them.
        compute: gives the arrays by name; of numbers and text, not of objects.
        limit_bytes: what all entries of the folder may take on the disk.
    """
    path = cache_folder(folder) / f"{_digest(content, code)}.npz"
    found = _read(path)
    if found is not None:
        return found
    arrays = compute()
    with contextlib.suppress(OSError):
        _write(path, arrays)
        _remove_oldest(path.parent, limit_bytes)
    return arrays


def _digest(content: Iterable[bytes], code: Iterable[ModuleType]) -> str:
    sources = (Path(str(module.__file__)).read_bytes() for module in code)
    parts = [hashlib.sha256(part).digest() for part in (*content, *sources)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def _read(path: Path) -> Arrays | None:
    try:
        with np.load(path) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return None
    except Exception:  # reading damaged bytes can raise anything
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):  # it may belong to another user
        os.utime(path)  # used just now
    return found


def _write(path: Path, arrays: Arrays) -> None:
    draft = path.with_name(f".{os.getpid()}-{path.name}")  # another process may be writing the same entry
    try:
        np.savez(draft, allow_pickle=False, **arrays)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_oldest(folder: Path, limit_bytes: int) -> None:
    """Remove the files used longest ago, as many as it takes to stay within the limit."""
    files = sorted(_files(folder), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > limit_bytes:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """(last use, size, path) of each file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # another process may have removed it
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield status.st_mtime, status.st_size, entry.path
