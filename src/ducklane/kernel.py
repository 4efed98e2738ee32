"""Compilation of the inner loops of the simulator with numba, and the cache of their code.

There are three decorators: `kernel` is general, `lean_kernel` is cheap to call with many arrays, and
`inner_kernel` is inlined into other kernels.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching as _caching
from numba.core import config as _config

from ducklane.machine.folders import cache_folder, keep_newest

config: Any = _config  # numba creates its attributes at run time, unseen by mypy
caching: Any = _caching

Function = TypeVar("Function", bound=Callable[..., object])

VERSIONS = 5
"""Versions of the sources whose compiled kernels are kept, those used last: of a few branches or clones."""

_LEAN: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True}
"""numba options: no runtime that counts references to arrays, and no wrapper to call the function from C"""


def kernel(function: Function) -> Function:
    """Compile a function of numbers and arrays with numba, and cache the result on disk.

    Divisions by zero give infinities, as in C. Without `fastmath`, sums keep their order, so results do not
    depend on how a processor's instructions would vectorise them.
    """
    return _compiled(function)


def lean_kernel(function: Function) -> Function:
    """A `kernel` that creates no arrays and keeps none, so that it need not count references to them.

    A function that takes dozens of arrays would spend most of its time on reference counts, and threads that
    share the arrays would contend for these counts.
    """
    return cast(Function, _LeanKernel(function))


def inner_kernel(function: Function) -> Function:
    """A `lean_kernel` that is inlined into its callers, for work done thousands of times per picture.

    Passing it dozens of arrays would take longer than its own work. Only other kernels can call it.
    """
    return _compiled(function, no_cpython_wrapper=True, forceinline=True, **_LEAN)


class _LeanKernel:
    """Compiled separately for other kernels and for Python, each on its first call.

    Code that unpacks dozens of arrays from Python objects takes longer to compile than most kernels
    themselves, so only what Python calls gets it.
    """

    def __init__(self, function: Any) -> None:
        update_wrapper(self, function)
        self._for_kernels = _compiled(function, no_cpython_wrapper=True, **_LEAN)
        self._for_python = _compiled(function, "for_python", **_LEAN)
        # numba types this object, where a kernel calls it, as the variant for kernels
        self._numba_type_ = self._for_kernels._numba_type_
        self._called = False

    @property
    def signatures(self) -> list[Any]:
        """Argument types for which it was compiled when called from Python."""
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
    """Switch garbage collection off: the compiler creates so many objects, little of it garbage, that Python
    would keep collecting."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class ByContent(caching.UserProvidedCacheLocator):  # type: ignore[misc]
    """Finds compiled functions by the content of the sources, wherever these are.

    numba's own locators put the source's path into the folder's name: each clone, and each copy in which DVC
    runs an experiment, would compile everything again.
    """

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """No subfolder: `_cache_folder` already names the folder after the sources."""
        return ""

    def ensure_cache_path(self) -> None:
        """Like numba's, except that a folder that cannot be written is no error: nothing is cached then."""
        with suppress(OSError):
            super().ensure_cache_path()


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """A cache that survives damaged files and a full disk: functions are then compiled as without a cache."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling damaged bytes can raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def _compiled(function: Function, part: str = "", **options: Any) -> Function:
    compiled = numba.njit(error_model="numpy", nogil=True, **options)(function)
    # FunctionCache reads numba's configuration once, when it is created
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    config.CACHE_DIR = str(_cache_folder(config.CACHE_DIR) / part)
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{ByContent.__name__}"
    try:
        compiled._cache = _Cache(function)
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before
    return cast(Function, compiled)


def _cache_folder(before: str) -> Path:
    """A separate folder for each version of the kernels' sources.

    numba checks only the file of the cached function: it would keep using the old code of a function that
    this one calls from another file.
    """
    return Path(before) / _SOURCES if before else _own_folder()


@cache
def _own_folder() -> Path:
    folder = cache_folder(f"kernels/{_SOURCES}")
    keep_newest(folder, VERSIONS)
    return folder


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources_of_kernels()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources_of_kernels() -> Iterator[Path]:
    """This file and the simulator's, except for the stock one's adapter."""
    yield Path(__file__)
    simulator = Path(__file__).parent / "simulator"
    yield from (path for path in simulator.rglob("*.py") if simulator / "stock" not in path.parents)


_SOURCES = _digest_of_sources()
