"""How the simulator's inner loops are compiled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as _config

config: Any = _config  # whose names numba makes at run time

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function of numbers and arrays with numba, once, and keep the result on the disk.

    Divisions by zero give infinities as in C. Sums keep their order, so that results do not depend on how
    the machine is able to vectorize them.
    """
    return _compiled(function)


def lean_kernel(function: Function) -> Function:
    """A `kernel` that makes no array and keeps none: it leaves the counts of references to arrays alone.

    A function that takes dozens of arrays would spend most of its time counting, and threads that share the
    arrays would wait for one another. One whose name begins with an underscore is for other kernels only.
    """
    inner = function.__name__.startswith("_")
    return _compiled(function, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=inner)


def inner_kernel(function: Function) -> Function:
    """A `lean_kernel` that becomes a part of those that call it, thousands of times for one picture.

    To hand it dozens of arrays would take longer than its work.
    """
    return _compiled(function, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=True)


def _compiled(function: Function, **options: Any) -> Function:
    # numba looks for its folder when it decorates
    before = config.CACHE_DIR
    config.CACHE_DIR = _cache_folder(before)
    try:
        return cast(Function, numba.njit(cache=True, error_model="numpy", nogil=True, **options)(function))
    finally:
        config.CACHE_DIR = before


def _cache_folder(before: str) -> str:
    """A folder of this version of the simulator's own.

    numba does not notice when a function that another file's calls has changed, and would go on with the old.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ducklane" / "kernels"
    return str((Path(before) if before else base) / _SOURCES)


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_SOURCES = _digest_of_sources()
