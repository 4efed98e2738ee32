"""The same command trains on a Ray cluster, here one of two local nodes."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clones import Project, clone, set_param


@contextmanager
def two_nodes(project: Project, cpus: int) -> Iterator[str]:
    """A Ray cluster of two nodes, started as its manual says; gives its address.

    Args:
        project: the clone that trains on it.
        cpus: of each node.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    project.environment |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    nodes = []
    try:
        for role in (f"--head --port={address.split(':')[1]}", f"--address={address}"):
            nodes.append(project.start(f"ray start {role} --num-cpus={cpus} --block"))
            _wait_for(nodes[-1], "Ray runtime started")
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait()


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if text in line:
            return
    raise AssertionError("".join(printed))


def test_two_workers_and_two_learners_train_on_two_nodes_of_a_cluster(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "rllib.num_workers", 2)
    set_param(project.root / "params.yaml", "rllib.num_learners", 2)
    with two_nodes(project, cpus=2) as address:
        project.environment["RAY_ADDRESS"] = address
        assert "best checkpoint" in project.type("python pipeline/train.py")
        assert project.json("results/train/summary.json")["timesteps_total"] >= 128
        assert {run.info.status for run in project.store.search_runs(["1"])} == {"FINISHED"}
        # a cluster that has too little refuses, as a machine does
        set_param(project.root / "params.yaml", "rllib.num_workers", 3)
        set_param(project.root / "params.yaml", "rllib.train_batch_size", 96)
        refused = project.type("python pipeline/train.py", code=2)
        assert "3 workers and 2 learners (num_learners) need 5 CPUs, and there are 4" in refused
    gone = project.type("python pipeline/train.py", code=1)
    assert f"RAY_ADDRESS: no Ray cluster answers at {address}" in gone


@pytest.mark.full
def test_two_trials_train_on_two_nodes_of_a_cluster(tmp_path: Path) -> None:
    project = clone(tmp_path / "ducklane")
    set_param(project.root / "params.yaml", "tune.num_samples", 2)
    with two_nodes(project, cpus=1) as address:
        project.environment["RAY_ADDRESS"] = address
        assert re.search(r"best checkpoint: .* of trial [12] ", project.type("python pipeline/train.py"))
    assert {run.info.status for run in project.store.search_runs(["1"])} == {"FINISHED"}
