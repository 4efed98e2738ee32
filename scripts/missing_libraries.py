"""Print the Debian packages of the system libraries that ducklane needs and this machine lacks.

gym-duckietown renders with OpenGL through EGL, which needs no screen, and pyglet and OpenCV load a few more
libraries. This runs before anything is installed, so it uses only the standard library.
"""

from __future__ import annotations

import ctypes
import glob

LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLU.so.1": "libglu1-mesa",
    "libOpenGL.so.0": "libopengl0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
}
"""Shared library -> the Debian package that contains it."""

DRIVERS = (
    "/usr/lib/*/dri/swrast_dri.so",
    "/usr/lib*/dri/swrast_dri.so",
    "/usr/lib/*/libgallium-*.so",
    "/usr/lib*/libgallium-*.so",
)
"""Paths of Mesa's drivers, of which one renders without a GPU."""


def missing_packages() -> list[str]:
    """Debian packages of the missing libraries."""
    packages = [package for library, package in LIBRARIES.items() if not _loads(library)]
    if not any(glob.glob(pattern) for pattern in DRIVERS):
        packages.append("libgl1-mesa-dri")
    return packages


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(*missing_packages())
