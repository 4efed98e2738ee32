"""A checkout that is moved or copied takes its runs' files along, and leaves the original alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklane.settings import Settings
from ducklane.tracking import runs as tracking
from ducklane.tracking.store.moved import follow


@pytest.fixture
def original(
    tmp_path: Path,
    empty_store: Callable[[Path], Path],
    smallest_policy: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A checkout with one run, its files and its registered policy."""
    root = tmp_path / "mlartifacts of ann" / "ö #1 50%" / "before"
    root.mkdir(parents=True)
    empty_store(root)
    at(root, monkeypatch)
    with tracking.training_run(settings, None) as run:
        (root / "run.txt").write_text(run.id)
        (root / "scores.json").write_text("{}")
        run.log_artifact(root / "scores.json", "evaluate")
        shutil.copy(smallest_policy, root)
        run.log_policy(root / "policy.onnx", registered_name="policy", frames_shape=(1, 2, 2, 3))
    return root


def at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


WORK = """
import mlflow
from pathlib import Path
from ducklane.tracking import runs as tracking
from ducklane.tracking.store.opening import store_uri
run = tracking.find_run(Path("run.txt").read_text())
Path("check.json").write_text("{}")
run.log_artifact(Path("check.json"), "export")
assert run.fetch("evaluate", Path("fetched")) is not None
mlflow.artifacts.download_artifacts("models:/policy/1", dst_path="registered", tracking_uri=store_uri())
print(run.id, tracking.client().create_run(tracking.prepare_store("ducklane")).info.artifact_uri)
"""
"""What evaluate, export and lineage do, in a process of its own: MLflow remembers where a run's files are."""


def work_on(root: Path) -> str:
    """Add to the run, and check that everything is beside the file; its stderr."""
    (root / "fetched").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=root,
        env=environment | {"DVC_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    run_id, new = done.stdout.splitlines()[-1].split()
    assert (root / "mlartifacts" / run_id / "artifacts" / "export" / "check.json").is_file()
    assert (root / "registered" / "model.onnx").read_bytes() == (root / "policy.onnx").read_bytes()
    assert new.startswith((root / "mlartifacts").as_uri())
    return done.stderr


def test_a_moved_checkout_finds_its_files_and_writes_beside_them(original: Path, tmp_path: Path) -> None:
    moved = original.rename(tmp_path / "after")
    assert f"was moved here from {original}" in work_on(moved)
    assert not original.exists()
    assert follow(moved / "mlflow.db") is None


def test_a_copy_leaves_the_original_alone(original: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    before = files(original)
    work_on(copy)
    assert files(original) == before


def test_files_that_exist_only_in_the_old_folder_are_found_there(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone := tmp_path / "alone").mkdir()
    (alone / "fetched").mkdir()
    shutil.copy(original / "mlflow.db", alone)
    at(alone, monkeypatch)
    run = tracking.find_run(tracking.client().search_runs(["1"])[0].info.run_id)
    assert run is not None
    assert run.fetch("evaluate", alone / "fetched") is not None
    new = tracking.client().create_run(tracking.prepare_store("ducklane"))
    assert new.info.artifact_uri.startswith((alone / "mlartifacts").as_uri())


def test_a_folder_that_the_user_chose_is_kept(original: Path, tmp_path: Path) -> None:
    places = [
        "s3://bucket/mlartifacts",
        "file:///elsewhere/runs",
        "mlflow-artifacts:/1",
        f"file://{tmp_path}/mlartifacts/x",
    ]
    with sqlite3.connect(original / "mlflow.db") as database:
        for number, place in enumerate(places, 10):
            database.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location) VALUES (?, ?, ?)",
                (number, place, place),
            )
    moved = original.rename(tmp_path / "after")
    assert follow(moved / "mlflow.db") is not None
    with sqlite3.connect(moved / "mlflow.db") as database:
        stored = database.execute("SELECT artifact_location FROM experiments WHERE experiment_id >= 10")
        assert [place for (place,) in stored] == places


def test_another_path_to_the_same_folder_is_not_a_move(original: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(original)
    assert follow(link / "mlflow.db") is None
