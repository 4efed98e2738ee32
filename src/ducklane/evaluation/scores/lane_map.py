"""The AI Driving Olympics' lane-following scores of driven episodes.

`LaneMap(map_name).score(poses, survived=...)` gives the numbers of `duckietown_world.rules.evaluate_rules`,
in some 20 us per step instead of 20 ms; `summarize` gives the medians that AIDO ranks by.

The lanes are duckietown-world's own: straight pieces and circular arcs, 0.376 tiles wide, their centre 0.22
tiles from the road's. The simulator's lane curves, which rewards and controllers use, are up to 3.7 cm away
from them, 1.3 cm on average, so a robot that follows those exactly still has a small official deviation.

Peculiarities of the official numbers:

- Lengths across the lane are measured in tiles (`deviation-center-line`), lengths along it in metres.
- The returning half of a circle within one lane is neither added nor subtracted, so each turn adds the
  circle's diameter to `driven_lanedir_consec`: look at the speed, too.
- Time outside any lane adds nothing to the deviations.
- For an episode of a single step the official rules give 0 m; here it is the distance driven.

Reference: duckietown_world.rules of duckietown-world-daffy 6.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ducklane.evaluation.scores.duckietown_world import load_world, make_world, read_lanes
from ducklane.evaluation.scores.lanes import Bools, Floats, Ints, LanePoses
from ducklane.evaluation.scores.summary import Scores
from ducklane.simulator.interface import STEP_SECONDS
from ducklane.simulator.stock.importing import silence
from ducklane.simulator.town.maps import check_map


class LaneMap:
    """The lanes of a map of duckietown-world, loaded once, against which driven episodes are scored.

    Attributes:
        map_name: the map's name.
        tile_size: edge of a tile in metres.
    """

    def __init__(self, map_name: str, content: Any = None) -> None:
        """Load the lanes.

        Args:
            map_name: the map's name.
            content: what its file holds, already checked; by default that of the map of this name is read.

        Raises:
            MapError: there is no such map, or no road on it.
        """
        if content is None:
            check_map(map_name)
        self.map_name = map_name
        with silence():
            world = load_world(map_name) if content is None else make_world(content)
            self._lanes = read_lanes(world)
        self.tile_size = float(world.tile_size)
        self._height_m = world.children["tilemap"].W * self.tile_size
        self._loop_m = self._lanes.loop_lengths() * self.tile_size

    def score(self, poses: Floats, *, survived: bool, step_seconds: float = STEP_SECONDS) -> Scores:
        """`judge` one episode: its scores alone."""
        return self.judge(poses, survived=survived, step_seconds=step_seconds)[0]

    def judge(
        self, poses: Floats, *, survived: bool, step_seconds: float = STEP_SECONDS
    ) -> tuple[Scores, Floats]:
        """Score one episode, and return its distances from the lane's centre.

        Args:
            poses: float64 (T + 1, 3), (x, z, angle) in the simulator's frame, metres and radians, the start
                pose first, `step_seconds` apart.
            survived: whether the episode ended by its time limit.
            step_seconds: seconds between two poses.

        Returns:
            the scores; and float64 (T,) metres from the centre of the lane that each step began in, NaN where
            it began in none.

        Raises:
            ValueError: there are fewer than two poses, or they are not finite or of another shape; or
                `step_seconds` is not positive.
        """
        if not step_seconds > 0:
            raise ValueError(f"step_seconds must be positive, not {step_seconds}")
        path = self._in_world(poses)
        # the official rules weight every step by the lane it began in
        lane_poses = self._lanes.find(path[:-1])
        progress = _along(lane_poses, path[lane_poses.step + 1])
        seconds = (len(path) - 1) * step_seconds
        best = lane_poses.best_aligned()
        seconds_in_lane = len(best.step) * step_seconds
        deviation = float(best.lateral.sum()) * step_seconds
        distance = _total(progress, lane_poses.step, lane_poses.in_first_lane_of_tile())
        scores = Scores(
            driven_lanedir_consec=distance,
            survival_time=seconds,
            deviation_center_line=deviation,
            in_drivable_lane=seconds - seconds_in_lane,
            deviation_heading=float(best.heading.sum()) * step_seconds,
            driven_any=_length(path),
            driven_lanedir=_total(progress, lane_poses.step, np.ones(len(progress), np.bool_)),
            survived=survived,
            lateral_mean_m=deviation * self.tile_size / seconds_in_lane if seconds_in_lane else None,
            laps=self._laps(distance, best),
        )
        laterals_m = np.full(len(path) - 1, np.nan)
        laterals_m[best.step] = best.lateral * self.tile_size
        return scores, laterals_m

    def _in_world(self, poses: Floats) -> Floats:
        """The poses in the frame of duckietown-world: y up the map."""
        poses = np.asarray(poses, np.float64)
        if poses.ndim != 2 or poses.shape[1] != 3 or len(poses) < 2:
            raise ValueError(f"poses must be (T + 1, 3) with T >= 1, not {poses.shape}")
        if not np.isfinite(poses).all():
            raise ValueError("poses must be finite")
        return np.stack([poses[:, 0], self._height_m - poses[:, 1], poses[:, 2]], axis=1)

    def _laps(self, distance: float, best: LanePoses) -> float | None:
        if not len(best.lane):
            return 0.0
        loop = float(self._loop_m[best.lane[0]])
        return distance / loop if np.isfinite(loop) else None


def _along(lane_poses: LanePoses, following: Floats) -> Floats:
    """(n,) metres by which the next pose is ahead of the lane's point closest to this one."""
    offset = following[:, :2] - lane_poses.center[:, :2]
    heading = lane_poses.center[:, 2]
    return np.cos(heading) * offset[:, 0] + np.sin(heading) * offset[:, 1]


def _total(progress: Floats, step: Ints, counts: Bools) -> float:
    """Sum over the steps of the largest progress among the lanes that count."""
    progress, step = progress[counts], step[counts]
    _, starts = np.unique(step, return_index=True)
    return float(np.maximum.reduceat(progress, starts).sum()) if len(starts) else 0.0


def _length(path: Floats) -> float:
    return float(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1).sum())
