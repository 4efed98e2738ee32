"""A stage's output is either complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklane.project.outputs import replacing, together, write_json


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "results" / "scores.json"
    write_json(target, {"a": 1})
    with pytest.raises(FileNotFoundError), replacing(target) as draft:
        draft.write_bytes(b"half" + (tmp_path / "not there").read_bytes())
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    for name in ("old", "new"):
        with replacing(target) as draft:
            draft.mkdir()
            (draft / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]


def written(folder: Path, content: str) -> None:
    """A stage's outputs: files and a folder."""
    for name in ("scores.json", "summary.json"):
        write_json(folder / name, content)
    with replacing(folder / "checkpoint") as draft:
        draft.mkdir()
        (draft / content).touch()


def everything(folder: Path) -> dict[str, str]:
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else "" for path in paths}


@pytest.mark.parametrize("there_before", [True, False])
def test_outputs_are_moved_into_place_all_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    if there_before:
        written(tmp_path, "old")
    before = everything(tmp_path)
    with pytest.raises(FileNotFoundError):
        fail_when_most_is_written(tmp_path, before)
    assert everything(tmp_path) == before
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", failing_at(tmp_path / "checkpoint"))
        with pytest.raises(OSError, match="full"), together():
            written(tmp_path, "new")
    assert everything(tmp_path) == before
    with together():
        written(tmp_path, "new")
    files = {"scores.json": '"new"\n', "summary.json": '"new"\n', "checkpoint": "", "checkpoint/new": ""}
    assert everything(tmp_path) == files


def fail_when_most_is_written(folder: Path, before: dict[str, str]) -> None:
    with together():
        written(folder, "new")
        assert everything(folder).items() >= before.items()
        (folder / "not there").read_text()


def failing_at(full: Path) -> Callable[[Path, Path], None]:
    """An os.replace that fails once, as on a full disk, when something is moved to this place."""
    replace, failed = os.replace, []

    def replace_or_fail(source: Path, target: Path) -> None:
        if target == full and not failed:
            failed.append(source)
            raise OSError("full")
        replace(source, target)

    return replace_or_fail


def test_leftovers_of_a_killed_run_are_cleared_away(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    left = target.with_name(".checkpoint.partial")
    left.mkdir()
    (left / "stale").write_text("stale")
    with replacing(target) as draft:
        draft.mkdir()
    assert list(target.iterdir()) == []
    assert not left.exists()


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"reward": float("nan")})
    assert list(tmp_path.iterdir()) == []
