"""What the figures of a benchmark were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

from ducklane.provenance import git_commit


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, Python and commit, and the versions of these packages."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "git_commit": git_commit(),
    }
