"""What this machine has: CPUs, GPUs, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The part of a machine that a training may use."""

    cpus: int
    gpus: int


def this_machine() -> Machine:
    """CPUs that this process may run on and NVIDIA GPUs that it may see, found without loading torch."""
    return Machine(cpus=len(os.sched_getaffinity(0)), gpus=_visible_gpus())


def _visible_gpus() -> int:
    present = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    chosen = [device for device in visible.split(",") if device.strip() not in {"", "-1"}]
    return min(present, len(chosen))
