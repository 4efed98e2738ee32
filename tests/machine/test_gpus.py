"""GPUs that torch can use are found; if there are none, the reason is given. torch is faked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.machine import gpus
from ducklane.machine.gpus import Gpus, find_gpus

REPOSITORY = Path(__file__).parents[2]

TORCH = """
import os
DEVICES = {devices}
class Tensor:
    def add_(self, _): return self
    def item(self): return 2.0
class cuda:
    @staticmethod
    def device_count(): return len(DEVICES)
def ones(_, device):
    number = int(device.removeprefix("cuda:"))
    problem = DEVICES[number] if DEVICES else {nothing!r}
    if problem: raise {error}(problem)
    return Tensor()
"""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which NVIDIA's library can be loaded."""
    monkeypatch.setattr(gpus, "DRIVER", "libc.so.6")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    gpus._ask_torch.cache_clear()


def fake_torch(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[str],
    nothing: str = "No CUDA GPUs are available",
    error: str = "RuntimeError",
) -> None:
    """A torch that sees devices, each of which works ("") or fails with words."""
    (folder / "torch.py").write_text(TORCH.format(devices=devices, nothing=nothing, error=error))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_all_gpus_that_torch_can_use_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    fake_torch(tmp_path, monkeypatch, [""] * count)
    assert find_gpus() == Gpus(count)


OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
    "downloading and installing a new version"
)
NO_KERNEL = (
    "CUDA error: no kernel image is available for execution on the device\\nCUDA kernel errors might be "
    "asynchronously reported"
)


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("devices", "nothing", "error", "cure"),
    [
        (
            [],
            "Torch not compiled with CUDA enabled",
            "AssertionError",
            "install a torch that is built for CUDA",
        ),
        ([], OLD_DRIVER, "RuntimeError", "update NVIDIA's driver"),
        ([], "No CUDA GPUs are available", "RuntimeError", "check that nvidia-smi lists it"),
        ([NO_KERNEL.replace("\\n", "\n")], "", "RuntimeError", "install a torch that is built for this card"),
        (
            ["CUDA out of memory. Tried to allocate 2.00 MiB."],
            "",
            "RuntimeError",
            "stop other programs on it",
        ),
        (["CUDA error: unspecified launch failure"], "", "RuntimeError", "check that nvidia-smi works"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_reported_with_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[str],
    nothing: str,
    error: str,
    cure: str,
) -> None:
    fake_torch(tmp_path, monkeypatch, devices, nothing, error)
    search = find_gpus()
    assert (search.count, search.sure) == (0, True)
    assert search.problem == (devices[0] if devices else nothing).splitlines()[0]
    assert search.cure.startswith(cure)


@pytest.mark.usefixtures("driver")
def test_gpus_before_the_first_failing_one_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch(tmp_path, monkeypatch, ["", "CUDA error: no kernel image is available", ""])
    assert find_gpus().count == 1
    assert "no kernel image" in find_gpus().problem


@pytest.mark.parametrize("hidden", ["", "-1", " -1 ", "NoDevFiles", "-1,0", ",0"])
def test_hidden_gpus_do_not_count_and_torch_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    search = find_gpus()
    assert search.count == 0
    assert search.problem == f"CUDA_VISIBLE_DEVICES={hidden!r} hides all GPUs"
    assert search.cure == "unset CUDA_VISIBLE_DEVICES"


SEES_WHAT_IS_NAMED = """
names = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
here = ["0", "1", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-42f8a2ee-1e51-5ac7-9f0a-3d5a1e8a7a10"]
DEVICES = [""] * next((n for n, name in enumerate(names) if name not in here), len(names))
"""


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("0", 1),
        ("1,0", 2),
        ("0,7,1", 1),
        ("7", 0),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", 1),
        ("MIG-42f8a2ee-1e51-5ac7-9f0a-3d5a1e8a7a10", 1),
    ],
)
def test_torch_interprets_cuda_visible_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    fake_torch(tmp_path, monkeypatch, [])
    file = tmp_path / "torch.py"
    file.write_text(file.read_text().replace("DEVICES = []\n", SEES_WHAT_IS_NAMED))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    search = find_gpus()
    assert search.count == count
    if not count:
        assert search.problem == "No CUDA GPUs are available, with CUDA_VISIBLE_DEVICES='7'"
        assert "CUDA_VISIBLE_DEVICES" in search.cure


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("import os; os.abort()", "torch gave no answer (exit code -6)"),
        ("raise ImportError('libcudart.so.13: cannot open')", "torch gave no answer (ImportError: libcudart"),
        ("import time; time.sleep(60)", "torch gave no answer within 0.5 s"),
    ],
)
def test_without_an_answer_from_torch_the_user_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, problem: str
) -> None:
    if "within" in problem:
        monkeypatch.setattr(gpus, "TIMEOUT_S", 0.5)
    fake_torch(tmp_path, monkeypatch, [])
    (tmp_path / "torch.py").write_text(content)
    search = find_gpus()
    assert (search.count, search.sure) == (0, False)
    assert search.problem.startswith(problem)
    assert "ray.num_gpus" in search.cure


