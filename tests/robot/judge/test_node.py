"""The challenges' own simulator node, fetched from PyPI: what a user gets from `ducklane aido`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from ducklane.export.onnx_file import export_onnx
from ducklane.policy import TrainedPolicy
from ducklane.settings import Settings

pytestmark = pytest.mark.full  # needs the network, and a minute

SECONDS = 1.0


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Settings,
    make_policy: Callable[[Settings], TrainedPolicy],
) -> Path:
    """A folder with a policy, where the node will be installed, too."""
    folder = tmp_path_factory.mktemp("aido")
    export_onnx(make_policy(settings), folder / "policy.onnx", opset=20)
    return folder


def command(*options: str) -> list[str]:
    judging = [sys.executable, "-m", "ducklane", "aido", "--model", "policy.onnx", "--sample", "LFI"]
    return [*judging, "--seconds", str(SECONDS), "--jobs", "2", *options]


def test_two_drives_in_the_genuine_node(place: Path) -> None:
    done = subprocess.run(
        command("--record", "records", "--frames"),
        cwd=place,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert "installing" in done.stderr
    scores = json.loads((place / "results/aido/scores.json").read_text())
    assert [drive["ended"] for drive in scores["drives"]] == ["survived", "survived"]
    assert max(map(len, done.stdout.splitlines())) <= 80
    for drive in scores["drives"]:
        assert (place / f"results/aido/{drive['scenario']}.png").is_file()
        with np.load(place / f"records/{drive['scenario']}.npz") as record:
            assert np.allclose(record["times"], 0.05 * np.arange(20))
            assert record["poses"].shape == (21, 3)
            assert np.allclose(record["poses"][0], record["start"])
            # the camera's 15 frames a second fall on the physics' steps of 5 ms: one in 70 ms
            stamps = np.unique(record["frame_times"])
            assert np.allclose(stamps, 0.07 * np.arange(14))
            assert (record["times"] - record["frame_times"]).max() < 0.07
            assert len(record["jpeg_ends"]) == len(stamps)
            # commands take 0.15 s, and each is obeyed
            assert np.allclose(record["speeds"][:3], 0)
            assert np.abs(record["speeds"][4:, 0]).min() > 0


def test_a_drive_that_is_interrupted_leaves_neither_scores_nor_processes(place: Path) -> None:
    judging = subprocess.Popen(command("--seconds", "600", "--out", "stopped"), cwd=place)
    log = place / "stopped/logs/udem1-001/agent.log"
    while not log.is_file():
        assert judging.poll() is None
        time.sleep(0.2)
    started = psutil.Process(judging.pid).children(recursive=True)
    judging.send_signal(signal.SIGINT)
    assert judging.wait(timeout=60) == 130
    assert not [process for process in started if process.is_running()]
    assert not (place / "stopped/scores.json").exists()
