"""A policy as an agent of the AI Driving Olympics, which is also how a Duckiebot with ROS 1 is driven.

It speaks `protocol_agent_DB20_timestamps` over the fifos that the environment variables AIDONODE_DATA_IN and
AIDONODE_DATA_OUT name, else over its standard streams.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ducklane.errors import UserError, reason
from ducklane.export.policy_file import PolicyFile
from ducklane.robot.driver import STAND, Driver, Frame
from ducklane.robot.protocol import aido

DATA_IN = "AIDONODE_DATA_IN"

WHITE, RED = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)
"""Colours of the LEDs, (red, green, blue) in [0, 1]."""

PROTOCOL = "protocol_agent_DB20_timestamps"


class Agent:
    """What `wrap_direct` calls for each message.

    Args:
        driver: of the robot.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._frames = 0
        self._standing = 0
        self._spent_s: list[float] = []
        self._decoding_s = 0.0

    def on_received_seed(self, data: int) -> None:
        """Nothing is drawn at random."""

    def on_received_episode_start(self, context: Any, data: Any) -> None:
        """Forget the last episode."""
        self._driver.start()

    def on_received_observations(self, context: Any, data: Any) -> None:
        """Take the camera's frame."""
        started = time.perf_counter()
        frame = decoded(data.camera.jpg_data)
        if frame is not None:
            self._frames += 1
            self._driver.see(data.camera.timestamp, frame)
        self._decoding_s += time.perf_counter() - started

    def on_received_get_commands(self, context: Any, data: Any) -> None:
        """Answer with the duty of the wheels, and light the LEDs: all red where no frames come."""
        started = time.perf_counter()
        wheels = self._driver.command(data.at_time)
        schemas = aido().schemas
        red, front = schemas.RGB(*RED), schemas.RGB(*(RED if wheels is None else WHITE))
        leds = schemas.LEDSCommands(front, front, front, red, red)
        context.write("commands", schemas.DB20Commands(schemas.PWMCommands(*(wheels or STAND)), leds))
        self._standing += wheels is None
        self._spent_s.append(time.perf_counter() - started + self._decoding_s)
        self._decoding_s = 0.0

    def told(self) -> str:
        """What happened, in one line."""
        if not self._spent_s:
            return "agent: was asked for no commands"
        middle, slow = statistics.median(self._spent_s), float(np.quantile(self._spent_s, 0.99))
        return (
            f"agent: {len(self._spent_s)} commands from {self._frames} frames, {self._standing} of them to "
            f"stand still for want of frames; {middle * 1000:.1f} ms a command, 1 in 100 takes over "
            f"{slow * 1000:.1f} ms"
        )


def decoded(jpeg: bytes) -> Frame | None:
    """The picture in a JPEG file, RGB [height, width, 3]; None if it cannot be read."""
    content = np.frombuffer(jpeg, np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    return None if picture is None else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def run(model: Path, scale: float = 1.0) -> None:
    """Drive until the other side closes its end; then print how long the commands took, on stderr.

    Args:
        model: the policy's ONNX file.
        scale: factor of its commands, in (0, 1].

    Raises:
        UserError: the file is no policy, nobody is there to talk to, or they speak another protocol.
    """
    if DATA_IN not in os.environ and sys.stdin.isatty():
        raise UserError(
            f"{DATA_IN}: is not set, and a terminal does not speak AIDO's protocol; let AIDO's runner or the "
            "robot's bridge start the agent, or name a fifo"
        )
    agent = Agent(Driver(PolicyFile(model), scale))
    packages = aido()
    with _talking():
        packages.wrapper.wrap_direct(agent, getattr(packages.schemas, PROTOCOL), args=[])
    print(agent.told(), file=sys.stderr)


@contextmanager
def _talking() -> Iterator[None]:
    """Leave stdout to the protocol, and turn what goes wrong in a conversation into one line."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    disabled = logging.root.manager.disable
    logging.disable()  # each message, and a traceback for each error
    try:
        yield
    except Exception as error:
        raise _cause(error) from error
    finally:
        logging.disable(disabled)
        sys.stdout = stdout


def _cause(error: BaseException) -> BaseException:
    """What the user should see of an error that the protocol's packages wrapped."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, UserError | KeyboardInterrupt):
            return cause
    structures = aido().nodes.structures
    foreign = (structures.ExternalProtocolViolation, structures.DecodingError, ValueError)
    for cause in causes:
        if isinstance(cause, foreign):
            return UserError(f"agent: the other side does not speak {PROTOCOL}: {reason(cause)}")
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
