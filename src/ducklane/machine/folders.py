"""Folders outside the project in which programs keep files: the cache, and Ray's.

They usually lie below the home and the temporary folder. Neither can be relied on: homes of containers and
clusters may not exist or not be writable, and the temporary folder may be too deep for Ray's sockets.
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
"""The longest path of a socket that Linux takes."""

RAY_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket below Ray's folder: a time and the largest number of a process."""

RAY_BYTES = SOCKET_BYTES - len(RAY_SOCKET)
"""The longest path of a folder for Ray."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Ray keeps its objects if there is room, else in its folder."""

SLOW_STORE_BYTES = 10**10
"""Ray refuses to keep more in its folder."""


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made itself if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


# --- the cache: compiled kernels, scenes --------------------------------------------------------------------


def cache_folder(name: str) -> Path:
    """A folder for what can be made again, in the first of `cache_folders` where it can be written.

    Where none can be written it is a new one, gone when the process ends.

    Args:
        name: of the folder, may be a path.
    """
    return _first_writable(tuple(folder / name for folder in cache_folders()))


def cache_folders() -> Iterator[Path]:
    """$XDG_CACHE_HOME/ducklane, ~/.cache/ducklane, and runs/cache of the project.

    The last is shared by the copies of the project that DVC makes.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # others are to be ignored, says the XDG Base Directory Specification
    if given.is_absolute():
        yield given / "ducklane"
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
    except RuntimeError:  # HOME is not set, and nobody knows the user
        return None
    return home if home.is_absolute() else None


# --- Ray ----------------------------------------------------------------------------------------------------


class RayFolder(NamedTuple):
    """Where Ray keeps its sockets and logs."""

    path: Path
    note: str = ""
    """why it is not the usual one"""

    @property
    def logs(self) -> Path:
        """Of the latest start."""
        return self.path / "session_latest" / "logs"


def ray_folder() -> RayFolder:
    """The folder `ray` in RAY_TMPDIR, or else in TMPDIR or in /tmp, whichever can be used.

    Raises:
        UserError: none can.
    """
    if given := os.environ.get("RAY_TMPDIR"):
        if problem := _ray_problem("RAY_TMPDIR", given):
            raise UserError(f"{problem}; unset RAY_TMPDIR, or give a folder such as /tmp")
        return RayFolder(Path(given, "ray"))
    problems: list[str] = []
    for name, folder in _temporary_folders():
        problem = _ray_problem(name, folder)
        if problem is None:
            return RayFolder(Path(folder, "ray"), "; ".join(problems))
        problems.append(problem)
    raise UserError(f"{'; '.join(problems)}; set RAY_TMPDIR to a short folder that you can write")


def _temporary_folders() -> Iterable[tuple[str, str]]:
    given = os.environ.get("TMPDIR")
    return [*([("TMPDIR", given)] if given else []), ("temporary folder", "/tmp")]


def _ray_problem(name: str, folder: str) -> str | None:
    if not os.path.isabs(folder):
        return f"{name}: {folder} is no absolute path, which Ray needs"
    if (excess := len(os.fsencode(Path(folder, "ray"))) - RAY_BYTES) > 0:
        return (
            f"{name}: {folder} is {excess} bytes too long for Ray, whose sockets below it have at most "
            f"{SOCKET_BYTES} bytes"
        )
    return None if is_writable(Path(folder, "ray")) else f"{name}: {folder} cannot be written"


def let_ray_do_without_home() -> None:
    """Give Ray, where it cannot keep the secret of its cluster in ~/.ray, one in the environment."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    home = _home()
    if home is None or not is_writable(home / ".ray"):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def shared_memory_bytes() -> int:
    """What is free of it."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.exists() else 0
