"""What scripts/setup.sh decides on machines made of stubs: which Python, what to install, what to print."""

from __future__ import annotations

import platform
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = REPOSITORY / "scripts"

TOOLS = (
    *("bash", "cat", "dirname", "env", "grep", "head", "id", "ln", "mkdir", "mv", "readlink", "rm"),
    *("sha256sum", "sort", "tail", "uname"),
)
"""What scripts may call besides the stubs of a test."""

PYTHON = """
case "$*" in
    *check_python.py) echo "$0"; exit {status} ;;
    "-m venv .venv") mkdir -p .venv/bin; ln -sf "$0" .venv/bin/python; echo made >>made ;;
    *" pip install "*) echo "$*" >>installed ;;
    *missing_libraries.py) cat missing 2>/dev/null ;;
    *ensurepip*) exit {status} ;;
    *version_info*) echo 3.13 ;;
esac
exit 0
"""
"""A Python that only records how setup calls it."""


class Machine:
    """A machine of stubs in a folder, with a checkout of the project."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.project = folder / "ducklane"
        shutil.copytree(SCRIPTS, self.project / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "constraints.txt"):
            (self.project / name).write_text("")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))

    def add(self, path: str, script: str) -> str:
        """Add a program; its path."""
        program = self.root / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return str(program)

    def add_python(self, path: str) -> str:
        """Add a Python that ducklane can be installed with."""
        return self.add(path, PYTHON.format(status=0))

    def add_python_without_venv(self, path: str) -> str:
        """Add a Python that lacks ensurepip, like Debian's."""
        return self.add(path, PYTHON.format(status=2))

    def add_old_python(self, path: str) -> str:
        """Add a Python that is too old."""
        return self.add(path, "echo is Python 3.10.12; exit 1")

    def run(self, script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the project's scripts there."""
        return subprocess.run(
            [str(self.bin / "bash"), self.project / "scripts" / script, *arguments],
            env={"PATH": f"{self.bin}:{self.root}/usr/bin", "HOME": str(self.root / "home")} | environment,
            capture_output=True,
            text=True,
        )

    def find_python(self, **environment: str) -> str:
        """The Python that setup would use, or the line that says why there is none."""
        done = self.run("find_python.sh", self.root, **environment)
        assert (done.returncode, bool(done.stdout)) in [(0, True), (1, False)]
        (line,) = (done.stdout + done.stderr).splitlines()
        return line

    def set_up(self, *words: str, **environment: str) -> str:
        """The output of setup, which succeeds."""
        done = self.run("setup.sh", *words, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def noted(self, name: str) -> list[str]:
        """What was recorded in the project's folder under this name."""
        path = self.project / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_machines_own_python_comes_first(machine: Machine) -> None:
    own = machine.add_python("bin/python3")
    machine.add_python("bin/python3.13")
    assert machine.find_python() == own


@pytest.mark.parametrize(
    ("places", "newest"),
    [
        (["bin/python3.12", "bin/python3.11"], "bin/python3.12"),
        (["bin/python3.11", "usr/local/bin/python3.13"], "usr/local/bin/python3.13"),
        (["usr/bin/python3.11", "home/.pyenv/versions/3.12.4/bin/python3.12"], None),
        ([f"home/.pyenv/versions/3.12.{n}/bin/python3.12" for n in (9, 10)], None),
        (["usr/bin/python3.11", "home/.local/share/uv/python/cpython-3.13.1-linux/bin/python3.13"], None),
    ],
)
def test_the_newest_python_is_the_fallback(machine: Machine, places: list[str], newest: str | None) -> None:
    machine.add_old_python("bin/python3")
    paths = {place: machine.add_python(place) for place in places}
    assert machine.find_python() == paths[newest or places[-1]]


def test_the_variable_python_chooses_the_python(machine: Machine) -> None:
    machine.add_python("bin/python3")
    named = machine.add_python("home/.pyenv/versions/3.12.4/bin/python3.12")
    assert machine.find_python(PYTHON=named) == named
    assert machine.find_python(PYTHON="python3.12") == named  # that no shell finds


@pytest.mark.parametrize(("name", "flaw"), [("python3.10", "is Python 3.10.12"), ("python4", "is not there")])
def test_an_unusable_python_is_refused_in_one_line(machine: Machine, name: str, flaw: str) -> None:
    machine.add_python("bin/python3")
    machine.add_old_python("bin/python3.10")
    assert (
        machine.find_python(PYTHON=name) == f"setup: PYTHON={name} {flaw}; name a Python 3.11, 3.12 or 3.13"
    )


@pytest.mark.parametrize(
    ("distribution", "cure"),
    [
        ('ID=debian\nVERSION_ID="12"', "apt-get install python3-venv"),
        ('ID=debian\nVERSION_ID="13"', "apt-get install python3-venv"),
        (
            'ID=ubuntu\nVERSION_ID="22.04"',
            "add-apt-repository ppa:deadsnakes/ppa && apt-get install python3.13-venv",
        ),
        ('ID=ubuntu\nVERSION_ID="24.04"', "apt-get install python3-venv"),
        ("ID=fedora\nVERSION_ID=44", "dnf install python3.13"),
        ('ID="rocky"\nVERSION_ID="9.6"', "dnf install python3.12"),
        ("ID=arch", "uv python install 3.13"),
        (None, "uv python install 3.13"),
    ],
)
def test_without_a_python_the_fix_is_named(machine: Machine, distribution: str | None, cure: str) -> None:
    machine.add_old_python("bin/python3")
    if distribution:
        (machine.root / "etc").mkdir()
        (machine.root / "etc" / "os-release").write_text(distribution)
    line = machine.find_python()
    assert line.startswith("setup: needs Python 3.11, 3.12 or 3.13, but python3 is Python 3.10.12;")
    assert cure in line


def test_debians_own_python_is_completed_only_where_no_other_is_complete(machine: Machine) -> None:
    own = machine.add_python_without_venv("usr/bin/python3.13")
    assert machine.find_python() == own
    whole = machine.add_python("usr/local/bin/python3.11")
    assert machine.find_python() == whole


def test_the_pythons_are_those_of_pyproject(monkeypatch: pytest.MonkeyPatch) -> None:
    check = runpy.run_path(str(SCRIPTS / "check_python.py"))
    required = SpecifierSet(
        tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    for minor in range(9, 16):
        monkeypatch.setattr(sys, "version_info", FakeVersion((3, minor, 1)))
        monkeypatch.setattr(platform, "python_version", lambda minor=minor: f"3.{minor}.1")
        assert check["flaw"]() == ("" if f"3.{minor}.1" in required else f"is Python 3.{minor}.1")


class FakeVersion(tuple[int, ...]):
    releaselevel = "final"


def test_inside_a_virtual_environment_its_base_python_is_used() -> None:
    checked = subprocess.run([sys.executable, SCRIPTS / "check_python.py"], capture_output=True, text=True)
    assert checked.returncode == 0
    assert Path(checked.stdout.strip()).resolve() == Path(sys.executable).resolve()
    assert not Path(checked.stdout.strip()).is_relative_to(sys.prefix)


def test_setup_runs_once(machine: Machine) -> None:
    machine.add_python("bin/python3")
    assert "making .venv" in machine.set_up()
    assert machine.set_up() == ""
    assert machine.noted("made") == ["made"]
    assert any("--constraint constraints.txt" in line for line in machine.noted("installed"))


def test_another_python_gets_another_venv_which_is_kept(machine: Machine) -> None:
    machine.add_python("bin/python3")
    other = machine.add_python("bin/python3.12")
    machine.set_up()
    assert f"making .venv with {other}" in machine.set_up(PYTHON="python3.12")
    assert machine.set_up(PYTHON="python3.12") == machine.set_up(PYTHON=other) == machine.set_up() == ""


def test_an_interrupted_or_moved_setup_is_redone(machine: Machine) -> None:
    machine.add_python("bin/python3")
    machine.set_up()
    (machine.project / ".venv" / ".ready").unlink()
    assert "making .venv" in machine.set_up()
    machine.project = machine.project.rename(machine.root / "moved")
    assert "making .venv" in machine.set_up()


def with_apt(machine: Machine, status: int = 0) -> Path:
    """Give the machine apt-get and sudo; the file in which apt-get records what it was to install."""
    asked = machine.root / "asked"
    note = f'echo "${{*##*--no-install-recommends }}" >>{asked}; exit {status}'
    machine.add("bin/apt-get", f'case "$*" in *update) ;; *) {note} ;; esac')
    machine.add("bin/sudo", '"$@"')
    return asked


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.add_python("bin/python3")
    machine.add("bin/chromium", "")
    machine.add("bin/chromedriver", "")
    (machine.project / "missing").write_text("libegl1 libgl1")
    asked = with_apt(machine)
    machine.set_up("tests")
    assert asked.read_text().splitlines()[0] == "libegl1 libgl1"
    assert "chromium" not in asked.read_text()


def test_without_test_programs_setup_continues_but_not_in_ci(machine: Machine) -> None:
    machine.add_python("bin/python3")
    machine.add("bin/chromium", "exit 1")  # Ubuntu's says how to install it
    said = machine.set_up("tests")
    assert "this system lacks what Debian calls: chromium chromium-driver" in said
    assert "the tests that need them will not be run" in said
    with_apt(machine, status=100)
    assert "or run as root: apt-get install chromium chromium-driver" in machine.set_up("tests")
    shutil.rmtree(machine.project / ".venv")
    for _ in ("made anew", "made before"):
        done = machine.run("setup.sh", "tests", CI="true")
        assert done.returncode == 1
        assert done.stderr.endswith("setup: CI=true asks for all tests, and for all that they use\n")


def test_without_root_the_command_is_named(machine: Machine) -> None:
    machine.add_python("bin/python3")
    with_apt(machine)
    (machine.bin / "sudo").unlink()
    machine.add("bin/id", "echo 1000")
    (machine.project / "missing").write_text("libegl1")
    done = machine.run("setup.sh")
    assert done.returncode == 1
    assert done.stderr == "setup: missing system packages; run as root: apt-get install libegl1\n"


def test_other_systems_are_refused_in_one_line(machine: Machine) -> None:
    machine.add("bin/uname", "echo Darwin")
    done = machine.run("setup.sh")
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ducklane needs Linux, and this is Darwin")
    assert done.stderr.count("\n") == 1
