"""The stages in dvc.yaml: the code, settings and files that their results depend on.

This is the only such list: DVC decides by it when to run a stage again, and everything else that needs to
know what a result depends on reads it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ducklane.errors import UserError
from ducklane.repository import git
from ducklane.settings import read_yaml

TRAIN = "train"
"""The stage whose result is the model."""


class Stage(NamedTuple):
    """The dependencies and outputs of one stage."""

    files: tuple[str, ...]
    """`deps` in dvc.yaml: code, versions of packages and outputs of other stages, below the project"""
    settings: tuple[str, ...]
    """`params` in dvc.yaml: keys and sections of params.yaml"""
    outputs: tuple[str, ...]
    """`outs`, `metrics` and `plots` in dvc.yaml, below the project"""

    def depends_on(self, key: str) -> bool:
        """Whether a setting, given as `section.key`, changes its result."""
        return any(key == listed or key.startswith(f"{listed}.") for listed in self.settings)

    def chosen(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The part of params.yaml that changes its result, by the names in `settings`.

        Raises:
            UserError: one of these is not a setting.
        """
        return {listed: _at(content, listed) for listed in self.settings}


def _at(content: Any, listed: str) -> Any:
    for key in listed.split("."):
        if not isinstance(content, Mapping) or key not in content:
            raise UserError(f"{git.PIPELINE}: params: {listed} is not a setting; remove it from the list")
        content = content[key]
    return content


def read_stages(pipeline: Any) -> dict[str, Stage]:
    """The stages by name.

    Args:
        pipeline: content of dvc.yaml.
    """
    stages = (pipeline or {}).get("stages", {})
    return {name: _stage(content) for name, content in stages.items()}


def _stage(content: Mapping[str, Any]) -> Stage:
    outputs = [path for kind in ("outs", "metrics", "plots") for path in _paths(content.get(kind, ()))]
    # a mapping names settings of a file other than params.yaml
    settings = [listed for listed in content.get("params", ()) if isinstance(listed, str)]
    return Stage(tuple(_paths(content.get("deps", ()))), tuple(settings), tuple(outputs))


def _paths(listed: Iterable[Any]) -> Iterator[str]:
    """The paths of a list in which each item is a path, or a path with options for DVC."""
    for path in listed:
        yield from path if isinstance(path, dict) else (path,)


def sources(stages: Mapping[str, Stage], *names: str) -> list[str]:
    """The files that results depend on and no stage writes, sorted: code, versions, and the user's files.

    Args:
        stages: all of them.
        names: of the stages whose results are meant; all if none is given.
    """
    outputs = {path for stage in stages.values() for path in stage.outputs}
    return sorted({path for name in names or stages for path in stages[name].files} - outputs)


def stages() -> dict[str, Stage]:
    """The stages of this project, by name.

    Raises:
        SettingsError: dvc.yaml is missing or is not YAML.
    """
    return read_stages(read_yaml(git.project_folder() / git.PIPELINE))
