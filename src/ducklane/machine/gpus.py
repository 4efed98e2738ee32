"""The GPUs that torch can compute on; and where there are none, why, and what to do about it.

Only torch can tell: it takes a driver, a torch that was built for GPUs, versions of the two that go together,
and a card that is not too old for either. So torch is asked, in a process of its own, for loading it takes
seconds and a broken driver may crash it; and only where a driver is there at all.
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
"""NVIDIA's part that torch itself loads: on a PC, in WSL2, on a Jetson, and in a container that has GPUs."""

AMD_DEVICE = Path("dev/kfd")
"""AMD's driver; a torch for it brings its own library."""

TIMEOUT_S = 120.0
"""For torch's answer: a driver that nobody uses yet may take half a minute for eight cards."""

TRIAL = """
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
"""Computes on one card after the other, until one fails."""

CURES = {
    "not compiled with CUDA": "install a torch that is built for CUDA (pytorch.org/get-started)",
    "driver on your system is too old": "update NVIDIA's driver, or install a torch built for its CUDA",
    "no kernel image": "install a torch that is built for this card (pytorch.org/get-started)",
    "out of memory": "end what else runs on it (nvidia-smi shows it)",
    "busy or unavailable": "end what else runs on it (nvidia-smi shows it)",
    "No CUDA GPUs are available": "see what nvidia-smi lists, and whether CUDA_VISIBLE_DEVICES names it",
}
"""What torch says where it cannot compute -> what helps."""

CONTAINER_CURE = "start the container with --gpus all"


@dataclass(frozen=True)
class Gpus:
    """What was found."""

    count: int
    problem: str = ""
    """why there are not more; empty where nothing speaks against it"""
    cure: str = ""
    sure: bool = True
    """false where torch gave no answer: there may be some"""


NO_GPUS = Gpus(0, "no NVIDIA GPU is seen", "use a machine with one")


def find_gpus(root: Path = ROOT) -> Gpus:
    """GPUs that torch can compute on, those that CUDA_VISIBLE_DEVICES hides not among them.

    Args:
        root: of the file system.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA reads the list up to the first name that is none
    if visible is not None and visible.split(",")[0].strip() in {"", "-1", "NoDevFiles"}:
        return Gpus(0, f"CUDA_VISIBLE_DEVICES={visible!r} hides all", "unset CUDA_VISIBLE_DEVICES")
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
    """Try torch out; once for each value of CUDA_VISIBLE_DEVICES, which it reads from the environment."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=TIMEOUT_S
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
    cure = next((cure for said, cure in CURES.items() if said in problem), "see whether nvidia-smi works")
    return Gpus(int(answer["usable"]), problem, cure if problem else "")


def _no_answer(problem: str) -> Gpus:
    return Gpus(0, problem, "say with ray.num_gpus how many there are", sure=False)


def _without_driver(root: Path) -> Gpus:
    """No driver: whether one is missed."""
    in_container = any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    granted = os.environ.get("NVIDIA_VISIBLE_DEVICES")
    if granted in {"void", "none", ""}:
        return Gpus(0, f"NVIDIA_VISIBLE_DEVICES={granted!r} keeps them from this container", CONTAINER_CURE)
    if in_container or granted is not None:
        return Gpus(0, f"this container has no {DRIVER}", CONTAINER_CURE)
    if (root / "dev/dxg").exists():
        return Gpus(0, f"WSL2 has no {DRIVER}", "install NVIDIA's driver in Windows")
    if any((root / mark).exists() for mark in ("dev/nvhost-gpu", "dev/nvgpu", "etc/nv_tegra_release")):
        return Gpus(0, f"this Jetson has no {DRIVER}", "install the CUDA part of JetPack")
    if any((root / "proc/driver/nvidia/gpus").glob("*")) or _nvidia_on_pci(root):
        return Gpus(0, f"an NVIDIA card is there, but no {DRIVER}", "install NVIDIA's driver")
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
