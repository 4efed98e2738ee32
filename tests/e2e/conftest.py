from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparing import Session


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """After the last command of docs/comparing.md."""
    session = Session(tmp_path_factory.mktemp("comparing"))
    try:
        session.type_all()
        yield session
    finally:
        session.stop_the_queue()
