"""Programs that no Python package brings, and that not every machine can have: a browser, a database server.

Where one is missing, the tests that need it are left out and named last of all. In CI (CI=true) they are run
all the same, and fail.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Program(NamedTuple):
    """What some tests need."""

    name: str
    packages: str
    """Debian's, that bring it"""
    is_there: Callable[[], bool]


def _answers(program: str) -> bool:
    # Ubuntu's chromium may be a stub that only says how to install it
    try:
        return subprocess.run([program, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _browser() -> bool:
    return _answers("chromium") and _answers("chromedriver")


def _database_server() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


PROGRAMS = {
    "browser": Program("browser", "chromium chromium-driver", _browser),
    "postgresql": Program("database server", "postgresql", _database_server),
}
"""By the fixture through which tests use it."""


class MissingPrograms:
    """A pytest plugin that leaves out the tests whose programs are missing, and names them."""

    def __init__(self) -> None:
        self._not_run: dict[str, list[str]] = {}
        """why, and the tests"""

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave tests out."""
        if os.environ.get("CI") == "true":
            return
        for fixture, program in PROGRAMS.items():
            needing = [item for item in items if fixture in getattr(item, "fixturenames", ())]
            if needing and not program.is_there():
                reason = f"no {program.name}: apt-get install {program.packages}"
                self._not_run[reason] = [item.nodeid for item in needing]
                items[:] = [item for item in items if item not in needing]
                config.hook.pytest_deselected(items=needing)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the names from a process of pytest-xdist to the one that reports."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["not_run"] = self._not_run

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a process of pytest-xdist sends."""
        self._not_run |= getattr(node, "workeroutput", {}).get("not_run", {})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the tests that were left out."""
        for reason, names in self._not_run.items():
            terminalreporter.section(f"{len(names)} not run: {reason}")
            for name in names:
                terminalreporter.line(f"NOT RUN {name}")
