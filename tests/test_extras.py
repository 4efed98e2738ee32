"""A command whose extra is not installed says in one line which one to install."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ducklane.errors import EXTRAS

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = REPOSITORY / "src" / "ducklane"

BASE = frozenset(
    "PIL annotated_types cv2 ducklane gymnasium numba numpy pydantic pydantic_core ruamel".split()  # noqa: SIM905
)
"""Packages that the dependencies of every installation bring."""

OPTIONAL = frozenset({"triton"})
"""Imported where it happens to be installed."""


def imported() -> set[str]:
    """All packages that the sources import."""
    names = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names


def test_every_package_belongs_to_the_base_or_to_an_extra() -> None:
    assert imported() - BASE - OPTIONAL <= set().union(*EXTRAS.values())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert EXTRAS.keys() < project["optional-dependencies"].keys()
    base = {Requirement(line).name for line in project["dependencies"]}
    assert base == {"gymnasium", "numba", "numpy", "opencv-python", "pillow", "pydantic", "ruamel.yaml"}


STOCK = (
    "from ducklane.simulator.stock.simulator import StockSimulator\n"
    "    from ducklane.settings import load\n"
    "    StockSimulator(load().simulator)"
)


@pytest.mark.parametrize(
    ("package", "statements", "extra"),
    [
        ("mlflow", "import ducklane.tracking.runs", "train"),
        ("gym_duckietown", STOCK, "stock"),
        ("stable_baselines3", "import ducklane.envs.stable_baselines", "sb3"),
    ],
    ids=["train", "stock", "sb3"],
)
def test_a_missing_extra_is_named_in_one_line(package: str, statements: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from ducklane.errors import exits_cleanly\n"
        "@exits_cleanly\n"
        f"def main():\n    {statements}\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ducklane: this needs {package}; type pip install 'ducklane[{extra}]'\n"


def test_the_command_itself_names_its_extra() -> None:
    program = "import sys; sys.modules['typer'] = None; from ducklane.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ducklane: this needs typer; type pip install 'ducklane[train]'\n"
