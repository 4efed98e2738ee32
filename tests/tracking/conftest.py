from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def own_store(tmp_path: Path, empty_store: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root, as DVC would name it, with a store that holds no run."""
    empty_store(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
