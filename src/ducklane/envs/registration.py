"""The environments' names, made known to gymnasium as soon as it is imported.

Most programs here never use it, and to import it takes them a fifth of a second. gymnasium 1 does not look
for the entry points of other packages.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def when_gymnasium_is_imported() -> None:
    """Register the environments: at once if gymnasium has been imported, otherwise when it will be."""
    if "gymnasium" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Gymnasium())


class _Gymnasium:
    """Finds gymnasium for Python's import, and runs `_register` after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)  # whoever looks for it need not import it
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    import gymnasium

    # given as text, so that nothing of the simulator is loaded before an environment is made
    gymnasium.register(
        "ducklane/LaneFollowing-v0",
        entry_point="ducklane.envs.single:LaneFollowing",
        vector_entry_point="ducklane.envs.vector:lane_following",
    )
    gymnasium.register(
        "ducklane/Duckietown-v0",
        entry_point="ducklane.envs.single:Duckietown",
        vector_entry_point="ducklane.envs.vector:duckietown",
    )
