from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.machine import cpu_quota, this_machine


def test_a_process_bound_to_one_core_has_one_cpu() -> None:
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ducklane.machine import this_machine; print(this_machine().cpus, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_this_machine_has_no_more_cpus_than_the_process_may_use() -> None:
    assert 1 <= this_machine().cpus <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_not_there(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert this_machine().gpus == 0


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("nonsense\n", None),
    ],
)
def test_a_containers_share_of_the_cpus(tmp_path: Path, content: str, cpus: int | None) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert cpu_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1\n", None), ("400000\n", 4)])
def test_a_containers_share_under_the_older_cgroups(tmp_path: Path, quota: str, cpus: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == cpus


def test_no_cgroups_no_bound(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
