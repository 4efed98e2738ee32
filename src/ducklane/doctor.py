"""`ducklane doctor`: what this machine has for ducklane, what is missing, and the cure."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ducklane.errors import UserError, reason
from ducklane.machine import folders
from ducklane.machine.gpus import Gpus
from ducklane.machine.hardware import this_machine
from ducklane.repository import copies, git

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

GL_PACKAGES = (
    "libegl1 libgl1 libglu1-mesa libopengl0 libglib2.0-0 libfontconfig1 libfreetype6 libgl1-mesa-dri"
)
"""What scripts/missing_libraries.py looks for."""

EGL_VARIABLES = ("__EGL_VENDOR_LIBRARY_DIRS", "__EGL_VENDOR_LIBRARY_FILENAMES")
"""Variables that point EGL to drivers other than the system's."""

INSTALL = f"{sys.executable} -m pip install -c constraints.txt"

SHOW_GL = """
import pyglet
pyglet.options["headless"] = True
import cv2, pyglet.text, pyglet.window
window = pyglet.window.Window(width=1, height=1, visible=False)
pyglet.text.Label("duck")  # as the simulator does: this loads freetype and fontconfig
print(window.context.get_info().get_renderer(), window.context.get_info().get_version(), sep=", OpenGL ")
"""


class Check(NamedTuple):
    """One finding: what was checked, what was found, and the cure if something is missing."""

    name: str
    found: str
    cure: str = ""
    """what to do; empty if all is well"""


def run() -> bool:
    """Print the findings; return whether nothing is missing."""
    checks = [check for find in FINDERS for check in find()]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark = "[red]missing[/]" if check.cure else "[green]ok[/]"
        table.add_row(mark, check.name, escape(check.found))
        if check.cure:
            table.add_row("", "", escape(f"-> {check.cure}"))
    Console().print(table)
    return not any(check.cure for check in checks)


def _python() -> Iterator[Check]:
    suitable = SpecifierSet(metadata("ducklane")["Requires-Python"])
    wrong = "" if platform.python_version() in suitable else f"make .venv with Python {suitable}: make setup"
    yield Check("Python", f"{platform.python_version()} on {platform.platform(terse=True)}", wrong)


def _machine() -> Iterator[Check]:
    import psutil

    machine = this_machine()
    yield Check("CPUs", str(machine.cpus))
    gb = psutil.virtual_memory().total / 2**30
    cure = "" if gb >= MEMORY_NEEDED_GB else f"use a machine with at least {MEMORY_NEEDED_GB} GB of memory"
    yield Check("memory", f"{gb:.1f} GB", cure)
    yield Check("GPUs", _gpus(machine.gpu_search))
    gb = shutil.disk_usage(".").free / 2**30
    cure = "" if gb >= DISK_NEEDED_GB else f"free some space: at least {DISK_NEEDED_GB} GB are needed"
    yield Check("disk", f"{gb:.0f} GB free", cure)


def _gpus(search: Gpus) -> str:
    # having none is fine: training runs on the CPU by default
    if not search.count:
        return f"none that torch can use: {search.problem}; training runs on the CPU"
    return f"{search.count} that torch can use{search.problem and f'; the next one fails: {search.problem}'}"


