"""Print the path of the Python that runs this, or why ducklane cannot be installed with it (exit code 1).

In a virtual environment it prints the path of the underlying Python, as the environment may be removed. Exit
code 2 if only the modules that create virtual environments are missing. Old Pythons must be able to run this.
"""

import platform
import sys
import sysconfig

OLDEST, TOO_NEW = (3, 11), (3, 14)

MODULES = ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib")
"""Modules that are missing from a Python that was built without the headers for them."""


def flaw():
    """Why this Python cannot be used; empty if it can."""
    version = platform.python_version()
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        return "is Python " + version
    if sys.version_info.releaselevel != "final":
        return "is a preview, Python " + version
    if platform.python_implementation() != "CPython" or sys.maxsize < 2**32:
        return "is not a 64-bit CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "is a free-threaded Python"
    missing = [name for name in MODULES if not loads(name)]
    return "was built without " + ", ".join(missing) if missing else ""


def loads(module):
    """Whether a module can be imported."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    print(flaw() or sys._base_executable)
    sys.exit(1 if flaw() else 0 if loads("venv") and loads("ensurepip") else 2)
