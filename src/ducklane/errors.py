"""Errors that the user can fix: one line per problem, a non-zero exit code, no traceback."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.util import find_spec
from typing import NoReturn

from ducklane.repository import copies

NEW_OBJECTS = 100_000
"""New objects after which Python collects garbage.

With its default of 700 it would spend seconds on that while packages are loaded, which leave no garbage.
"""


EXTRAS = {
    "stock": frozenset(
        {
            *("aido_schemas", "contracts", "duckietown_world", "geometry"),
            *("gym_duckietown", "pyglet", "zuper_commons"),
        }
    ),
    "train": frozenset(
        {
            *("dvc", "imageio", "imageio_ffmpeg", "jinja2", "markupsafe", "matplotlib"),
            *("mlflow", "onnx", "onnxruntime", "onnxscript", "packaging", "psutil", "ray"),
            *("rich", "scipy", "sqlalchemy", "threadpoolctl", "torch", "typer"),
        }
    ),
    "sb3": frozenset({"stable_baselines3"}),
}
"""Extra of pyproject.toml -> the packages that are imported only where it is installed."""


class UserError(Exception):
    """Something the user can fix. Each of `problems` is one line with the problem and the cure."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class PolicyError(UserError):
    """A policy cannot be loaded."""


class Interrupted(UserError):
    """Work was stopped by a signal before it was finished."""

    exit_code = 130


def reason(error: BaseException) -> str:
    """An error's message in one line: its first line, or its type if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def missing_extra(error: ImportError) -> UserError | None:
    """The error to raise instead, if a package of one of the `EXTRAS` is not installed."""
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or find_spec(package or "ducklane"):
        return None
    for extra, packages in EXTRAS.items():
        if package in packages:
            return UserError(f"ducklane: this needs {package}; type pip install 'ducklane[{extra}]'")
    return None


def exits_cleanly(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a program's main: a UserError becomes its lines on stderr and its exit code.

    In a copy of the project that DVC made, problems with the copy are reported in the same way.

    It also keeps Python from collecting garbage among the objects of the packages, which takes seconds.
    """

    @wraps(main)
    def guarded() -> None:
        gc.set_threshold(NEW_OBJECTS)
        try:
            if problem := copies.problem():
                raise UserError(problem)
            main()
        except UserError as error:
            _exit(error)
        except ImportError as error:
            if missing_modules := copies.modules_left_behind():
                _exit(UserError(*(f"{error}: {problem}" for problem in missing_modules)))
            if missing := missing_extra(error):
                _exit(missing)
            raise
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            gc.freeze()  # the process ends, and its memory is freed with it: no last collection

    return guarded


def _exit(error: UserError) -> NoReturn:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    sys.exit(error.exit_code)
