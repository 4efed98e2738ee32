"""How the inner loops of the simulator, and of the task, are compiled."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import update_wrapper
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching as _caching
from numba.core import config as _config

from ducklane.machine.folders import cache_folder

config: Any = _config  # whose names numba makes at run time
caching: Any = _caching

Function = TypeVar("Function", bound=Callable[..., object])

_LEAN: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True}


def kernel(function: Function) -> Function:
    """Compile a function of numbers and arrays with numba, once, and keep the result on the disk.

    Divisions by zero give infinities as in C. Sums keep their order, so that results do not depend on how
    the machine is able to vectorize them.
    """
    return _compiled(function)


def lean_kernel(function: Function) -> Function:
    """A `kernel` that makes no array and keeps none: it leaves the counts of references to arrays alone.

    A function that takes dozens of arrays would spend most of its time counting, and threads that share the
    arrays would wait for one another.
    """
    return cast(Function, _LeanKernel(function))


def inner_kernel(function: Function) -> Function:
    """A `lean_kernel` that becomes a part of those that call it, thousands of times for one picture.

    To hand it dozens of arrays would take longer than its work. It is for other kernels only.
    """
    return _compiled(function, no_cpython_wrapper=True, forceinline=True, **_LEAN)


class _LeanKernel:
    """Compiled once for other kernels and once for Python, each on its first call.

    To take dozens of arrays out of Python's objects takes the compiler longer than most kernels' own work.
    """

    def __init__(self, function: Any) -> None:
        update_wrapper(self, function)
        self._for_kernels = _compiled(function, no_cpython_wrapper=True, **_LEAN)
        self._for_python = _compiled(function, "for_python", **_LEAN)
        # what a kernel that calls this one finds, in place of the object itself
        self._numba_type_ = self._for_kernels._numba_type_
        self._called = False

    @property
    def signatures(self) -> list[Any]:
        """The types of arguments that it was compiled for when Python called it."""
        return list(self._for_python.signatures)

    def __call__(self, *args: Any) -> Any:
        if self._called:
            return self._for_python(*args)
        with _garbage_kept():
            result = self._for_python(*args)
        self._called = True
        return result


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """The compiler makes little garbage but so many objects that Python would look for some all the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class ByContent(caching.UserProvidedCacheLocator):  # type: ignore[misc]
    """Finds compiled functions by what the sources say, wherever they lie.

    numba's own locators put the path of the source into the name of the folder: each clone, and each copy
    that DVC runs an experiment in, would compile everything again.
    """

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """Nothing beside the folder that `_cache_folder` names after the sources."""
        return ""

    def ensure_cache_path(self) -> None:
        """Not where the folder cannot be written: a function is then compiled, and not kept."""
        with suppress(OSError):
            super().ensure_cache_path()


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """One in which files may be damaged, or its disk full: functions are then compiled as without one."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of kinds without number, if the bytes are any
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def _compiled(function: Function, part: str = "", **options: Any) -> Function:
    compiled = numba.njit(error_model="numpy", nogil=True, **options)(function)
    # the cache looks for its folder when it is made
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    config.CACHE_DIR = str(_cache_folder(config.CACHE_DIR) / part)
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{ByContent.__name__}"
    try:
        compiled._cache = _Cache(function)
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before
    return cast(Function, compiled)


def _cache_folder(before: str) -> Path:
    """A folder of this version of the kernels' own.

    numba does not notice when a function that another file's calls has changed, and would go on with the old.
    """
    return Path(before) / _SOURCES if before else cache_folder(f"kernels/{_SOURCES}")


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources_of_kernels()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources_of_kernels() -> Iterator[Path]:
    """This file, the simulator's but for the stock one's adapter, and others with a kernel in them.

    Not whole rooms more: who changes a reward need not wait for the simulator to be compiled.
    """
    package = Path(__file__).parent
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts
        in_simulator = room[0] == "simulator" and room[1] != "stock"
        if in_simulator or path.name == "kernel.py" or b"from ducklane.kernel import" in path.read_bytes():
            yield path


_SOURCES = _digest_of_sources()