NO_DRIVER = "libcuda.so.1"


@pytest.mark.parametrize(
    ("files", "granted", "problem", "cure"),
    [
        ({}, None, "no NVIDIA GPU was found", "use a machine with one"),
        ({"dev/dxg": ""}, None, f"WSL2 has no {NO_DRIVER}", "install NVIDIA's driver in Windows"),
        ({"dev/nvhost-gpu": ""}, None, f"this Jetson has no {NO_DRIVER}", "install the CUDA part of JetPack"),
        ({"dev/nvgpu/igpu0/ctrl": ""}, None, f"this Jetson has no {NO_DRIVER}", "install the CUDA part"),
        (
            {".dockerenv": ""},
            None,
            f"this container has no {NO_DRIVER}",
            "start the container with --gpus all",
        ),
        ({"run/.containerenv": ""}, None, f"this container has no {NO_DRIVER}", "start the container with"),
        ({}, "all", f"this container has no {NO_DRIVER}", "start the container with --gpus all"),
        ({}, "void", "NVIDIA_VISIBLE_DEVICES='void' hides the GPUs", "start the container with --gpus all"),
        ({}, "none", "NVIDIA_VISIBLE_DEVICES='none' hides the GPUs", "start the container with --gpus all"),
        (
            {"proc/driver/nvidia/gpus/0000:01:00.0/information": ""},
            None,
            f"there is an NVIDIA card, but no {NO_DRIVER}",
            "install NVIDIA's driver",
        ),
        (
            {
                "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
                "sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
            },
            None,
            f"there is an NVIDIA card, but no {NO_DRIVER}",
            "install NVIDIA's driver",
        ),
        # the sound of a card that is no more
        (
            {
                "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
                "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
            },
            None,
            "no NVIDIA GPU was found",
            "use a machine with one",
        ),
    ],
)
def test_a_missing_driver_is_reported_with_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    granted: str | None,
    problem: str,
    cure: str,
) -> None:
    monkeypatch.setattr(gpus, "_loads", lambda _: False)
    if granted is not None:
        monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", granted)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    search = find_gpus(tmp_path)
    assert (search.count, search.sure) == (0, True)
    assert search.problem.startswith(problem)
    assert search.cure.startswith(cure)


def test_a_stage_is_refused_in_one_line_with_torchs_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torch(tmp_path, monkeypatch, [], OLD_DRIVER)
    # any library under the name of the driver's
    maps = Path("/proc/self/maps").read_text().splitlines()
    library = next(line.split()[-1] for line in maps if line.endswith("/libc.so.6"))
    (tmp_path / "libcuda.so.1").symlink_to(library)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    params = (REPOSITORY / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(
        re.sub(r"(?<=rllib:\n)((?:  .*\n)*?  num_gpus:) 0", r"\1 1", params)
    )
    done = subprocess.run(
        [sys.executable, REPOSITORY / "pipeline" / "train.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "params.yaml: rllib.num_gpus: 1 asks for a GPU, and this machine has none (The NVIDIA"
    )
    assert line.endswith("; set it to 0, or update NVIDIA's driver, or install a torch built for its CUDA")
