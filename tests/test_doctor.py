"""`ducklane doctor` says what is there, and what to do about what is not."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.doctor import GL_PACKAGES


def doctor(cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ducklane.cli", "doctor"],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "80", "DVC_ROOT": str(cwd)} | environment,
        capture_output=True,
        text=True,
    )


def test_a_machine_that_was_set_up_is_well(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text((Path(__file__).parents[1] / "constraints.txt").read_text())
    done = doctor(tmp_path, CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 0, done.stdout + done.stderr
    # nothing is missing without a GPU, but it is said why there is none
    assert "CUDA_VISIBLE_DEVICES='-1' hides all" in " ".join(done.stdout.split())
    for name in ("Python", "CPUs", "memory", "GPUs", "graphics", "ray", "torch", "versions", "MLflow store"):
        assert name in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("environment", "cure"),
    [
        ({"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}, "unset __EGL_VENDOR_LIBRARY_DIRS"),
        ({"PATH": "/nowhere"}, "apt-get install git"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "unset MLFLOW_TRACKING_URI"),
    ],
)
def test_what_is_missing_is_named_with_its_cure(
    tmp_path: Path, environment: dict[str, str], cure: str
) -> None:
    done = doctor(tmp_path, **environment)
    assert done.returncode == 1
    assert cure in done.stdout


def test_a_package_of_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("rich==0.0.1\n")
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "instead of 0.0.1" in " ".join(done.stdout.split())


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "MLflow store" in done.stdout


def test_the_cure_names_what_the_set_up_installs() -> None:
    script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "missing_libraries.py"))
    assert {*script["LIBRARIES"].values(), "libgl1-mesa-dri"} == set(GL_PACKAGES.split())
