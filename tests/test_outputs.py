"""A stage's output is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ducklane.outputs import replacing, write_json


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


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    left = target.with_name(".checkpoint.partial")
    left.mkdir()
    (left / "stale").write_text("stale")
    with replacing(target) as draft:
        draft.mkdir()
    assert list(target.iterdir()) == []
    assert not left.exists()


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"reward": float("nan")})
    assert list(tmp_path.iterdir()) == []
