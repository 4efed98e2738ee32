"""A map that was read is cached if there is room, and works if there is none."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from ducklane.simulator import scenes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ducklane" / "scenes"


def test_with_a_full_disk_scenes_load_but_are_not_cached(cache: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # as if the disk were full for every file
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        town = scenes._load_map.__wrapped__("loop_empty")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(town.layout) > 0
    assert list(cache.iterdir()) == []
