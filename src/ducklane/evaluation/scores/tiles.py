"""Where on the map a policy fails: its episodes, tile by tile."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ducklane.evaluation.episodes import Episode
from ducklane.evaluation.starts import LaneGeometry
from ducklane.simulator.interface import STEP_SECONDS

Row = dict[str, object]


def tile_rows(
    geometry: LaneGeometry, episodes: Sequence[Episode], laterals_m: Sequence[NDArray[np.float64]]
) -> list[Row]:
    """One row per tile with road, those where most episodes ended early first.

    Args:
        geometry: of the map.
        episodes: what was driven.
        laterals_m: of each, as from `LaneMap.judge`.

    Returns:
        `tile`, a name made of its `kind`, `tile_i` and `tile_j`; `failures`, the episodes that ended on it by
        leaving the road or colliding; `seconds` driven on it; `lateral_mean_m`, metres from the lane's
        centre; and `in_lane_share` of the time; both are empty where no time was spent.
    """
    poses = np.concatenate([episode.poses[:-1] for episode in episodes])
    laterals = np.concatenate(laterals_m)
    i, j = np.floor(poses[:, :2] / geometry.tile_size).astype(int).T
    # where the last step began, as it may have ended off the road
    last = [episode.poses[-2, :2] for episode in episodes if not episode.survived]
    ends = [tuple(np.floor(place / geometry.tile_size).astype(int).tolist()) for place in last]
    rows: list[Row] = []
    for tile_i, tile_j, kind in sorted(geometry.drivable_tiles):
        here = laterals[(i == tile_i) & (j == tile_j)]
        rows.append({
            "tile": f"{kind} {tile_i}, {tile_j}",
            "tile_i": tile_i,
            "tile_j": tile_j,
            "kind": kind,
            "failures": ends.count((tile_i, tile_j)),
            "seconds": round(len(here) * STEP_SECONDS, 3),
            "lateral_mean_m": _rounded(np.nanmean(here)) if np.isfinite(here).any() else "",
            "in_lane_share": _rounded(np.isfinite(here).mean()) if len(here) else "",
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-int(str(row["failures"])), -_worst(row)))


def _worst(row: Row) -> float:
    return float(str(row["lateral_mean_m"] or -math.inf))


def _rounded(value: float) -> float:
    return round(float(value), 4)


def write_tiles(path: Path, rows_of: dict[str, list[Row]]) -> None:
    """Write the rows of several drives as one CSV.

    Args:
        path: of the file.
        rows_of: name of the drives -> `tile_rows`.
    """
    with path.open("w", newline="") as file:
        rows = list(_named(rows_of))
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _named(rows_of: dict[str, list[Row]]) -> Iterator[Row]:
    for drives, rows in rows_of.items():
        for row in rows:
            yield {"drives": drives, **row}
