"""A window on the screen, for `render_mode="human"`."""

from __future__ import annotations

import os
import time

import cv2

from ducklane.errors import UserError
from ducklane.simulator.interface import STEP_SECONDS, Frame


class Window:
    """Shows frames in real time, at the pace of the robot's steps.

    Args:
        title: of the window; each window has its own.

    Raises:
        UserError: there is no display.
    """

    def __init__(self, title: str) -> None:
        # without a display OpenCV would end the whole process
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError(
                'render_mode="human" needs a display, and there is none; use render_mode="rgb_array"'
            )
        self._title = title
        self._open = False
        self._next_s = 0.0

    def show(self, frame: Frame) -> None:
        """Show an RGB frame until the next one is due.

        Raises:
            UserError: this OpenCV was built without windows.
        """
        now_s = time.monotonic()
        try:
            cv2.imshow(self._title, frame[..., ::-1])
            cv2.waitKey(max(1, round(1000 * (self._next_s - now_s))))
        except cv2.error as error:
            raise UserError(
                "opencv-python-headless opens no windows; replace it: pip install opencv-python"
            ) from error
        self._open = True
        self._next_s = max(self._next_s, now_s) + STEP_SECONDS

    def close(self) -> None:
        """Close it, if it was opened."""
        if self._open:
            cv2.destroyWindow(self._title)
            self._open = False
