"""What this machine has for ducklane, what is missing, and the cure."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from ducklane.machine import this_machine

PACKAGES = (
    "duckietown-gym-daffy",
    "dvc",
    "gymnasium",
    "mlflow",
    "numpy",
    "onnxruntime",
    "pyglet",
    "ray",
    "torch",
)
"""Packages whose versions are shown; all that constraints.txt pins are compared."""

MEMORY_NEEDED_GB = 4
DISK_NEEDED_GB = 2

GL_PACKAGES = "libegl1 libgl1 libglu1-mesa libgl1-mesa-dri libopengl0"

SHOW_GL = """
import pyglet
pyglet.options["headless"] = True
import pyglet.window
window = pyglet.window.Window(width=1, height=1, visible=False)
print(window.context.get_info().get_renderer(), window.context.get_info().get_version(), sep=", OpenGL ")
"""


class Check(NamedTuple):
    """One finding."""

    name: str
    found: str
    cure: str = ""
    """what to do; empty where all is well"""


def run() -> bool:
    """Print what was found; return whether nothing is missing."""
    checks = [check for find in FINDERS for check in find()]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark = "[red]missing[/]" if check.cure else "[green]ok[/]"
        table.add_row(mark, check.name, check.found)
        if check.cure:
            table.add_row("", "", f"-> {check.cure}")
    Console().print(table)
    return not any(check.cure for check in checks)


def _python() -> Iterator[Check]:
    wrong = "" if sys.version_info[:2] == (3, 11) else "make .venv with Python 3.11: rm -r .venv; make setup"
    yield Check("Python", f"{platform.python_version()} on {platform.platform(terse=True)}", wrong)


def _machine() -> Iterator[Check]:
    import psutil

    machine = this_machine()
    yield Check("CPUs", str(machine.cpus))
    gb = psutil.virtual_memory().total / 2**30
    cure = "" if gb >= MEMORY_NEEDED_GB else f"use a machine with at least {MEMORY_NEEDED_GB} GB of memory"
    yield Check("memory", f"{gb:.1f} GB", cure)
    yield Check("GPUs", str(machine.gpus) if machine.gpus else "none; training runs on the CPU")
    gb = shutil.disk_usage(".").free / 2**30
    cure = "" if gb >= DISK_NEEDED_GB else f"free some space: at least {DISK_NEEDED_GB} GB are needed"
    yield Check("disk", f"{gb:.0f} GB free", cure)


def _graphics() -> Iterator[Check]:
    # in a process of its own, so that a crashing driver is a finding like any other
    done = subprocess.run([sys.executable, "-c", SHOW_GL], capture_output=True, text=True)
    if done.returncode == 0:
        yield Check("graphics", done.stdout.strip())
        return
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    yield Check("graphics", f"no OpenGL without a display: {reason}", f"apt-get install {GL_PACKAGES}")


def _programs() -> Iterator[Check]:
    for program in ("git", "make"):
        path = shutil.which(program)
        yield Check(program, path or "not found", "" if path else f"apt-get install {program}")
    yield _ffmpeg()


def _ffmpeg() -> Check:
    import imageio_ffmpeg

    try:
        return Check("ffmpeg", str(imageio_ffmpeg.get_ffmpeg_version()))
    except RuntimeError as error:
        return Check("ffmpeg", str(error).splitlines()[0], "make setup")


def _packages() -> Iterator[Check]:
    wrong = [
        f"{name} {have or 'not installed'} instead of {pinned}"
        for name, pinned in _pinned()
        if (have := _installed(name)) != pinned
    ]
    for name in PACKAGES:
        yield Check(name, _installed(name) or "not installed", "" if _installed(name) else "make setup")
    if wrong:
        yield Check("versions", "; ".join(wrong), "rm -r .venv; make setup")
    else:
        yield Check("versions", "all as constraints.txt pins them")


def _pinned() -> list[tuple[str, str]]:
    constraints = Path("constraints.txt")
    if not constraints.exists():
        return []
    return re.findall(r"^([\w.\-]+)==([\w.+!\-]+)", constraints.read_text(), flags=re.MULTILINE)


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def _store() -> Iterator[Check]:
    from ducklane import tracking
    from ducklane.errors import UserError

    if "://" in tracking.store_uri() and not tracking.store_uri().startswith("sqlite:"):
        yield Check("MLflow store", tracking.store_uri())
        return
    path = Path(tracking.store_uri().removeprefix("sqlite:///"))
    if not path.exists():
        yield Check("MLflow store", f"{path.name} is made by the first run")
        return
    try:
        runs = tracking.count_runs()
    except UserError as error:
        yield Check("MLflow store", str(error), f"move {path} away, or restore it from a backup")
    else:
        yield Check("MLflow store", f"{_short(path)}, {runs} runs")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


FINDERS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _machine,
    _graphics,
    _programs,
    _packages,
    _store,
)

if __name__ == "__main__":
    sys.exit(0 if run() else 1)
