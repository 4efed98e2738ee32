"""Kernels are compiled once for all copies of the same sources, and again for others."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ducklane
from ducklane import kernel

CALL = """
from ducklane.simulator.world import dynamics
print(dynamics.clipped(2.0), sum(dynamics.clipped._for_python.stats.cache_misses.values()))
"""


def called(project: Path, cache: Path, **options: Any) -> list[str]:
    """What `clipped(2.0)` gives in a copy of the sources, and how often it was compiled for that."""
    environment = {**os.environ, "PYTHONPATH": str(project), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, check=True, **options
    )
    return done.stdout.split()


def test_another_copy_of_the_sources_compiles_nothing_and_changed_ones_do(tmp_path: Path) -> None:
    projects = [tmp_path / name for name in ("first", "second")]
    for project in projects:
        shutil.copytree(Path(ducklane.__file__).parent, project / "ducklane")
    assert [called(project, tmp_path / "cache") for project in projects] == [["1.0", "1"], ["1.0", "0"]]
    dynamics = projects[1] / "ducklane" / "simulator" / "world" / "dynamics.py"
    dynamics.write_text(dynamics.read_text().replace("min(max(command, -1.0), 1.0)", "min(command, 0.5)"))
    assert called(projects[1], tmp_path / "cache") == ["0.5", "1"]


def damage(folder: Path) -> None:
    for path in folder.rglob("*.nb[ic]"):
        path.write_bytes(path.read_bytes()[:-10])


def test_damaged_files_are_recompiled(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(Path(ducklane.__file__).parent, project / "ducklane")
    assert called(project, tmp_path / "cache") == ["1.0", "1"]
    damage(tmp_path / "cache")
    assert called(project, tmp_path / "cache") == ["1.0", "1"]
    assert called(project, tmp_path / "cache") == ["1.0", "0"]


def test_kernels_of_old_sources_are_removed(tmp_path: Path) -> None:
    project, cache = Path(ducklane.__file__).parents[1], tmp_path / "cache"
    for age in range(2 * kernel.VERSIONS):
        old = cache / "ducklane" / "kernels" / f"old{age}"
        old.mkdir(parents=True)
        (old / "kernel.nbc").touch()
        os.utime(old, (10**9 - age, 10**9 - age))
    called(project, cache)
    kept = {path.name for path in (cache / "ducklane" / "kernels").iterdir()}
    assert kept == {kernel._SOURCES, *(f"old{age}" for age in range(kernel.VERSIONS - 1))}


def fill_the_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_with_a_full_disk_kernels_work_but_are_not_cached(tmp_path: Path) -> None:
    project, cache = Path(ducklane.__file__).parents[1], tmp_path / "cache"
    assert called(project, cache, preexec_fn=fill_the_disk) == ["1.0", "1"]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_all_files_with_kernels_are_among_the_sources_that_name_the_cache() -> None:
    files = [path for path in Path(ducklane.__file__).parent.rglob("*.py") if "_kernel\n" in path.read_text()]
    assert len(files) > 10
    assert set(files) <= set(kernel._sources_of_kernels())
