"""Pictures for people: the paths drawn on the map, and a drive as a video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ducklane.machine.folders import cache_folder

# matplotlib would warn of a read-only home, and search the system's fonts each time
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder("matplotlib")))

import imageio.v2 as imageio
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ducklane.evaluation.episodes import Episode
from ducklane.simulator.interface import FRAMES_PER_SECOND, MapImage, State
from ducklane.task.observation import FrameTransform

SURVIVED, FAILED = "#00b3a4", "#ff4d4d"


def save_trajectories(
    path: Path, map_image: MapImage, episodes: Sequence[Episode], title: str | None = None
) -> None:
    """Draw each path on the map: a dot at its start, a cross where the robot left the road or collided.

    Args:
        path: of the picture.
        map_image: the map from above.
        episodes: the drives.
        title: above the picture; by default how many were driven to the end.
    """
    left, right, bottom, top = map_image.extent
    figure = Figure(figsize=(8, 8 * (bottom - top) / (right - left) + 0.6), dpi=90, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(map_image.pixels, extent=map_image.extent)
    for episode in episodes:
        color = SURVIVED if episode.survived else FAILED
        x, z = episode.poses[:, 0], episode.poses[:, 1]
        axes.plot(x, z, color=color, linewidth=2)
        axes.plot(x[0], z[0], "o", color=color, markeredgecolor="white", markersize=7)
        if not episode.survived:
            axes.plot(x[-1], z[-1], "X", color=color, markeredgecolor="white", markersize=10)
    survived = sum(episode.survived for episode in episodes)
    seconds = max(len(episode.poses) - 1 for episode in episodes) / FRAMES_PER_SECOND
    axes.set_title(
        title or f"{survived} of {len(episodes)} starts driven to the end (longest {seconds:.1f} s)"
    )
    axes.set_xlabel("x (m)")
    axes.set_ylabel("z (m)")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    canvas.draw()  # type: ignore[no-untyped-call]
    # the file is kept in git, and a palette makes it a third as large
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


PANEL_HEIGHT = 480
SEEN_WIDTH = 320
CAPTION_HEIGHT = 24
BACKGROUND, TRACK, ROBOT = (32, 32, 36), (0, 200, 180), (255, 90, 90)


class DriveVideo:
    """Films a drive: the camera, what the network sees of it, and the track from above, side by side.

    Args:
        path: of the video.
        map_image: the map from above.
        transform: from the camera frame to what the network sees; without one, that panel is left out.
        max_seconds: length at which filming stops.
    """

    def __init__(
        self,
        path: Path,
        map_image: MapImage,
        transform: FrameTransform | None = None,
        max_seconds: float = 60,
    ) -> None:
        self._writer = imageio.get_writer(
            path,
            format="FFMPEG",
            mode="I",
            fps=FRAMES_PER_SECOND,
            codec="libx264",
            macro_block_size=2,
            output_params=["-preset", "veryfast"],  # a fast one: other processes drive meanwhile
        )
        self._transform = transform
        self._track = _Track(map_image)
        self._frames_left = round(max_seconds * FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, frame: NDArray[np.uint8], state: State) -> None:
        """Append a camera frame [height, width, 3] and the state that it shows, up to `max_seconds`."""
        if self._frames_left <= 0:
            return
        self._frames_left -= 1
        panels = [_captioned(_scaled(Image.fromarray(frame), height=PANEL_HEIGHT), "camera")]
        if self._transform is not None:
            seen = np.squeeze(self._transform(frame))
            enlarged = _scaled(Image.fromarray(seen).convert("RGB"), width=SEEN_WIDTH)
            panels.append(_captioned(enlarged, f"what the network sees, {seen.shape[1]} x {seen.shape[0]}"))
        track = self._track.drawn(state.x, state.z)
        panels.append(_captioned(track, f"from above, {state.forward_speed:.2f} m/s"))
        self._writer.append_data(np.concatenate(panels, axis=1))


class _Track:
    """The path so far, drawn on the map."""

    def __init__(self, map_image: MapImage) -> None:
        self._map = _scaled(Image.fromarray(map_image.pixels), height=PANEL_HEIGHT)
        self._extent = map_image.extent
        self._last: tuple[float, float] | None = None

    def drawn(self, x: float, z: float) -> Image.Image:
        """The map with the path to (x, z), metres, and a dot there."""
        here = self._pixel(x, z)
        if self._last is not None:
            ImageDraw.Draw(self._map).line([self._last, here], fill=TRACK, width=3)
        self._last = here
        shown = self._map.copy()
        ImageDraw.Draw(shown).circle(here, 7, fill=ROBOT, outline="white", width=2)
        return shown

    def _pixel(self, x: float, z: float) -> tuple[float, float]:
        left, right, bottom, top = self._extent
        width, height = self._map.size
        return (x - left) / (right - left) * width, (z - top) / (bottom - top) * height


def _scaled(image: Image.Image, *, width: int = 0, height: int = 0) -> Image.Image:
    """The image at this width or height, aspect ratio kept; even sizes, which the codec needs."""
    factor = width / image.width if width else height / image.height
    size = (2 * round(image.width * factor / 2), 2 * round(image.height * factor / 2))
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR)


def _captioned(image: Image.Image, caption: str) -> NDArray[np.uint8]:
    """A panel with the image in the middle and the caption above it."""
    panel = Image.new("RGB", (image.width, PANEL_HEIGHT + CAPTION_HEIGHT), BACKGROUND)
    panel.paste(image, (0, CAPTION_HEIGHT + (PANEL_HEIGHT - image.height) // 2))
    ImageDraw.Draw(panel).text((8, 4), caption, fill="white", font_size=14)
    return np.asarray(panel)
