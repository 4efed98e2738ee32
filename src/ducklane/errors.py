"""Errors that are the user's to mend: one line a problem, a non-zero exit, no traceback."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import NoReturn

from ducklane.repository import copies

NEW_OBJECTS = 100_000
"""After so many Python looks for garbage. After 700, its own number, it would look for seconds while packages
are loaded, which leave none."""


class UserError(Exception):
    """Something the user can put right. Each of `problems` is one line that names it and the cure."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class Interrupted(UserError):
    """Work was stopped, by a signal, before it was done."""

    exit_code = 130


def reason(error: BaseException) -> str:
    """What an error says, in one line: its first, or its type where it says nothing."""
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


def exits_cleanly(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a program's main: a UserError becomes its lines on stderr and its exit code.

    In a copy of the project that DVC made, what is wrong with the copy is such an error, too.

    It also spares Python the search for garbage among the objects of the packages, which takes seconds.
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
            if not (behind := copies.modules_left_behind()):
                raise
            _exit(UserError(*(f"{error}: {problem}" for problem in behind)))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            gc.freeze()  # the process ends, and its memory is freed with it

    return guarded


def _exit(error: UserError) -> NoReturn:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    sys.exit(error.exit_code)
