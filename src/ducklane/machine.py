"""What this machine has: CPUs and GPUs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""


@dataclass(frozen=True)
class Machine:
    """The part of a machine that a training may use."""

    cpus: int
    gpus: int


def this_machine() -> Machine:
    """CPUs that this process may use and NVIDIA GPUs that it may see, found without loading torch."""
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return Machine(cpus=allowed if quota is None else min(allowed, quota), gpus=_visible_gpus())


def cpu_quota(cgroup: Path = CGROUP) -> int | None:
    """Whole CPUs' worth of time that the container may use, at least 1; None where nothing bounds it.

    A container bounded with `docker run --cpus=2` still sees all the cores of its host.
    """
    return _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")


def _quota_v2(file: Path) -> int | None:
    # "max 100000" or "200000 100000": microseconds of CPU time per period
    try:
        time, period = file.read_text().split()
    except (OSError, ValueError):
        return None
    return None if time == "max" else _whole_cpus(int(time), int(period))


def _quota_v1(folder: Path) -> int | None:
    try:
        time = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if time < 0 else _whole_cpus(time, period)


def _whole_cpus(time: int, period: int) -> int:
    return max(1, math.floor(time / period))


def _visible_gpus() -> int:
    present = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    chosen = [device for device in visible.split(",") if device.strip() not in {"", "-1"}]
    return min(present, len(chosen))
