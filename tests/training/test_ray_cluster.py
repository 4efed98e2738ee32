"""Ray starts at the first or second try, or the user learns why it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from ducklane.errors import UserError
from ducklane.machine.hardware import Machine
from ducklane.machine.resources import check_machine
from ducklane.settings import Settings, SettingsError
from ducklane.training.tuning import ray_cluster

REPOSITORY = Path(__file__).parents[2]
ONE_CPU = Machine(cpus=1, gpus=0)


def test_a_second_try_succeeds_if_the_first_timed_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, tries = ray.init, []

    def slow_at_first(**options: Any) -> Any:
        tries.append(options)
        if len(tries) == 1:
            raise Exception("The current node timed out during startup.")
        return start(**options)

    monkeypatch.setattr(ray, "init", slow_at_first)
    with ray_cluster(settings.ray, ONE_CPU) as have:
        assert ray.cluster_resources()["CPU"] == have.cpus == 1
    assert len(tries) == 2


def test_no_unneeded_process_runs_beside_training(settings: Settings) -> None:
    def running() -> set[str]:
        return {Path(part).name for child in psutil.Process().children() for part in child.cmdline()[:4]}

    monitors = {"monitor.py", "log_monitor.py", "dashboard.py"}
    with ray_cluster(settings.ray, ONE_CPU):
        started = running()
        assert ray.get(ray.remote(lambda: "done").remote()) == "done"
    assert {"gcs_server", "raylet"} <= started
    assert not monitors & started
    # the same options of Ray's own start them: where upstream renames them this test notices
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        assert monitors <= running()
    finally:
        ray.shutdown()


def test_a_cluster_has_the_resources_that_ray_reports(
    settings: Settings, changed: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 24.0, "GPU": 2.0, "memory": 1e9})
    with ray_cluster(settings.ray, ONE_CPU) as cluster:
        assert (cluster.cpus, cluster.gpus, cluster.name) == (24, 2, "the cluster at auto")
    check_machine(changed(rllib={"num_workers": 16, "num_gpus": 1}), cluster)
    with pytest.raises(SettingsError, match="and there are 24 in the cluster at auto; give 16, or -1"):
        check_machine(changed(rllib={"num_workers": 32}), cluster)


START = """
from pathlib import Path
import ray
from ducklane import settings
from ducklane.machine.hardware import Machine
from ducklane.training.tuning import ray_cluster

with ray_cluster(settings.load(Path("params.yaml")).ray, Machine(cpus=1, gpus=0)):
    print(ray.get(ray.remote(lambda: 42).remote()))
"""


def test_ray_starts_without_a_home_and_with_a_temporary_folder_that_is_too_deep() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=REPOSITORY,
        env={**os.environ, "HOME": "/proc/1", "TMPDIR": "/tmp/" + "deep/" * 20},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["42"]), done.stderr


def refusal(settings: Settings) -> str:
    with pytest.raises(UserError) as raised, ray_cluster(settings.ray, ONE_CPU):
        pass
    (problem,) = raised.value.problems
    assert "\n" not in problem
    assert not ray.is_initialized()
    return problem


def test_a_too_deep_folder_is_refused_if_it_was_meant_for_ray(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "deep/" * 20)
    assert refusal(settings).startswith("RAY_TMPDIR: /tmp/deep/")


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        (
            "The current node timed out during startup.",
            "stop other programs and run the same command again",
        ),
        (
            "The configured object store size (12.0 GB) exceeds /dev/shm",
            "lower ray.object_store_memory, or give",
        ),
        ("Something that nobody knows.", "`ducklane doctor` looks for what is missing"),
    ],
)
def test_a_failed_ray_start_is_reported_in_one_line_with_its_log_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, said: str, cure: str
) -> None:
    def fail(**options: Any) -> None:
        raise Exception(said)

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    problem = refusal(settings)
    assert problem.startswith(f"Ray did not start on this machine ({said}")
    assert f"; {cure}" in problem
    assert problem.endswith("; Ray's logs are in /tmp/ray/session_latest/logs")
