"""How the packages below gym-duckietown, which AIDO's protocol uses too, are imported on today's Python.

They are zuper_typing 6.2.3 and what is built on it. tests/simulator/stock/test_importing.py fails if these
changes are no longer needed, or no longer fit.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, TypeVar

_LOGGERS = (
    *("commons", "typing", "ipce", "nodes"),
    *("duckietown_world", "geometry", "aido_schemas", "gym-duckietown"),
)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress what upstream prints and logs on import, and undo what it does to Python's logging."""
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    logging.disable()  # otherwise each message is formatted, which reads many source files: two seconds
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)
            logging.root.handlers[:] = handlers
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """While this is active, zuper_typing can be imported, on Python 3.12 too."""
    # it sets TypeVar.__repr__ on import, which Python refuses since 3.12
    with _own_setattr("zuper_typing.monkey_patching_typing", _set_but_on_type_variables):
        yield


def know_any() -> None:
    """Make what is imported of zuper_typing and zuper_ipce know `typing.Any`, a class since Python 3.11.

    Without it no AIDO node can describe its protocol to another.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith(("zuper_typing", "zuper_ipce")) and hasattr(module, "is_Any"):
            vars(module)["is_Any"] = is_any


def is_any(kind: object) -> bool:
    """Whether this is `typing.Any`."""
    return kind is typing.Any


@contextlib.contextmanager
def _own_setattr(name: str, setattr_: Callable[[Any, str, Any], None]) -> Iterator[None]:
    """While this is active, importing the module of this name replaces its `setattr` by this function."""

    class Finder:
        @staticmethod
        def find_spec(
            fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            spec = PathFinder.find_spec(fullname, path, target) if fullname == name else None
            if spec is None or spec.loader is None:
                return None
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                vars(module)["setattr"] = setattr_
                execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
            return spec

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)


def _set_but_on_type_variables(target: Any, name: str, value: Any) -> None:
    if target is not TypeVar:
        setattr(target, name, value)
