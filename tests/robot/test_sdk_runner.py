"""robot/sdk_runner.py drives as the project does, and speaks with the robot's own packages."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.export.policy_file import PolicyFile
from ducklane.robot.driver import STOP_AFTER_S, Driver

RUNNER = Path(__file__).resolve().parents[2] / "robot" / "sdk_runner.py"

TRANSPORT = Path(__file__).with_name("transport")
"""Stands for the robot's network, as modules that the SDK imports."""


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sdk_runner", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@given(st.lists(st.tuples(st.sampled_from([0.02, 0.033, 0.07, 0.29, 0.4]), st.integers(0, 255)), min_size=1))
@hypothesis.settings(max_examples=25)
def test_it_drives_as_the_agent_does(
    runner: ModuleType, telling_file: Path, streaming_file: Path, frames: list[tuple[float, int]]
) -> None:
    assert runner.STOP_AFTER_S == STOP_AFTER_S
    pilot = runner.Pilot(str(streaming_file), 0.5)
    agents = [Driver(PolicyFile(path), 0.5) for path in (telling_file, streaming_file)]
    time_s = 0.0
    for gap_s, color in frames:
        time_s += gap_s
        frame = np.full((4, 6, 3), (color, 255 - color, 0), np.uint8)
        wheels = pilot.drive(time_s, frame)
        for agent in agents:
            agent.see(time_s, frame)
            assert agent.command(time_s) == pytest.approx(wheels, abs=1e-5)


def test_what_it_cannot_drive_with_is_refused_in_one_line(
    runner: ModuleType, telling_file: Path, streaming_file: Path, tmp_path: Path
) -> None:
    for path, message in (
        (telling_file, "takes frames, not one frame at a time; give policy_streaming.onnx"),
        (tmp_path / "missing.onnx", "missing.onnx: cannot be used"),
    ):
        with pytest.raises(SystemExit, match=message):
            runner.Pilot(str(path))
    with pytest.raises(SystemExit, match="8 x 4 pixels, but the policy takes 6 x 4"):
        runner.Pilot(str(streaming_file)).drive(0.0, np.zeros((4, 8, 3), np.uint8))


class BlindRobot:
    """A robot whose camera shows one frame; what its wheels were told, and whether they were stopped."""

    def __init__(self) -> None:
        self.camera = self.motors = self
        self.told: list[tuple[float, float] | str] = []
        self._frames = [np.full((4, 6, 3), (0, 0, 255), np.uint8)]

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.told.append("stop")

    def capture(self, block: bool, timeout: float) -> np.ndarray | None:
        if self._frames:
            return self._frames.pop()
        time.sleep(timeout)
        return None

    def set_pwm(self, left: float, right: float) -> None:
        self.told.append((left, right))


def test_it_stands_when_frames_stay_away(runner: ModuleType, streaming_file: Path) -> None:
    robot = BlindRobot()
    runner.drive(robot, runner.Pilot(str(streaming_file)), 2.5 * STOP_AFTER_S, dry=False)
    assert robot.told[0] == (0, 1)
    assert set(robot.told[1:-2]) == {(0, 0)}
    assert robot.told[-2:] == ["stop", "stop"]


def test_a_dry_run_leaves_the_wheels_alone(
    runner: ModuleType, streaming_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = BlindRobot()
    runner.drive(robot, runner.Pilot(str(streaming_file)), 0.1, dry=True)
    assert not [told for told in robot.told if told not in ("stop", (0, 0))]
    assert capsys.readouterr().out == "left +0.00, right +1.00\n"


@pytest.mark.full
def test_it_speaks_with_the_robots_packages(
    streaming_file: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install(tmp_path / "sdk", "duckietown-sdk==0.2.0", "duckietown-messages==0.0.28")
    # red 200, green 100, in the order that OpenCV writes
    jpeg = cv2.imencode(".jpg", np.full((4, 6, 3), (0, 100, 200), np.uint8))[1].tobytes()
    (tmp_path / "frame.jpg").write_bytes(jpeg)
    done = subprocess.run(
        [sys.executable, str(RUNNER), "duckie", "--model", str(streaming_file), "--seconds", "1.5"],
        env=os.environ
        | {"PYTHONPATH": f"{TRANSPORT}:{tmp_path / 'sdk'}", "FRAME": str(tmp_path / "frame.jpg")}
        | {"FRAMES": "5", "PUBLISHED": str(tmp_path / "published.txt")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "frames, " in done.stdout
    topics, lefts, rights = zip(
        *map(str.split, (tmp_path / "published.txt").read_text().splitlines()), strict=True
    )
    assert set(topics) == {"duckie/actuator/wheels/base/pwm_filtered"}
    # green of the first frame, red of the last: colours are in the right order
    assert float(lefts[0]) == pytest.approx(100 / 255, abs=0.02)
    assert float(rights[0]) == pytest.approx(200 / 255, abs=0.02)
    # in the end the robot stands
    assert (lefts[-1], rights[-1]) == ("0.0", "0.0")
