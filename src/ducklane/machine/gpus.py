"""The GPUs that torch can use; and if there are none, why, and what to do about it.

Only torch itself can tell: it takes a driver, a torch built for GPUs, matching versions of the two, and a
card that is not too old for either. So a small computation with torch is tried: in a separate process, as
loading torch takes seconds and a broken driver may crash it, and only if there is a driver at all.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/")

DRIVER = "libcuda.so.1"
"""NVIDIA's library that torch loads: on a PC, in WSL2, on a Jetson, and in a container with GPUs."""

AMD_DEVICE = Path("dev/kfd")
"""AMD's driver; a torch built for it brings its own library."""

TIMEOUT_S = 120.0
"""Limit for the probe: a driver that is not in use yet may take half a minute to start eight cards."""

PROBE = """
import json, warnings
warnings.simplefilter("ignore")
import torch
usable, problem = 0, ""
try:
    for number in range(max(1, torch.cuda.device_count())):
        torch.ones(1, device=f"cuda:{number}").add_(1).item()
        usable += 1
except Exception as error:
    problem = (str(error).strip() or type(error).__name__).splitlines()[0]
print(json.dumps({"usable": usable, "problem": problem}))
"""
"""A program that computes on one card after the other, until one fails."""

CURES = {
    "not compiled with CUDA": "install a torch that is built for CUDA (pytorch.org/get-started)",
    "driver on your system is too old": "update NVIDIA's driver, or install a torch built for its CUDA",
    "no kernel image": "install a torch that is built for this card (pytorch.org/get-started)",
    "out of memory": "stop other programs on it (nvidia-smi lists them)",
    "busy or unavailable": "stop other programs on it (nvidia-smi lists them)",
    "No CUDA GPUs are available": "check that nvidia-smi lists it, and CUDA_VISIBLE_DEVICES allows it",
}
"""Part of torch's error message -> the cure."""

CONTAINER_CURE = "start the container with --gpus all"


@dataclass(frozen=True)
class Gpus:
    """The result of the search for GPUs."""

    count: int
    problem: str = ""
    """why there are not more; empty if all could be used"""
    cure: str = ""
    sure: bool = True
    """false if torch gave no answer: there may be more"""


NO_GPUS = Gpus(0, "no NVIDIA GPU was found", "use a machine with one")


def find_gpus(root: Path = ROOT) -> Gpus:
    """The GPUs that torch can use, without those that CUDA_VISIBLE_DEVICES hides.

    Args:
        root: of the file system.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA reads the list up to the first invalid entry
    if visible is not None and visible.split(",")[0].strip() in {"", "-1", "NoDevFiles"}:
        return Gpus(0, f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs", "unset CUDA_VISIBLE_DEVICES")
    if not (_loads(DRIVER) or (root / AMD_DEVICE).exists()):
        return _without_driver(root)
    return _ask_torch(visible)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@cache
def _ask_torch(visible: str | None) -> Gpus:
    """Run the trial, once per value of CUDA_VISIBLE_DEVICES, which torch reads from the environment."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return _no_answer(f"torch gave no answer within {TIMEOUT_S:g} s")
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return _no_answer(f"torch gave no answer ({last})")
    problem = str(answer["problem"])
    if visible is not None and problem:
        problem += f", with CUDA_VISIBLE_DEVICES={visible!r}"
    cure = next(
        (cure for message, cure in CURES.items() if message in problem), "check that nvidia-smi works"
    )
    return Gpus(int(answer["usable"]), problem, cure if problem else "")


def _no_answer(problem: str) -> Gpus:
    return Gpus(0, problem, "set ray.num_gpus to the number of GPUs", sure=False)


def _without_driver(root: Path) -> Gpus:
    """Why there is no driver, if this machine looks as if it had GPUs."""
    in_container = any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    granted = os.environ.get("NVIDIA_VISIBLE_DEVICES")
    if granted in {"void", "none", ""}:
        return Gpus(
            0, f"NVIDIA_VISIBLE_DEVICES={granted!r} hides the GPUs from this container", CONTAINER_CURE
        )
    if in_container or granted is not None:
        return Gpus(0, f"this container has no {DRIVER}", CONTAINER_CURE)
    if (root / "dev/dxg").exists():
        return Gpus(0, f"WSL2 has no {DRIVER}", "install NVIDIA's driver in Windows")
    if any((root / mark).exists() for mark in ("dev/nvhost-gpu", "dev/nvgpu", "etc/nv_tegra_release")):
        return Gpus(0, f"this Jetson has no {DRIVER}", "install the CUDA part of JetPack")
    if any((root / "proc/driver/nvidia/gpus").glob("*")) or _nvidia_on_pci(root):
        return Gpus(0, f"there is an NVIDIA card, but no {DRIVER}", "install NVIDIA's driver")
    return NO_GPUS


def _nvidia_on_pci(root: Path) -> bool:
    return any(
        _read(device / "vendor") == "0x10de" and _read(device / "class").startswith("0x03")
        for device in (root / "sys/bus/pci/devices").glob("*")
    )


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