def _graphics() -> Iterator[Check]:
    # in a separate process, so that a crashing driver is a finding like any other
    try:
        process = subprocess.run([sys.executable, "-c", SHOW_GL], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        yield Check("graphics", "OpenGL does not answer", _graphics_cure())
        return
    if process.returncode == 0:
        yield Check("graphics", process.stdout.strip())
        return
    last_line = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    yield Check("graphics", f"no OpenGL without a display: {last_line}", _graphics_cure())


def _graphics_cure() -> str:
    variables = [name for name in EGL_VARIABLES if name in os.environ]
    return f"unset {' '.join(variables)}" if variables else _apt_get(f"--reinstall {GL_PACKAGES}")


def _apt_get(packages: str) -> str:
    return f"{'' if os.getuid() == 0 else 'sudo '}apt-get install {packages}"


def _programs() -> Iterator[Check]:
    path = shutil.which("make")
    yield Check("make", path or "not found", "" if path else _apt_get("make"))
    yield _ffmpeg()


def _ffmpeg() -> Check:
    try:
        import imageio_ffmpeg

        return Check("ffmpeg", str(imageio_ffmpeg.get_ffmpeg_version()))
    except (ImportError, RuntimeError, OSError) as error:
        return Check("ffmpeg", reason(error), f"{INSTALL} --force-reinstall --no-deps imageio-ffmpeg")


def _git() -> Iterator[Check]:
    folder = git.project_folder()
    if problems := git.problems(folder):
        yield from (Check("git", *problem) for problem in problems)
        return
    place = git.place()
    yield Check(
        "git", f"commit {git.ask('rev-parse', '--short', 'HEAD')}{place and f', in its folder {place}'}"
    )


def _folders() -> Iterator[Check]:
    usual, cache = next(folders.cache_folders(), None), folders.cache_folder("")
    note = "" if cache == usual else f"; {usual} cannot be written"
    yield Check("cache", f"{_short(cache)}{note}")
    try:
        ray = folders.ray_folder()
    except UserError as error:
        yield _split("Ray's files", str(error))
    else:
        yield Check("Ray's files", f"{ray.path}{ray.note and f'; {ray.note}'}")


def _settings() -> Iterator[Check]:
    from ducklane.project.inputs import check_older_policy
    from ducklane.settings import PARAMS_FILE, load
    from ducklane.simulator.town.maps import check_maps, map_inputs

    if not PARAMS_FILE.exists():
        return
    try:
        settings = load()
        check_maps(settings)
        check_older_policy(settings)
    except UserError as error:
        prefix = f"{PARAMS_FILE}: "
        yield from (_split("params.yaml", problem.removeprefix(prefix)) for problem in error.problems)
        return
    yield _shared_memory(folders.shared_memory_bytes(), settings.ray.object_store_memory)
    maps = {*settings.simulator.map_names, settings.evaluate.map_name}
    inputs = [path for name in sorted(maps) for path in map_inputs(name)]
    if settings.rllib.restore_from:
        inputs.append(Path(settings.rllib.restore_from))
    missing = [problem for path in inputs if (problem := copies.lacking(git.project_folder(), path))]
    for problem in missing or ["all settings are valid together; "]:
        yield _split("params.yaml", problem)


def _split(name: str, problem: str) -> Check:
    """A line of a UserError, in which the cure follows the last semicolon."""
    found, _, cure = problem.rpartition("; ")
    return Check(name, found, cure)


def _shared_memory(free_bytes: int, store_bytes: int) -> Check:
    found = f"{free_bytes / 2**20:.0f} MB free of {folders.SHARED_MEMORY}"
    if free_bytes >= store_bytes:
        return Check("shared memory", found)
    found = f"{found}, ray.object_store_memory is {store_bytes / 2**20:.0f} MB"
    if store_bytes > folders.SLOW_STORE_BYTES:
        return Check("shared memory", found, "lower ray.object_store_memory, or docker run --shm-size")
    return Check("shared memory", f"{found}; Ray uses the disk instead; docker run --shm-size=1g is faster")


def _packages() -> Iterator[Check]:
    wrong = [
        f"{name} {installed or 'not installed'} instead of {pinned}"
        for name, pinned in _pinned()
        if (installed := _installed(name)) != pinned
    ]
    for name in PACKAGES:
        yield Check(
            name, _installed(name) or "not installed", "" if _installed(name) else f"{INSTALL} {name}"
        )
    if wrong:
        # not `make setup`, which does nothing once it has succeeded
        yield Check("versions", "; ".join(wrong), f"{INSTALL} -e '.[dev]'")
    else:
        yield Check("versions", "all as pinned in constraints.txt")


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
    from ducklane.tracking.store.address import TrackingError, address
    from ducklane.tracking.store.contact import knock

    try:
        place = address()
        runs = knock(place)
    except TrackingError as error:
        yield Check("MLflow store", error.what.removeprefix("MLflow store "), error.cure)
        return
    shown = _short(place.file) if place.file else place.shown
    if place.file and not place.file.exists():
        yield Check("MLflow store", f"{shown} will be created by the first run")
    else:
        yield Check("MLflow store", shown if runs is None else f"{shown}, {runs} runs")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


FINDERS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _machine,
    _graphics,
    _programs,
    _git,
    _folders,
    _packages,
    _settings,
    _store,
)

if __name__ == "__main__":
    sys.exit(0 if run() else 1)
