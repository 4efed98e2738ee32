"""What dvc.yaml says of the stages: which code, settings and files their results depend on.

That list is the only one: DVC runs a stage again by it, and whatever else asks what a result depends on reads
it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ducklane import git
from ducklane.settings import read_yaml

TRAIN = "train"
"""The stage whose result is the model."""


class Stage(NamedTuple):
    """What one stage depends on."""

    files: tuple[str, ...]
    """`deps` in dvc.yaml: code, versions of packages and outputs of other stages, below the project"""
    settings: tuple[str, ...]
    """`params` in dvc.yaml: keys and sections of params.yaml"""

    def depends_on(self, key: str) -> bool:
        """Whether a setting, given as `section.key`, changes its result."""
        return any(key == listed or key.startswith(f"{listed}.") for listed in self.settings)

    def chosen(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Of the content of params.yaml, what changes its result, by the names in `settings`."""
        return {listed: _at(content, listed.split(".")) for listed in self.settings}


def _at(content: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        content = content[key]
    return content


def read_stages(pipeline: Any) -> dict[str, Stage]:
    """The stages by name.

    Args:
        pipeline: content of dvc.yaml.
    """
    stages = (pipeline or {}).get("stages", {})
    return {
        name: Stage(tuple(stage.get("deps", ())), tuple(stage.get("params", ())))
        for name, stage in stages.items()
    }


def stages() -> dict[str, Stage]:
    """Those of this project, by name.

    Raises:
        SettingsError: dvc.yaml is missing or is not YAML.
    """
    return read_stages(read_yaml(git.project_folder() / git.PIPELINE))
