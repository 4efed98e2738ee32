"""Arrays on the disk: computed once, again when damaged or changed, and never more than the limit."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ducklane.machine import array_cache
from ducklane.machine.array_cache import Arrays, cached_arrays

ROOMY = 10**9


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ducklane" / "arrays"


def ask(content: bytes, limit: int = ROOMY, code: ModuleType = array_cache) -> tuple[Arrays, bool]:
    """Arrays that follow from the content, and whether they had to be computed."""
    computed = []

    def compute() -> Arrays:
        computed.append(True)
        return {"numbers": np.frombuffer(content, np.uint8), "names": np.array([content.decode()])}

    return cached_arrays("arrays", [content], [code], compute, limit_bytes=limit), bool(computed)


def test_arrays_are_computed_once_and_come_back_as_they_were(folder: Path) -> None:
    first, computed = ask(b"abc")
    again, computed_again = ask(b"abc")
    assert (computed, computed_again) == (True, False)
    for name in ("numbers", "names"):
        assert first[name].dtype == again[name].dtype
        np.testing.assert_array_equal(first[name], again[name])


def test_arrays_of_other_content_or_code_are_others(folder: Path) -> None:
    ask(b"abc")
    assert ask(b"abd")[1]
    assert ask(b"abc", code=np)[1]
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data.replace(b"abc", b"abd")],
)
def test_damaged_files_are_computed_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    ask(b"abc")
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    arrays, computed = ask(b"abc")
    assert computed
    assert arrays["numbers"].tobytes() == b"abc"
    assert not ask(b"abc")[1]


def test_what_was_used_longest_ago_goes_when_the_limit_is_reached(folder: Path) -> None:
    ask(b"abc")
    (path,) = folder.iterdir()
    size = path.stat().st_size
    left_behind = folder / "of-an-older-version.npz"
    left_behind.write_bytes(bytes(size))
    os.utime(left_behind, (0, 0))
    for content in (b"one", b"two"):
        os.utime(path, (1, 1))
        assert not ask(b"abc")[1]  # used again
        assert ask(content, limit=2 * size + size // 2)[1]
    assert len(list(folder.iterdir())) == 2
    assert not left_behind.exists()
    assert not ask(b"abc")[1]
    assert not ask(b"two")[1]


def test_with_a_full_disk_arrays_are_computed_and_nothing_is_left(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as if the disk were full for every file
    try:
        arrays, _ = ask(b"abc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert arrays["numbers"].tobytes() == b"abc"
    assert list(folder.iterdir()) == []


def ask_often(content: bytes, limit: int) -> bool:
    """Whether the arrays are right each time."""
    return all(ask(content, limit=limit)[0]["numbers"].tobytes() == content for _ in range(50))


def test_processes_may_write_read_and_remove_the_same_files_at_once(folder: Path) -> None:
    ask(b"one")
    limit = next(folder.iterdir()).stat().st_size  # room for one of two
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        assert all(pool.map(ask_often, [b"one", b"two", b"one"], [limit] * 3))
    assert not list(folder.glob(".*"))
