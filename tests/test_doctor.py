"""`ducklane doctor` says what is installed, and what to do about what is not."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklane import doctor as rooms
from ducklane.doctor import GL_PACKAGES, Check, _store
from ducklane.simulator.town.maps import map_file

REPOSITORY = Path(__file__).resolve().parents[1]


def doctor(cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ducklane", "doctor"],
        cwd=cwd,
        env=os.environ
        | {"COLUMNS": "80", "DVC_ROOT": str(cwd), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        | environment,
        capture_output=True,
        text=True,
    )


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def project(folder: Path, *names: str) -> None:
    """Make a repository of some of this project's files."""
    for name in names:
        shutil.copy(REPOSITORY / name, folder)
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "tester")
    git(folder, "config", "user.email", "tester@localhost")
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "-qm", "all")


def test_a_machine_that_was_set_up_passes(tmp_path: Path) -> None:
    project(tmp_path, "constraints.txt", "params.yaml")
    done = doctor(tmp_path, CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 0, done.stdout + done.stderr
    # nothing is missing without a GPU, but the reason is given
    assert "CUDA_VISIBLE_DEVICES='-1' hides all GPUs" in " ".join(done.stdout.split())
    checks = {" ".join(line.split()[1:3]) for line in done.stdout.splitlines()}
    for name in ("Python", "CPUs", "memory", "GPUs", "graphics", "git commit", "cache", "ray", "torch"):
        assert any(check.startswith(name) for check in checks), name
    for name in ("Ray's files", "shared memory", "versions all", "params.yaml all", "MLflow store"):
        assert name in checks
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("environment", "cure"),
    [
        ({"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}, "unset __EGL_VENDOR_LIBRARY_DIRS"),
        ({"PATH": "/nowhere"}, "apt-get install git"),
        ({"MLFLOW_TRACKING_URI": "http://ann:secret@127.0.0.1:9"}, "unset MLFLOW_TRACKING_URI"),
    ],
)
def test_missing_parts_are_named_with_their_fix(
    tmp_path: Path, environment: dict[str, str], cure: str
) -> None:
    done = doctor(tmp_path, **environment)
    assert done.returncode == 1
    assert cure in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_a_package_of_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("rich==0.0.1\n")
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "instead of 0.0.1" in " ".join(done.stdout.split())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root, in which commands run."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finding() -> Check:
    """Of the MLflow store."""
    (check,) = _store()
    return check


def test_a_damaged_store_is_named(store: Path) -> None:
    (store / "mlflow.db").write_bytes(b"this is no database" * 100)
    assert "file is not a database" in finding().found
    assert "restore it from a backup" in finding().cure


def test_the_runs_of_a_store_are_counted_and_not_touched(
    store: Path, empty_store: Callable[[Path], Path]
) -> None:
    assert finding() == Check("MLflow store", "mlflow.db will be created by the first run")
    before = empty_store(store).read_bytes()
    assert finding() == Check("MLflow store", "mlflow.db, 0 runs")
    assert (store / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ("./mlruns", "unset MLFLOW_TRACKING_URI for mlflow.db"),
        ("localhost:5000", "write http://localhost:5000"),
        ("mysql://ann:secret@127.0.0.1:1/runs", "pip install mysqlclient"),
        ("postgresql+psycopg2://ann:secret@127.0.0.1:1/runs", "start it"),
        ("sqlite:////dev/null/mlflow.db", "correct MLFLOW_TRACKING_URI"),
    ],
)
def test_an_unusable_store_is_named_before_any_run(
    store: Path, monkeypatch: pytest.MonkeyPatch, told: str, cure: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    assert cure in finding().cure
    assert "secret" not in finding().found


def test_the_fix_names_what_setup_installs() -> None:
    script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "missing_libraries.py"))
    assert {*script["LIBRARIES"].values(), "libgl1-mesa-dri"} == set(GL_PACKAGES.split())


def test_a_folder_that_is_not_a_repository_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (check,) = rooms._git()
    assert check.name == "git"
    assert "not a git repository, which DVC needs" in check.found
    assert "git init && git add --all" in check.cure


def test_unusable_homes_and_temporary_folders_are_named_with_their_substitutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    for name in ("XDG_CACHE_HOME", "DVC_ROOT", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/1")
    monkeypatch.setenv("TMPDIR", "/proc/1")
    assert list(rooms._folders()) == [
        Check("cache", "runs/cache; /proc/1/.cache/ducklane cannot be written"),
        Check("Ray's files", "/tmp/ray; TMPDIR: /proc/1 cannot be written"),
    ]
    monkeypatch.setenv("RAY_TMPDIR", "/proc/1")
    assert list(rooms._folders())[1] == Check(
        "Ray's files",
        "RAY_TMPDIR: /proc/1 cannot be written",
        "unset RAY_TMPDIR, or give a folder such as /tmp",
    )


@pytest.mark.parametrize(
    ("old", "new", "found", "cure"),
    [
        (
            "map_name: loop_empty  ",
            "map_name: mine.yaml  ",
            "simulator.map_name: there is no map file mine.yaml",
            "give the path of one, or the name of a packaged map",
        ),
        (
            "checkpoint_at_end: true ",
            "checkpoint_at_end: false ",
            "tune.checkpoint_freq: 128 may save nothing: from 0 to 262144 steps (stop.timesteps_total), "
            "2048 an iteration (rllib.train_batch_size), there may be only 127 iterations, and "
            "checkpoint_at_end is false",
            "give at most 127, or set checkpoint_at_end: true",
        ),
        (
            "restore_from: null",
            "restore_from: models/checkpoint",
            "rllib.restore_from: models/checkpoint: would be replaced by this training run",
            "copy it first (cp -r models/checkpoint models/pretrained/older) and give "
            "models/pretrained/older",
        ),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, found: str, cure: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "params.yaml").read_text().replace("checkpoint_freq: 1 ", "checkpoint_freq: 128 ")
    Path("params.yaml").write_text(text.replace(old, new, 1))
    assert list(rooms._settings()) == [Check("params.yaml", found, cure)]


def test_a_map_that_git_does_not_track_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, "params.yaml")
    (tmp_path / "mine.yaml").write_text(map_file("loop_empty").read_text())
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("map_name: loop_empty  ", "map_name: mine.yaml  ", 1))
    *_, check = rooms._settings()
    assert check.found.startswith("git does not track mine.yaml")
    assert check.cure == "type git add mine.yaml, or dvc exp run with --copy-paths mine.yaml"
    git(tmp_path, "add", "mine.yaml")
    *_, check = rooms._settings()
    assert not check.cure


@pytest.mark.parametrize(
    ("asked", "found", "cure"),
    [
        (64, "64 MB free of /dev/shm", ""),
        (
            256,
            "64 MB free of /dev/shm, ray.object_store_memory is 256 MB; Ray uses the disk instead; "
            "docker run --shm-size=1g is faster",
            "",
        ),
        (
            12000,
            "64 MB free of /dev/shm, ray.object_store_memory is 12000 MB",
            "lower ray.object_store_memory, or docker run --shm-size",
        ),
    ],
)
def test_a_small_shared_memory_is_named(asked: int, found: str, cure: str) -> None:
    assert rooms._shared_memory(64 * 2**20, asked * 2**20) == Check("shared memory", found, cure)
