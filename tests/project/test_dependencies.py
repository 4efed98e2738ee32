"""dvc.yaml, which defines what a result depends on, lists neither too much nor too little."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from reference_pages import comments

from ducklane.errors import UserError
from ducklane.project.recipe import flatten
from ducklane.project.stages import Stage, read_stages
from ducklane.settings import Settings, read_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "ducklane"
VERSIONS = "constraints.txt"
NO_RESULT = "changes no result"
"""In the comments of params.yaml."""

STAGES = read_stages(read_yaml(REPOSITORY / "dvc.yaml"))


@pytest.mark.parametrize("name", STAGES)
def test_dvc_lists_exactly_the_code_that_a_stage_loads(name: str) -> None:
    listed = {path for path in STAGES[name].files if path.endswith(".py")}
    loaded = {str(path) for path in closure(Path("pipeline", f"{name}.py"))}
    lines = "\n".join(f"      - {path}" for path in sorted(loaded))
    assert listed == loaded, f"dvc.yaml: of the stage {name} the code is\n{lines}"


def closure(program: Path) -> set[Path]:
    """The program and all modules that it may load, also those that functions import, below the repository.

    What only type checkers import does not count.
    """
    loaded: set[Path] = set()
    left = [program]
    while left:
        path = left.pop()
        if path not in loaded:
            loaded.add(path)
            left += imported(path)
    return loaded


def imported(path: Path) -> Iterator[Path]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    for statement in statements(tree):
        if isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{path}:{statement.lineno}: name the module in full"
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        elif isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            continue
        for name in names:
            yield from files_of(name.split("."))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def files_of(name: list[str]) -> Iterator[Path]:
    """Of a module, or of the module that an attribute is in, with the packages around it."""
    for length in range(1, len(name) + 1) if name[0] == PACKAGE else ():
        module = Path("src", *name[:length])
        for path in (module / "__init__.py", module.with_suffix(".py")):
            if (REPOSITORY / path).is_file():
                yield path


@pytest.mark.parametrize("name", STAGES)
def test_every_result_depends_on_the_package_versions(name: str) -> None:
    assert VERSIONS in STAGES[name].files


def test_every_setting_affects_a_stage_or_is_documented_to_change_no_result() -> None:
    params = REPOSITORY / "params.yaml"
    content: Any = read_yaml(params)
    keys = set(flatten(content))
    counting = {key for key in keys if any(stage.depends_on(key) for stage in STAGES.values())}
    said = {key for key, comment in comments(params.read_text()) if NO_RESULT in comment}
    assert keys - counting == said
    assert said >= {"ray.num_cpus", "ray.object_store_memory", "simulator.threads", "mlflow.experiment_name"}


@pytest.mark.parametrize("name", STAGES)
def test_every_listed_setting_exists(name: str, settings: Settings) -> None:
    chosen: Mapping[str, Any] = STAGES[name].chosen(settings.as_dict())
    assert chosen.keys() == set(STAGES[name].settings)


def test_a_listed_setting_that_does_not_exist_is_named() -> None:
    stages = read_stages({"stages": {"train": {"params": ["rllib.lr", "rllib.rate", {"mine.yaml": ["a"]}]}}})
    with pytest.raises(UserError, match=r"dvc\.yaml: params: rllib\.rate is not a setting; remove it"):
        stages["train"].chosen({"rllib": {"lr": 0.1}})


def test_a_section_stands_for_all_its_keys() -> None:
    stage = Stage(files=(), settings=("reward", "tune.stop"), outputs=())
    assert stage.depends_on("reward.type")
    assert stage.depends_on("tune.stop.timesteps_total")
    assert not stage.depends_on("rewards.type")
    assert not stage.depends_on("tune.num_samples")
    assert stage.chosen({"reward": {"type": "stock"}, "tune": {"stop": 1, "asha": 2}}) == {
        "reward": {"type": "stock"},
        "tune.stop": 1,
    }
