"""Folders outside the project for programs' own files: the cache, and Ray's folder.

They are usually in the home folder and in the temporary folder. Neither can be relied on: in containers and
on clusters the home may be missing or read-only, and the temporary folder's path may be too long for Ray's
sockets.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ducklane.errors import UserError
from ducklane.repository import copies, git

SOCKET_BYTES = 107
"""Length of the longest path of a socket that Linux accepts."""

RAY_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket inside Ray's folder: with a time and the largest process id."""

RAY_BYTES = SOCKET_BYTES - len(RAY_SOCKET)
"""Length of the longest path that Ray's folder may have."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Ray keeps its objects if there is enough space, else in its folder."""

SLOW_STORE_BYTES = 10**10
"""Ray refuses to keep more than this in its folder."""


def is_writable(folder: Path) -> bool:
    """Whether files can be created in a folder; creates the folder if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


# --- the cache: compiled kernels, scenes --------------------------------------------------------------------


def cache_folder(name: str) -> Path:
    """A folder for files that can be recreated, in the first of `cache_folders` that can be written.

    If none can be written, a temporary one that is deleted when the process ends.

    Args:
        name: of the folder; may be a relative path.
    """
    return _first_writable(tuple(folder / name for folder in cache_folders()))


def keep_newest(folder: Path, count: int) -> None:
    """Mark a folder as used now, and remove those beside it but for the `count` used last."""
    try:
        os.utime(folder)
        beside = [(path.stat().st_mtime, path) for path in folder.parent.iterdir() if path.is_dir()]
    except OSError:  # another process is removing some; it may as well do this
        return
    for _, path in sorted(beside, reverse=True)[count:]:
        shutil.rmtree(path, ignore_errors=True)


def cache_folders() -> Iterator[Path]:
    """$XDG_CACHE_HOME/ducklane, ~/.cache/ducklane, and the project's runs/cache.

    The last is shared by the copies of the project that DVC makes.
    """
    xdg_cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the XDG Base Directory Specification says that relative paths are to be ignored
    if xdg_cache.is_absolute():
        yield xdg_cache / "ducklane"
    if home := _home():
        yield home / ".cache" / "ducklane"
    root = copies.repository_root()
    if (root / git.PIPELINE).exists():
        yield root / "runs" / "cache"


@cache
def _first_writable(folders: tuple[Path, ...]) -> Path:
    for folder in folders:
        if is_writable(folder):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="ducklane-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the user is unknown to the system
        return None
    return home if home.is_absolute() else None


# --- Ray ----------------------------------------------------------------------------------------------------


class RayFolder(NamedTuple):
    """Where Ray keeps its sockets and logs."""

    path: Path
    note: str = ""
    """why it is not the usual one, if so"""

    @property
    def logs(self) -> Path:
        """The logs of the latest start."""
        return self.path / "session_latest" / "logs"


def ray_folder() -> RayFolder:
    """The folder `ray` in RAY_TMPDIR if that is set, else in the first usable one of TMPDIR and /tmp.

    Raises:
        UserError: none can be used.
    """
    if ray_tmpdir := os.environ.get("RAY_TMPDIR"):
        if problem := _ray_problem("RAY_TMPDIR", ray_tmpdir):
            raise UserError(f"{problem}; unset RAY_TMPDIR, or give a folder such as /tmp")
        return RayFolder(Path(ray_tmpdir, "ray"))
    problems: list[str] = []
    for name, folder in _temporary_folders():
        problem = _ray_problem(name, folder)
        if problem is None:
            return RayFolder(Path(folder, "ray"), "; ".join(problems))
        problems.append(problem)
    raise UserError(f"{'; '.join(problems)}; set RAY_TMPDIR to a short folder that you can write")


def _temporary_folders() -> Iterable[tuple[str, str]]:
    tmpdir = os.environ.get("TMPDIR")
    return [*([("TMPDIR", tmpdir)] if tmpdir else []), ("temporary folder", "/tmp")]


def _ray_problem(name: str, folder: str) -> str | None:
    if not os.path.isabs(folder):
        return f"{name}: {folder} is not an absolute path, which Ray needs"
    if (excess := len(os.fsencode(Path(folder, "ray"))) - RAY_BYTES) > 0:
        return (
            f"{name}: {folder} is {excess} bytes too long for Ray, whose sockets in it may have paths "
            f"of at most {SOCKET_BYTES} bytes"
        )
    return None if is_writable(Path(folder, "ray")) else f"{name}: {folder} cannot be written"


def let_ray_do_without_home() -> None:
    """Give Ray its cluster's secret in the environment where it cannot keep one in ~/.ray."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    home = _home()
    if home is None or not is_writable(home / ".ray"):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def shared_memory_bytes() -> int:
    """Free bytes of shared memory; 0 where there is none."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.exists() else 0
