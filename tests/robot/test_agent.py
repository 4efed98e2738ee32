"""The agent drives over real fifos, as the AI Driving Olympics and the robot's bridge start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cbor2
import cv2
import numpy as np
import pytest

from ducklane.robot.protocol import aido

Conversation = SimpleNamespace


def jpeg(red: int, green: int, size: tuple[int, int] = (4, 6)) -> bytes:
    """A picture of one colour, which JPEG keeps to within 2 of 255."""
    picture = np.full((*size, 3), (0, green, red), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def observations(content: bytes, time_s: float) -> Any:
    schemas = aido().schemas
    camera = schemas.JPGImageWithTimestamp(content, time_s)
    return schemas.DB20ObservationsWithTimestamp(
        camera, schemas.DB20OdometryWithTimestamp(0.1, 0.0, 0.0, time_s)
    )


@pytest.fixture
def conversation(telling_file: Path, tmp_path: Path) -> Iterator[Conversation]:
    """A running agent, and the interface that the robot's bridge has to it."""
    fifos = {"AIDONODE_DATA_IN": str(tmp_path / "in"), "AIDONODE_DATA_OUT": f"fifo:{tmp_path / 'out'}"}
    os.mkfifo(tmp_path / "out")  # else the other side looks for it only every three seconds
    process = subprocess.Popen(
        [sys.executable, "-m", "ducklane", "agent", "--model", str(telling_file), "--scale", "0.5"],
        env=os.environ | fifos | {"AIDONODE_NAME": "agent"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    interface = aido().outside.ComponentInterface(
        str(tmp_path / "in"), str(tmp_path / "out"), None, "agent", timeout=60
    )
    yield Conversation(process=process, interface=interface)
    process.kill()
    process.communicate()


def told(conversation: Conversation) -> str:
    """What the agent printed, after it has ended."""
    conversation.interface.close()
    return str(conversation.process.communicate(timeout=60)[1])


def test_an_episode(conversation: Conversation) -> None:
    schemas, interface = aido().schemas, conversation.interface
    interface.expect_protocol = schemas.protocol_agent_DB20_timestamps
    interface._get_node_protocol()

    def commands(at_time: float) -> Any:
        asked = schemas.GetCommands(at_time)
        return interface.write_topic_and_expect("get_commands", asked, expect="commands").data

    def see(content: bytes, time_s: float) -> None:
        interface.write_topic_and_expect_zero("observations", observations(content, time_s))

    interface.write_topic_and_expect_zero("seed", 1)
    interface.write_topic_and_expect_zero("episode_start", schemas.EpisodeStart("first"))
    blind = commands(0.0)
    assert (blind.wheels.motor_left, blind.wheels.motor_right) == (0, 0)
    assert blind.LEDS.front_left == schemas.RGB(1.0, 0.0, 0.0)
    for number in range(3):
        see(jpeg(red=60 + 60 * number, green=200 - 60 * number), 5 + number / 30)
        driving = commands(number / 30)
    # green of the oldest frame, red of the newest, both halved
    assert driving.wheels.motor_left == pytest.approx(200 / 255 / 2, abs=0.01)
    assert driving.wheels.motor_right == pytest.approx(180 / 255 / 2, abs=0.01)
    assert driving.LEDS.front_left == schemas.RGB(1.0, 1.0, 1.0)
    see(b"no picture", 5.1)
    see(jpeg(red=240, green=0), 5 + 2 / 30)  # the time stamp of the frame before: it is that one
    assert commands(0.2).wheels == driving.wheels
    assert commands(0.4).wheels.motor_left == 0
    interface.write_topic_and_expect_zero("episode_start", schemas.EpisodeStart("second"))
    see(jpeg(red=100, green=100), 0.0)
    assert commands(0.0).wheels.motor_left == pytest.approx(100 / 255 / 2, abs=0.01)
    last = told(conversation)
    assert last.startswith("agent: 7 commands from 5 frames, 2 of them to stand still")
    assert "ms a command" in last
    assert last.count("\n") == 1
    assert conversation.process.returncode == 0


def test_a_camera_of_another_size_is_refused(conversation: Conversation) -> None:
    interface = conversation.interface
    interface._get_node_protocol()
    interface.write_topic_and_expect_zero("seed", 1)
    interface.write_topic_and_expect_zero("episode_start", aido().schemas.EpisodeStart("first"))
    with pytest.raises(aido().nodes.RemoteNodeAborted):
        interface.write_topic_and_expect_zero("observations", observations(jpeg(9, 9, (8, 8)), 0.0))
    assert told(conversation) == (
        "camera: its frames have 8 x 8 pixels, but the policy takes 6 x 4; set the camera to that\n"
    )
    assert conversation.process.returncode == 1


def test_frames_without_time_stamps_are_refused(conversation: Conversation) -> None:
    schemas, interface = aido().schemas, conversation.interface
    interface.expect_protocol = schemas.protocol_agent_DB20
    with pytest.raises(aido().nodes.ExternalProtocolViolation):
        interface.write_topic_and_expect_zero(
            "observations",
            schemas.DB20Observations(schemas.JPGImage(b""), schemas.DB20Odometry(0.1, 0.0, 0.0)),
        )
    assert "does not speak protocol_agent_DB20_timestamps" in (last := told(conversation))
    assert last.count("\n") == 1
    assert conversation.process.returncode == 1


@pytest.mark.parametrize(
    ("model", "said", "message"),
    [
        ("missing.onnx", b"", "missing.onnx: is missing"),
        ("pyproject.toml", b"", "pyproject.toml: is not a usable ONNX model"),
        (
            "",
            cbor2.dumps({"compat": ["z2"], "topic": "hello", "data": None}),
            "does not speak protocol_agent_DB20_timestamps",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    telling_file: Path, model: str, said: bytes, message: str
) -> None:
    command = [sys.executable, "-m", "ducklane", "agent", "--model", model or str(telling_file)]
    done = subprocess.run(command, input=said, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert not said or cbor2.loads(done.stdout)["control"] == "not-understood"
    assert done.stderr.count(b"\n") == 1


def test_a_terminal_is_told_what_the_agent_is_for(telling_file: Path) -> None:
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "ducklane", "agent", "--model", str(telling_file)]
    done = subprocess.run(command, stdin=terminal, capture_output=True, timeout=60, text=True)
    os.close(terminal)
    os.close(master)
    assert done.returncode == 1
    assert done.stderr.startswith("AIDONODE_DATA_IN: is not set")
