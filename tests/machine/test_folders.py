"""Caches and Ray's files get another folder where the usual ones cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ducklane.errors import UserError
from ducklane.machine import folders

NOWHERE = "/proc/1/home"
"""Nobody can create it."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a home that can be written, with no variable set that says where to keep files."""
    project = tmp_path / "duckie"
    project.mkdir()
    (project / "dvc.yaml").write_text("")
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "DVC_ROOT", "TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    return project


def test_the_cache_is_where_users_expect_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folders.cache_folder("scenes") == tmp_path / ".cache/ducklane/scenes"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert folders.cache_folder("scenes") == tmp_path / "elsewhere/ducklane/scenes"


@pytest.mark.parametrize("relative", ["", "cache", "./cache"])
def test_a_cache_with_a_relative_path_is_ignored(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    assert folders.cache_folder("scenes") == tmp_path / ".cache/ducklane/scenes"


@pytest.mark.parametrize("home", ["/proc/1", "/proc/1/home", "/dev/null", "home"])
def test_without_a_home_the_project_keeps_its_caches(
    project: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", NOWHERE)
    monkeypatch.setenv("HOME", home)
    assert folders.cache_folder("scenes") == project / "runs/cache/scenes"


def test_copies_of_the_project_share_its_caches(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.setenv("DVC_ROOT", str(project))
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    assert folders.cache_folder("scenes") == project / "runs/cache/scenes"


def test_one_part_of_the_cache_may_belong_to_another_user(project: Path, tmp_path: Path) -> None:
    (tmp_path / ".cache/ducklane").mkdir(parents=True)
    (tmp_path / ".cache/ducklane/kernels").symlink_to(NOWHERE)
    assert folders.cache_folder("kernels/1") == project / "runs/cache/kernels/1"
    assert folders.cache_folder("scenes") == tmp_path / ".cache/ducklane/scenes"


def test_outside_a_project_a_cache_lasts_as_long_as_its_process(project: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ducklane.machine.folders import cache_folder; print(cache_folder('scenes'))",
        ],
        cwd=tmp_path,
        env={**os.environ, "HOME": NOWHERE, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(done.stdout.strip())
    assert folder.parent == tmp_path
    assert not folder.exists()


def test_ray_uses_the_temporary_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders.ray_folder() == (Path("/tmp/ray"), "")
    with TemporaryDirectory(dir="/tmp") as usual, TemporaryDirectory(dir="/tmp") as meant:
        monkeypatch.setenv("TMPDIR", usual)
        assert folders.ray_folder() == (Path(usual, "ray"), "")
        monkeypatch.setenv("RAY_TMPDIR", meant)
        assert folders.ray_folder() == (Path(meant, "ray"), "")


@pytest.mark.parametrize(
    ("temporary", "why"),
    [
        (
            f"/tmp/{'deep/' * 15}er",
            "TMPDIR: {} is 43 bytes too long for Ray, whose sockets in it may have paths of at most 107",
        ),
        (f"/tmp/{'ü' * 20}", "TMPDIR: {} is 6 bytes too long for Ray"),
        (NOWHERE, "TMPDIR: {} cannot be written"),
        ("tmp", "TMPDIR: {} is not an absolute path, which Ray needs"),
    ],
)
def test_ray_avoids_an_unusable_temporary_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, temporary: str, why: str
) -> None:
    monkeypatch.setenv("TMPDIR", temporary)
    folder, note = folders.ray_folder()
    assert folder == Path("/tmp/ray")
    assert note.startswith(why.format(temporary))


def test_an_unusable_folder_meant_for_ray_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", NOWHERE)
    with pytest.raises(UserError) as raised:
        folders.ray_folder()
    assert raised.value.problems == (
        f"RAY_TMPDIR: {NOWHERE} cannot be written; unset RAY_TMPDIR, or give a folder such as /tmp",
    )


def test_the_longest_folder_for_ray_is_as_long_as_sockets_allow() -> None:
    assert len("/" + "x" * (folders.RAY_BYTES - 1) + folders.RAY_SOCKET) == 107


def test_programs_are_silent_about_an_unwritable_home(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ducklane.evaluation.pictures, ducklane.export.onnx_policy"],
        env={**os.environ, "HOME": "/proc/1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
