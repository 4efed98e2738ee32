"""What a person looks at: the paths over the map, and the drive as a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import imageio.v2 as imageio
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ducklane.evaluation.episodes import Episode
from ducklane.simulator.reference import MapImage
from ducklane.task.observation import FrameTransform

FRAMES_PER_SECOND = 30
SURVIVED, FAILED = "#00b3a4", "#ff4d4d"


def save_trajectories(path: Path, map_image: MapImage, episodes: Sequence[Episode]) -> None:
    """Draw each path over the map: a dot at its start, a cross where it left the road or collided."""
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
    axes.set_title(f"{survived} of {len(episodes)} starts driven to the end (longest {seconds:.1f} s)")
    axes.set_xlabel("x (m)")
    axes.set_ylabel("z (m)")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    canvas.draw()  # type: ignore[no-untyped-call]
    # a palette makes the file a third as large, and it is kept in git
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


class DriveVideo:
    """Writes camera frames as a video; above, small, what the policy sees of them."""

    def __init__(self, path: Path, transform: FrameTransform | None = None, max_seconds: float = 60) -> None:
        self._writer = imageio.get_writer(
            path, format="FFMPEG", mode="I", fps=FRAMES_PER_SECOND, codec="libx264", macro_block_size=2
        )
        self._transform = transform
        self._left = round(max_seconds * FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a camera frame [height, width, 3], as long as the video may grow."""
        if self._left <= 0:
            return
        self._left -= 1
        self._writer.append_data(
            frame if self._transform is None else self._with_inset(frame, self._transform)
        )

    @staticmethod
    def _with_inset(frame: NDArray[np.uint8], transform: FrameTransform) -> NDArray[np.uint8]:
        seen = transform(frame)
        scale = max(1, frame.shape[1] // 3 // seen.shape[1])
        inset = seen.repeat(scale, axis=0).repeat(scale, axis=1)
        shown = frame.copy()
        shown[: inset.shape[0] + 4, -inset.shape[1] - 4 :] = 255
        shown[2 : inset.shape[0] + 2, -inset.shape[1] - 2 : -2] = inset
        return shown
