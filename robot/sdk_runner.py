#!/usr/bin/env python3
"""Drive a Duckiebot of the newer generation (ente), or a simulated one, with models/policy_streaming.onnx.

    pip install -r requirements-sdk.txt
    python sdk_runner.py NAME --model policy_streaming.onnx

One file with requirements of its own: copy it and the policy to wherever the robot can be reached from.
Ctrl-C stops the robot. docs/robot.md says what to check before the wheels touch the ground.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections import deque

import numpy as np
import onnxruntime

STOP_AFTER_S = 0.3
"""The robot stands still when no new frame has come for this long; then its memory begins anew."""

SEND_S = 0.1
"""How long a command may take to be sent."""

OLDER_SPACING_S = 1 / 30
"""Seconds between stacked frames, of files that do not say it."""


class Pilot:
    """Wheel commands for camera frames.

    Args:
        path: a streaming ONNX file of ducklane.
        scale: factor of its commands, in (0, 1].
    """

    def __init__(self, path: str, scale: float = 1.0) -> None:
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:
            sys.exit(
                f"{path}: cannot be used ({' '.join(str(error).split())[:120]}); give policy_streaming.onnx"
            )
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        if "frame" not in shapes:
            sys.exit(
                f"{path}: takes {', '.join(shapes)}, not one frame at a time; give policy_streaming.onnx"
            )
        self._scale = scale
        self._size = shapes["frame"][1:3]
        self._earlier = shapes.get("earlier")
        metadata = self._session.get_modelmeta().custom_metadata_map
        spacing_s = float(metadata.get("frame_spacing_s", OLDER_SPACING_S))
        below = self._earlier[1] if self._earlier else 0
        self._ages = [spacing_s * back for back in range(below, 0, -1)]
        self._kept: deque = deque(maxlen=64)

    def drive(self, time_s: float, frame: np.ndarray) -> tuple[float, float]:
        """Wheel duty (left, right) in [-1, 1] for a new frame [height, width, 3], RGB, taken at `time_s`."""
        if list(frame.shape[:2]) != list(self._size):
            sys.exit(
                f"camera: its frames have {frame.shape[1]} x {frame.shape[0]} pixels, but the policy takes "
                f"{self._size[1]} x {self._size[0]}; set the camera to that"
            )
        if self._kept and not 0 < time_s - self._kept[-1][0] <= STOP_AFTER_S:
            self._kept.clear()
        if not self._kept and self._ages:
            nothing = np.zeros(self._earlier[2:], np.float32)
            _, kept = self._run(frame, [nothing] * len(self._ages))
            earlier = [kept] * len(self._ages)
        else:
            earlier = [min(self._kept, key=lambda past: abs(time_s - past[0] - age))[1] for age in self._ages]
        wheels, kept = self._run(frame, earlier)
        self._kept.append((time_s, kept))
        left, right = np.clip(wheels[0], -1, 1) * self._scale
        return float(left), float(right)

    def _run(self, frame: np.ndarray, earlier: list) -> list:
        inputs = {"frame": np.ascontiguousarray(frame)[None]}
        if earlier:
            inputs["earlier"] = np.stack(earlier)[None]
        return self._session.run(["wheels", "reduced"], inputs)


def send(motors) -> None:
    """Have the last command sent now.

    duckietown-sdk 0.2.0 puts a command into the queue of another thread without waking that thread: it would
    wait there until the next frame comes, and commands given meanwhile, a stop too, would be dropped.
    """
    connector = getattr(motors, "_connector", None)
    if connector is not None:
        connector.arun(asyncio.sleep(0))


def drive(robot, pilot: Pilot, seconds: float, dry: bool) -> list[float]:
    """Drive until the time is over or the process is interrupted; return the seconds that frames took."""
    camera, motors = robot.camera, robot.motors
    camera.start()
    motors.start()
    spent_s: list[float] = []
    started_s = latest_s = time.monotonic()
    try:
        while time.monotonic() - started_s < seconds:
            picture = camera.capture(block=True, timeout=STOP_AFTER_S)
            now_s = time.monotonic()
            if picture is None:
                if now_s - latest_s >= STOP_AFTER_S:
                    motors.set_pwm(left=0.0, right=0.0)
                    send(motors)
                continue
            latest_s = now_s
            wheels = pilot.drive(now_s, picture[..., ::-1])  # the camera gives BGR, the policy takes RGB
            if dry:
                print(f"left {wheels[0]:+.2f}, right {wheels[1]:+.2f}", flush=True)
            else:
                motors.set_pwm(left=wheels[0], right=wheels[1])
                send(motors)
            spent_s.append(time.monotonic() - now_s)
    finally:
        # a command that still waits would take the place of the last one
        send(motors)
        time.sleep(SEND_S)
        motors.stop()  # which also sets both wheels to 0
        send(motors)
        time.sleep(SEND_S)
        camera.stop()
    return spent_s


def main() -> None:
    """Read the command line, and drive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the robot's name; it is reached as NAME.local")
    parser.add_argument("--model", default="policy_streaming.onnx", help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the commands, in (0, 1]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to drive")
    parser.add_argument("--simulated", action="store_true", help="the robot is in a Duckiematrix here")
    parser.add_argument("--dry", action="store_true", help="print the commands, and leave the wheels alone")
    options = parser.parse_args()
    if not 0 < options.scale <= 1:
        parser.error(f"--scale: {options.scale:g} is not in (0, 1]")
    pilot = Pilot(options.model, options.scale)
    # imported here: it looks for its libraries when it is imported, and the policy is checked before
    from duckietown.sdk.robots.duckiebot import DB21J

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the wheels on `kill`, too
    spent_s: list[float] = []
    try:
        spent_s = drive(DB21J(options.name, simulated=options.simulated), pilot, options.seconds, options.dry)
    except KeyboardInterrupt:
        print("stopped")
    if spent_s:
        print(f"{len(spent_s)} frames, {statistics.median(spent_s) * 1000:.1f} ms each")


if __name__ == "__main__":
    main()
