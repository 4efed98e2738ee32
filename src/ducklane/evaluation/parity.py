"""How close the batched simulator's images are to gym-duckietown's, through the same observation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ducklane.environment import image_blocks
from ducklane.settings import ObservationSettings, SimulatorSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.interface import Pose
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.task.observation import FrameTransform

Image = NDArray[np.uint8]

MAPS = (
    "loop_empty",
    "small_loop",
    "loop_obstacles",
    "udem1",
    "zigzag_dists",
    "ETHZ_autolab_technical_track",
    "regress_4way_adam",
    "robotarium2",
    "loop_pedestrians",
    "4way",
)
"""Maps for the comparison: five with many objects, two with a few, three with none or signs only."""


SAME_DB = 60.0
"""Stands for identical images, whose PSNR is infinite, in a mean of decibels."""


class Compared(NamedTuple):
    """One view in both simulators."""

    map_name: str
    pose: Pose
    ours: Image
    stock: Image
    psnr_db: float
    ssim: float


def compare(
    settings: SimulatorSettings,
    observation: ObservationSettings,
    map_names: Iterable[str],
    poses: int,
    seed: int = 0,
) -> Iterator[Compared]:
    """Render views from random poses on each map, on the road and clear of objects, in colour.

    Args:
        settings: of the camera; the map is replaced, and randomization is off.
        observation: crops and averages both images; a single frame.
        map_names: names of the maps.
        poses: number of poses per map.
        seed: of the poses.
    """
    # in colour even for a policy that sees gray: it shows more differences
    observation = observation.model_copy(update={"color": "rgb"})
    transform = FrameTransform(observation, settings.camera_height, settings.camera_width)
    plain = {"domain_rand": False, "dynamics_rand": False, "camera_rand": False}
    for map_name in map_names:
        of_map = settings.model_copy(update={**plain, "map_name": map_name})
        simulator = StockSimulator(of_map)
        batched = BatchedSimulator(of_map, 1, image_blocks(observation, settings), threads=1)
        fresh: int | None = settings.seed
        for pose in _poses(simulator, poses, np.random.default_rng(seed)):
            stock = transform(simulator.reset(seed=fresh, options={"pose": pose})[0])
            (ours,), _ = batched.reset(seed=fresh, options={"poses": [pose]})
            fresh = None  # the light follows on from the last view, as in training
            yield Compared(map_name, pose, ours, stock, psnr(ours, stock), ssim(ours, stock))
        simulator.close()
        batched.close()


def _poses(simulator: StockSimulator, count: int, generator: np.random.Generator) -> Iterator[Pose]:
    tiles = simulator.drivable_tiles
    while count:
        i, j, _ = tiles[generator.integers(len(tiles))]
        x, z = (i + generator.random()) * simulator.tile_size, (j + generator.random()) * simulator.tile_size
        angle = generator.uniform(-np.pi, np.pi)
        if simulator.valid_pose(x, z, angle):
            count -= 1
            yield x, z, angle


def psnr(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio in decibels; infinite for equal images."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else np.inf


def ssim(a: Image, b: Image) -> float:
    """Structural similarity, 1 for equal images: Wang et al. 2004, Gaussian window of 11 pixels."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def local(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float64)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y, cov = local(x * x) - mean_x**2, local(y * y) - mean_y**2, local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return float(np.mean(similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))))


def side_by_side(pairs: Sequence[Compared], scale: int = 4) -> Image:
    """A picture of all pairs, two per row, the batched simulator's on the left of each."""
    cells = [np.hstack([pair.ours, pair.stock]) for pair in pairs]
    rows = [np.hstack(cells[k : k + 2]) for k in range(0, len(cells) - 1, 2)]
    return np.repeat(np.repeat(np.vstack(rows), scale, axis=0), scale, axis=1)
