"""CPUs and memory of this machine, as far as a process may use them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.machine.hardware import this_machine, usable_cpus, usable_memory


def test_a_process_bound_to_one_core_has_one_cpu() -> None:
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ducklane.machine.hardware import this_machine\n"
        "print(this_machine().cpus, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_this_machine_has_no_more_than_the_process_may_use() -> None:
    machine = this_machine()
    assert 1 <= machine.cpus <= len(os.sched_getaffinity(0))
    assert machine.memory is not None
    assert 2**28 < machine.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# --- faked machines: 64 cores, and what /proc and /sys say of the rest


@pytest.fixture(autouse=True)
def sixty_four_cores(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "root" in request.fixturenames:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
        monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def cgroups(root: Path, own: str, mounts: str, files: dict[str, str]) -> None:
    """Write the process's own cgroups, mounts as (top, place, type, options) a line, and the limits."""
    (root / "proc/self/cgroup").write_text(own)
    lines = ["22 27 0:21 / /proc rw,relatime shared:12 - proc proc rw"]
    for mount in mounts.splitlines():
        top, place, kind, options = mount.split()
        lines.append(f"31 23 0:28 {top} {place} rw,relatime shared:9 - {kind} {kind} {options}")
    (root / "proc/self/mountinfo").write_text("\n".join(lines))
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


V2 = "/ /sys/fs/cgroup cgroup2 rw,nsdelegate"


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", 64),
        ("2400000 100000\n", 24),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("nonsense\n", 64),
        ("", 64),
    ],
)
def test_a_containers_share_of_the_cpus(root: Path, quota: str, cpus: int) -> None:
    cgroups(root, "0::/\n", V2, {"sys/fs/cgroup/cpu.max": quota})
    assert usable_cpus(root) == cpus


@pytest.mark.parametrize(
    ("quotas", "cpus"),
    [
        ({"user.slice": "600000 100000", "user.slice/user-1000.slice": "max 100000"}, 6),
        ({"user.slice": "max 100000", "user.slice/user-1000.slice": "1200000 100000"}, 12),
        ({"user.slice": "2000000 100000", "user.slice/user-1000.slice/app.scope": "6400000 100000"}, 20),
        # of others
        ({"system.slice": "100000 100000"}, 64),
    ],
)
def test_the_smallest_quota_of_all_parent_groups_counts(
    root: Path, quotas: dict[str, str], cpus: int
) -> None:
    files = {f"sys/fs/cgroup/{folder}/cpu.max": quota for folder, quota in quotas.items()}
    cgroups(root, "0::/user.slice/user-1000.slice/app.scope\n", V2, files)
    assert usable_cpus(root) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1\n", 64), ("400000\n", 4), ("50000\n", 1)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("folder", ["", "/batch/job 7"])
def test_a_containers_share_under_cgroups_v1(
    root: Path, quota: str, cpus: int, controllers: str, folder: str
) -> None:
    place = f"/sys/fs/cgroup/{controllers}"
    cgroups(
        root,
        f"12:memory:/elsewhere\n3:{controllers}:{folder or '/'}\n0::/\n",
        f"/ {place} cgroup rw,{controllers}\n/ /sys/fs/cgroup/unified cgroup2 rw",
        {
            f"{place[1:]}{folder}/cpu.cfs_quota_us": quota,
            f"{place[1:]}{folder}/cpu.cfs_period_us": "100000\n",
        },
    )
    assert usable_cpus(root) == cpus


def test_a_container_that_sees_its_own_cgroup_as_the_top(root: Path) -> None:
    # its path is the host's, and only below the mount's top
    cgroups(
        root,
        "4:cpu:/docker/0123\n",
        "/docker/0123 /sys/fs/cgroup/cpu cgroup rw,cpu",
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
    )
    assert usable_cpus(root) == 3


def test_a_path_outside_of_what_a_container_sees(root: Path) -> None:
    cgroups(root, "0::/../other\n", V2, {"sys/fs/cgroup/cpu.max": "500000 100000"})
    assert usable_cpus(root) == 5


def test_without_cgroups_there_is_no_limit(root: Path) -> None:
    assert usable_cpus(root) == 64
    assert usable_memory(root) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("granted", "cpus"), [("12", 12), ("100", 64), ("", 64), ("0", 64), ("4(x2)", 64)])
def test_no_more_cpus_than_slurm_grants(
    root: Path, monkeypatch: pytest.MonkeyPatch, granted: str, cpus: int
) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", granted)
    assert usable_cpus(root) == cpus


def test_memory_is_the_smallest_limit(root: Path) -> None:
    cgroups(
        root,
        "0::/a/b\n4:memory:/c\n",
        f"{V2}\n/ /sys/fs/cgroup/memory cgroup rw,memory",
        {
            "sys/fs/cgroup/a/memory.max": "300000000\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "400000000\n",
        },
    )
    assert usable_memory(root) == 300_000_000
    (root / "sys/fs/cgroup/a/memory.max").write_text("max\n")
    assert usable_memory(root) == 400_000_000
