"""On macOS and Windows every program says in one line that it needs Linux."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("darwin", "this is macOS; use a machine, a virtual machine or a container with Linux"),
        ("win32", "this is Windows; use WSL2"),
    ],
)
@pytest.mark.parametrize(
    "program",
    [
        *(
            f"run_path('pipeline/{stage}.py'"
            for stage in ("inputs", "train", "baselines", "evaluate", "export", "report")
        ),
        *(f"run_module('ducklane{module}'" for module in ("", ".doctor", ".tracking")),
    ],
)
def test_other_systems_are_refused_in_one_line(program: str, platform: str, said: str) -> None:
    # since Python 3.12 shutil takes from Windows, if it is imported there, what this system has not
    faked = f"import runpy, shutil, sys; sys.platform = {platform!r}; runpy.{program}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", faked], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ducklane: runs on Linux only, and {said}\n"
