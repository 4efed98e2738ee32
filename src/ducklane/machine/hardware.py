"""The CPUs, memory and GPUs of this machine."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ducklane.machine.gpus import NO_GPUS, Gpus, find_gpus

ROOT = Path("/")


@dataclass(frozen=True)
class Machine:
    """The part of a machine, or of a cluster, that a training run may use."""

    cpus: int
    gpus: int
    memory: int | None = None
    """bytes; None if unknown"""
    gpu_search: Gpus = NO_GPUS
    """the search behind `gpus`; says why there are none"""
    cluster: str | None = None
    """address of the Ray cluster that this is; None for a single machine"""

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return f"the cluster at {self.cluster}" if self.cluster else "this machine"


def this_machine(look_for_gpus: bool = True) -> Machine:
    """The machine that runs this process, as far as the process may use it.

    Args:
        look_for_gpus: takes seconds if there may be any, as torch is tried in a separate process; without it
            `gpus` is 0.
    """
    search = find_gpus() if look_for_gpus else NO_GPUS
    return Machine(usable_cpus(), search.count, usable_memory(), search)


def usable_cpus(root: Path = ROOT) -> int:
    """CPUs' worth of time that this process may use, at least 1.

    The minimum of what its affinity (`taskset`, cpusets), the quotas of its cgroups (`docker run --cpus=2`,
    systemd slices) and SLURM allow.
    """
    bounds = [len(os.sched_getaffinity(0)), _cpu_quota(root), _slurm_cpus()]
    return min(bound for bound in bounds if bound is not None)


def usable_memory(root: Path = ROOT) -> int:
    """Bytes of memory that this process may use: the machine's, or the lowest limit of its cgroups."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_numbers(folder / file) for folder in _cgroups("memory", root) for file in MEMORY_FILES]
    return min([installed, *(limit[0] for limit in limits if limit)])


MEMORY_FILES = ("memory.max", "memory.limit_in_bytes")
"""Files with the limit, of cgroups version 2 and 1."""


def _slurm_cpus() -> int | None:
    # not every cluster binds its jobs to the CPUs that they requested
    granted = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(granted) if granted.isdecimal() and int(granted) else None


def _cpu_quota(root: Path) -> int | None:
    """Whole CPUs' worth of time, at least 1; None without a quota."""
    quotas = [quota for folder in _cgroups("cpu", root) if (quota := _quota(folder)) is not None]
    return max(1, math.floor(min(quotas))) if quotas else None


def _quota(cgroup: Path) -> float | None:
    # microseconds of CPU time per period: "200000 100000" in version 2, a file for each number in version 1
    numbers = _numbers(cgroup / "cpu.max") or (
        *_numbers(cgroup / "cpu.cfs_quota_us"),
        *_numbers(cgroup / "cpu.cfs_period_us"),
    )
    if len(numbers) != 2 or min(numbers) <= 0:
        return None
    time, period = numbers
    return time / period


def _numbers(file: Path) -> tuple[int, ...]:
    """The whole numbers in a file; none if it cannot be read, or says "max" or other words."""
    try:
        return tuple(int(word) for word in file.read_text().split())
    except (OSError, ValueError):
        return ()


def _cgroups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the cgroups that limit this process: its own and all their parents.

    Args:
        controller: of version 1; version 2 has one tree for all of them.
        root: of the file system.
    """
    paths = dict(_cgroup_paths(root))
    for line in _lines(root / "proc/self/mountinfo"):
        # 31 23 0:28 /top /sys/fs/cgroup rw,relatime ... - cgroup2 source options
        place, _, kind = (part.split() for part in line.partition(" - "))
        version_1 = kind[0] == "cgroup" and controller in kind[-1].split(",")
        if not (version_1 or kind[0] == "cgroup2"):
            continue
        top, mount = (PurePosixPath(_unescaped(path)) for path in place[3:5])
        path = PurePosixPath(paths.get(controller if version_1 else "", "/"))
        # in a container the own cgroup may be the top of the tree, with a path that exists only on the host
        inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
        for folder in (inside, *inside.parents):
            yield root / mount.relative_to("/") / folder


def _cgroup_paths(root: Path) -> Iterator[tuple[str, str]]:
    """(controller, path within its tree); the controller of version 2 is ""."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _unescaped(path: str) -> str:
    """A path from mountinfo, in which a space is written as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
