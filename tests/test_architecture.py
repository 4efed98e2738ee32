"""The rooms of the package: drawn as they are, without circles, and small enough to read."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "ducklane"
PAGE = REPOSITORY / "docs" / "architecture.md"

LINES_OF_A_FILE, LINES_OF_A_FUNCTION, FILES_OF_A_ROOM = 400, 60, 10

ONLY_IN = {
    "ray": ("training/",),
    "stable_baselines3": ("envs/stable_baselines.py",),
    "mlflow": ("tracking/",),
    "gym_duckietown": ("simulator/stock/",),
    "duckietown_world": ("simulator/stock/", "evaluation/scores/duckietown_world.py"),
}
"""Package -> where it may be imported."""

Graph = dict[str, set[str]]


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(PACKAGE.rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module(name: str) -> tuple[str, ...]:
    """The parts of a module's path below the package, of the longest one that exists."""
    parts = name.split(".")[1:]
    for end in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:end])
        if path.is_dir() or path.with_suffix(".py").is_file():
            return tuple(parts[:end])
    return ()


@cache
def uses() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which module uses which, as the parts of their paths below the package."""
    return [
        (path.relative_to(PACKAGE).with_suffix("").parts, used)
        for path, tree in trees()
        for name in imported(tree)
        if name.startswith("ducklane.") and (used := module(name))
    ]


def rooms(within: tuple[str, ...] = ()) -> Graph:
    """Rooms and files right below `within`, and those that each uses."""
    graph: Graph = {}
    for user, used in uses():
        inside = user[: len(within)] == within == used[: len(within)]
        if not inside or len(user) <= len(within) or len(used) <= len(within):
            continue
        one, other = (part[len(within)] for part in (user, used))
        if one not in (other, "__init__"):
            graph.setdefault(one, set()).add(other)
            graph.setdefault(other, set())
    return graph


def reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        new = graph.get(left.pop(), set()) - seen
        seen |= new
        left += new
    return seen


def drawn(heading: str) -> Graph:
    """The arrows of the drawing below a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    graph: Graph = {}
    for user, used in re.findall(r'^    (\w+)(?:\["[^"]*"\])? --> (\w+)', section, re.MULTILINE):
        graph.setdefault(user, set()).add(used)
        graph.setdefault(used, set())
    return graph


@pytest.mark.parametrize(("heading", "within"), [("The rooms", ()), ("Inside the simulator", ("simulator",))])
def test_the_drawing_matches_what_the_rooms_use(heading: str, within: tuple[str, ...]) -> None:
    drawing, graph = drawn(heading), rooms(within)
    drawing.pop("pipeline", None)  # above the package
    assert drawing.keys() == graph.keys()
    for room in graph:
        assert drawing[room] <= graph[room], f"{room} does not use all that its arrows lead to"
        assert graph[room] <= reached(drawing, room), f"no arrows lead from {room} to all that it uses"


def test_no_imports_form_a_circle() -> None:
    folders = [(), *(path.relative_to(PACKAGE).parts for path in PACKAGE.rglob("*") if path.is_dir())]
    for within in folders:
        list(TopologicalSorter(rooms(within)).static_order())  # raises a CycleError


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_used_only_in_its_room(package: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path, tree in trees()
        if any(name == package or name.startswith(f"{package}.") for name in imported(tree))
    }
    assert users
    assert not [user for user in users if not user.startswith(ONLY_IN[package])]


def test_files_functions_and_rooms_are_small_enough_to_read() -> None:
    long = [path for path, _ in trees() if len(path.read_text().splitlines()) > LINES_OF_A_FILE]
    assert not long
    functions = {
        f"{path.name}: {node.name}": node.end_lineno - node.lineno + 1
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name for name, lines in functions.items() if lines > LINES_OF_A_FUNCTION} == set()
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path, _ in trees()}}
    assert {folder for folder, files in counts.items() if files > FILES_OF_A_ROOM} == set()


CODE = ("src", "pipeline", "benchmarks", "tests", "scripts")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/simulators.md", "docs/training.md")


@pytest.mark.parametrize("page", PAGES)
def test_code_that_a_page_names_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    text = re.sub(r"^\| `tests/.*$", "", text, flags=re.MULTILINE)  # of an earlier run: make suite-times
    names = {name for name in re.findall(r"`([\w/.]+\.py|src/[\w/]+/)`", text) if "mine" not in name}
    there = [
        path for folder in ("src", "pipeline", "benchmarks", "tests", "scripts") for path in files(folder)
    ]
    assert names
    assert not [name for name in names if not any(f"/{path}".endswith(f"/{name}") for path in there)]


def files(folder: str) -> Iterator[str]:
    """Files of code in a folder, and folders, which end with a slash, below the repository."""
    for path in (REPOSITORY / folder).rglob("*"):
        if path.suffix == ".py" or path.is_dir():
            yield f"{path.relative_to(REPOSITORY)}{'/' if path.is_dir() else ''}"
