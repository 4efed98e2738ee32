"""The AI Driving Olympics' lane-following scores of driven episodes.

`LaneMap(map_name).score(poses, survived=...)` gives the numbers of `duckietown_world.rules.evaluate_rules`,
which takes some 20 ms a step, in some 20 us a step; `summarize` gives the medians that AIDO ranks by.

The lanes are duckietown-world's own: straight pieces and circular arcs, 0.376 tiles wide, their centre 0.22
tiles from the road's. The simulator's lane curves, which rewards and controllers use, lie up to 3.7 cm beside
them, 1.3 cm on average, so a robot that follows those exactly still has a small official deviation.

The official rules find the point of a lane closest to the robot with Brent's minimiser at a tolerance of
1e-6. What that leaves is part of the official numbers, so the same minimiser is run here, on all poses and
lanes at once.

What to know of the official numbers:

- Lengths across the lane are measured in tiles (`deviation-center-line`), lengths along it in metres.
- The returning half of a circle within one lane does not count and is not taken off either, so that each
  turn adds the circle's diameter to `driven_lanedir_consec`: look at the speed, too.
- Time outside any lane adds nothing to the deviations.
- Of an episode of a single step the official rules say that it drove 0 m; here it drove what it drove.

References:
    duckietown_world.rules and duckietown_world.world_duckietown.tile of duckietown-world-daffy 6.4.
    R. P. Brent, Algorithms for Minimization without Derivatives (1973), chapter 5;
    `scipy.optimize.minimize_scalar` is the implementation that the official rules call.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.maps import check_map, is_own, read_map
from ducklane.simulator.reference import import_duckietown_world

STEP_SECONDS = 1 / 30
"""Time between two poses of the simulator."""

BRENT_TOLERANCE = 1e-6
"""Relative tolerance of the closest point along a lane in the official rules."""

JOINT_TOLERANCE_M = 1e-3
"""Lanes of neighbouring tiles that meet within this distance are one lane."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Matrix = NDArray[np.floating]
"""(3, 3) a pose or a change of frame in the plane, homogeneous."""
Matrices = NDArray[np.floating]
"""(n, 3, 3)"""


@dataclass(frozen=True)
class Scores:
    """One episode's scores.

    The fields from `driven_lanedir_consec` to `driven_lanedir` are the official ones, under the official
    names with `_` for `-` and in the official units; the others, and the properties, say the same readably.
    """

    driven_lanedir_consec: float
    """metres along the lane, on each tile only in the lane first used there; higher is better; ranked 1st"""
    survival_time: float
    """seconds until the episode ended; higher is better; ranked 2nd"""
    deviation_center_line: float
    """time integral of the distance from the lane's centre while in a lane, in TILES times seconds (the
    official rules measure it in the tile's frame); lower is better, ranked 3rd"""
    in_drivable_lane: float
    """seconds WITHOUT a lane under the robot within 90 degrees of its heading (the official name says the
    opposite); lower is better, ranked 4th"""
    deviation_heading: float
    """time integral of the angle to the lane while in a lane, radians times seconds; lower is better"""
    driven_any: float
    """metres driven, anywhere and in any direction"""
    driven_lanedir: float
    """metres along the lane, in whichever lane fits best at each step; higher is better"""
    survived: bool
    """whether the episode ended by its time limit rather than by leaving the road or colliding"""
    lateral_mean_m: float | None
    """metres from the lane's centre on average over the time in a lane; None without any; lower is better"""
    laps: float | None
    """`distance_m` over the length of the loop that the lane first used belongs to; 0 without any lane;
    None where that lane branches or ends, so that no single loop exists; higher is better"""

    @property
    def distance_m(self) -> float:
        """Metres driven along the lane, `driven_lanedir_consec`; higher is better."""
        return self.driven_lanedir_consec

    @property
    def survival_s(self) -> float:
        """Seconds driven, `survival_time`; higher is better."""
        return self.survival_time

    @property
    def speed_mps(self) -> float:
        """Metres per second along the lane over the whole episode; higher is better."""
        return self.distance_m / self.survival_s

    @property
    def in_lane_share(self) -> float:
        """Share of the time in a lane and heading within 90 degrees of it, 0 to 1; higher is better."""
        return 1 - self.in_drivable_lane / self.survival_time

    def official(self) -> dict[str, float]:
        """The official scores under their official names."""
        return {
            "driven_lanedir_consec": self.driven_lanedir_consec,
            "survival_time": self.survival_time,
            "deviation-center-line": self.deviation_center_line,
            "in-drivable-lane": self.in_drivable_lane,
            "deviation-heading": self.deviation_heading,
            "driven_any": self.driven_any,
            "driven_lanedir": self.driven_lanedir,
        }

    def readable(self) -> dict[str, float | None]:
        """The same in metres, seconds, shares and laps."""
        return {
            "distance_m": self.distance_m,
            "survival_s": self.survival_s,
            "speed_mps": self.speed_mps,
            "lateral_mean_m": self.lateral_mean_m,
            "in_lane_share": self.in_lane_share,
            "laps": self.laps,
        }


def summarize(scores: Sequence[Scores]) -> dict[str, Any]:
    """The medians over episodes by which AIDO ranks, ready for JSON.

    Returns:
        `episodes` and `survived`, their counts (survived: higher is better); `official` and `readable`, the
        median of each of `Scores.official()` and `Scores.readable()`, with the units and directions given
        there. `lateral_mean_m` is over the episodes that were ever in a lane, None if none was; `laps` is
        None as soon as one episode has none. AIDO ranks by `driven_lanedir_consec`, then `survival_time`,
        `deviation-center-line` and `in-drivable-lane`.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to summarize")
    official = [score.official() for score in scores]
    readable = {name: [score.readable()[name] for score in scores] for name in scores[0].readable()}
    readable["lateral_mean_m"] = [value for value in readable["lateral_mean_m"] if value is not None]
    return {
        "episodes": len(scores),
        "survived": sum(score.survived for score in scores),
        "official": {name: median(score[name] for score in official) for name in official[0]},
        "readable": {name: _median_if_all(values) for name, values in readable.items()},
    }


def _median_if_all(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known and len(known) == len(values) else None


class LaneMap:
    """The lanes of a map of duckietown-world, loaded once, against which driven episodes are scored.

    Attributes:
        map_name: the map's name.
        tile_size: edge of a tile in metres.
    """

    def __init__(self, map_name: str) -> None:
        """Load the lanes.

        Raises:
            MapError: there is no such map, or no road on it.
        """
        check_map(map_name)
        self.map_name = map_name
        with _silence():
            world = _load_world(map_name)
            self._lanes = _lanes_of(world)
        self.tile_size = float(world.tile_size)
        self._height_m = world.children["tilemap"].W * self.tile_size
        self._loop_m = self._lanes.loop_lengths() * self.tile_size

    def score(self, poses: Floats, *, survived: bool, step_seconds: float = STEP_SECONDS) -> Scores:
        """`judge` one episode: its scores alone."""
        return self.judge(poses, survived=survived, step_seconds=step_seconds)[0]

    def judge(
        self, poses: Floats, *, survived: bool, step_seconds: float = STEP_SECONDS
    ) -> tuple[Scores, Floats]:
        """Score one episode, and say how far off the lane it was.

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
        found = self._lanes.find(path[:-1])  # the official rules weigh every step by the lane it began in
        progress = _along(found, path[found.step + 1])
        seconds = (len(path) - 1) * step_seconds
        best = found.best_aligned()
        seconds_in_lane = len(best.step) * step_seconds
        deviation = float(best.lateral.sum()) * step_seconds
        distance = _total(progress, found.step, found.in_first_lane_of_tile())
        scores = Scores(
            driven_lanedir_consec=distance,
            survival_time=seconds,
            deviation_center_line=deviation,
            in_drivable_lane=seconds - seconds_in_lane,
            deviation_heading=float(best.heading.sum()) * step_seconds,
            driven_any=_length(path),
            driven_lanedir=_total(progress, found.step, np.ones(len(progress), np.bool_)),
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

    def _laps(self, distance: float, best: _LanePoses) -> float | None:
        if not len(best.lane):
            return 0.0
        loop = float(self._loop_m[best.lane[0]])
        return distance / loop if np.isfinite(loop) else None


class _LanePoses(NamedTuple):
    """Where a path is in a lane: one entry for each pose and lane that fit, by step, best aligned first."""

    step: Ints
    tile: Ints
    lane: Ints
    lateral: Floats
    """(n,) distance from the lane's centre, tiles, not negative"""
    heading: Floats
    """(n,) angle to the lane, radians, not negative"""
    center: Floats
    """(n, 3) the closest point of the lane, (x, y, heading) in metres and radians"""

    def best_aligned(self) -> _LanePoses:
        """The entry of each step whose lane is best aligned with the robot."""
        _, first = np.unique(self.step, return_index=True)
        return _LanePoses._make(column[first] for column in self)

    def in_first_lane_of_tile(self) -> Bools:
        """(n,) whether the lane is the one that was the first to be used on its tile."""
        tiles, first, which = np.unique(self.tile, return_index=True, return_inverse=True)
        own: Bools = self.lane == self.lane[first][which] if len(tiles) else np.zeros(0, np.bool_)
        return own


def _along(found: _LanePoses, following: Floats) -> Floats:
    """(n,) metres by which the following pose lies ahead of the lane's point closest to this one."""
    offset = following[:, :2] - found.center[:, :2]
    heading = found.center[:, 2]
    return np.cos(heading) * offset[:, 0] + np.sin(heading) * offset[:, 1]


def _total(progress: Floats, step: Ints, counts: Bools) -> float:
    """Sum over the steps of the largest progress among the lanes that count."""
    progress, step = progress[counts], step[counts]
    _, starts = np.unique(step, return_index=True)
    return float(np.maximum.reduceat(progress, starts).sum()) if len(starts) else 0.0


def _length(path: Floats) -> float:
    return float(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1).sum())


class _Lane(NamedTuple):
    """A lane of one tile. Poses are 3 x 3 matrices; lengths are tiles."""

    from_tile: Matrix
    """turns the tile's coordinates into the lane's"""
    to_world: Matrix
    """turns the lane's coordinates into metres of the world"""
    from_start: Matrix
    """turns the lane's coordinates into those of its first control point"""
    knots: Matrices
    """(n, 3, 3) the control points"""
    twists: Floats
    """(n + 1, 3) (forward, left, turn) per beta: before the first control point, between, after the last"""
    half_width: float
    length: float
    is_straight: bool


class _Tile(NamedTuple):
    """A tile with lanes."""

    from_world: Matrix
    """turns metres of the world into the tile's coordinates, -0.5 to 0.5"""
    lanes: list[_Lane]


class _Lanes:
    """All lanes of a map as arrays, and the search for those that a path is in.

    A lane runs through n control points; `beta` counts them, from 0 to n - 1. Between two of them it moves
    with a constant twist; before the first and after the last it runs straight on. Lengths are tiles and
    coordinates the lane's own, unless they are said to be metres or of the world.

    Where the official rules round to float32, so do these: it is 1e-7 of a metre each, and it adds up.
    """

    def __init__(self, tiles: Sequence[_Tile]) -> None:
        lanes = [lane for tile in tiles for lane in tile.lanes]
        self._tile_from_world = np.array([tile.from_world for tile in tiles])
        self._lane_count = np.array([len(tile.lanes) for tile in tiles])
        self._lane_from_tile = np.array([lane.from_tile for lane in lanes])
        self._world_from_lane = np.array([lane.to_world for lane in lanes])
        self._start_from_lane = np.array([lane.from_start for lane in lanes])
        self._half_width = np.array([lane.half_width for lane in lanes])
        self._length = np.array([lane.length for lane in lanes])
        self._is_straight = np.array([lane.is_straight for lane in lanes])
        self._last = np.array([len(lane.knots) - 1 for lane in lanes])
        self._ends = np.array([lane.to_world @ lane.knots[[0, -1]] for lane in lanes])
        # one row for each piece of each lane: where it starts, as (x, y, cos, sin), and how it goes on
        pieces = self._last + 2
        self._first_piece = np.cumsum(pieces) - pieces
        self._origin = np.concatenate([_piece_origins(lane.knots) for lane in lanes]).T.copy()
        self._twist = np.concatenate([lane.twists for lane in lanes]).T.copy()

    def find(self, path: Floats) -> _LanePoses:
        """All lanes that each pose (x, y, heading) of a path, in metres and radians of the world, is in."""
        step, tile, lane, pose = self._on_tiles(_matrices(path))
        from_start = self._start_from_lane[lane] @ pose
        beta = self._beta(lane, pose, from_start)
        center = self._centers(lane, beta)
        straight = self._is_straight[lane][:, None, None]  # these the rules measure from the lane's start
        relative = np.where(straight, from_start, np.linalg.inv(center) @ pose)
        lateral, heading = np.abs(relative[:, 1, 2]), np.abs(_heading(relative))
        inside = (lateral <= self._half_width[lane]) & (beta >= 0) & (beta < self._last[lane])
        found = np.flatnonzero(inside & (heading <= np.pi / 2))
        found = found[np.lexsort((heading[found], step[found]))]
        center_m = self._in_world(lane[found], _xy_heading(center[found]))
        return _LanePoses(step[found], tile[found], lane[found], lateral[found], heading[found], center_m)

    def loop_lengths(self) -> Floats:
        """(lanes,) length of the loop that each lane is part of, infinite where there is no single one."""
        following = [self._following(lane) for lane in range(len(self._length))]
        return np.array([self._loop_length(lane, following) for lane in range(len(following))])

    def _following(self, lane: int) -> Ints:
        """The lanes that begin where this one ends, in its direction."""
        end, starts = self._ends[lane, 1], self._ends[:, 0]
        apart = np.linalg.norm(starts[:, :2, 2] - end[:2, 2], axis=1)
        same_way = (starts[:, :2, 0] * end[:2, 0]).sum(axis=1) > 0
        return np.flatnonzero((apart < JOINT_TOLERANCE_M) & same_way)

    def _loop_length(self, lane: int, following: Sequence[Ints]) -> float:
        length, here = 0.0, lane
        for _ in following:
            length += float(self._length[here])
            if len(following[here]) != 1:
                return np.inf
            here = int(following[here][0])
            if here == lane:
                return length
        return np.inf

    def _on_tiles(self, poses: Matrices) -> tuple[Ints, Ints, Ints, Matrices]:
        """Each pose in the frame of each lane of its tile: (n,) step, tile and lane, and (n, 3, 3) poses.

        On the line between two tiles a pose is on both.
        """
        xy = np.einsum("tij,sj->sti", self._tile_from_world[:, :2], poses[:, :, 2])
        step, tile = np.nonzero((np.abs(xy) <= 0.5).all(axis=2))
        on_tile = self._tile_from_world[tile] @ poses[step]
        lanes = self._lane_count[tile]
        pair = np.repeat(np.arange(len(tile)), lanes)
        nth = np.arange(len(pair)) - np.repeat(np.cumsum(lanes) - lanes, lanes)
        lane = (np.cumsum(self._lane_count) - self._lane_count)[tile[pair]] + nth
        return step[pair], tile[pair], lane, self._lane_from_tile[lane] @ on_tile[pair]

    def _beta(self, lane: Ints, pose: Matrices, from_start: Matrices) -> Floats:
        """(n,) where along its lane each pose is."""
        beta: Floats = from_start[:, 0, 2] / self._length[lane]  # right for the straight ones
        curved = np.flatnonzero(~self._is_straight[lane])
        lane, x, y = lane[curved], pose[curved, 0, 2], pose[curved, 1, 2]

        def off_the_normal(beta: Floats, of: Ints) -> Floats:
            """How far (x, y) is from the lane's normal at beta, as the official rules measure it."""
            center_x, center_y, cos, sin = self._center(lane[of], beta)
            apart = np.hypot(x[of] - center_x, y[of] - center_y)
            right = np.hypot(center_x + sin * apart - x[of], center_y - cos * apart - y[of])
            left = np.hypot(center_x - sin * apart - x[of], center_y + cos * apart - y[of])
            off: Floats = np.minimum(right, left)
            return off

        beta[curved] = _minimize(off_the_normal, np.full(len(lane), -1.0), self._last[lane] + 1.0)
        return beta

    def _center(self, lane: Ints, beta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """(n,) x, y, cos and sin of each lane at beta."""
        piece = np.clip(np.floor(beta), -1, self._last[lane])
        row = self._first_piece[lane] + piece.astype(np.int64) + 1
        x, y, cos, sin = self._origin[:, row]
        ahead, left, turn = self._twist[:, row] * (beta - np.maximum(piece, 0))
        turns = np.abs(turn) >= 1e-8
        by = np.where(turns, turn, 1.0)
        sine = np.where(turns, np.sin(turn) / by, 1.0)
        versine = np.where(turns, (1 - np.cos(turn)) / by, 0.0)
        ahead, left = sine * ahead - versine * left, versine * ahead + sine * left
        cos_turn, sin_turn = np.where(turns, np.cos(turn), 1.0), np.where(turns, np.sin(turn), 0.0)
        return (
            x + cos * ahead - sin * left,
            y + sin * ahead + cos * left,
            cos * cos_turn - sin * sin_turn,
            sin * cos_turn + cos * sin_turn,
        )

    def _in_world(self, lane: Ints, path: Floats) -> Floats:
        """(n, 3) x, y and heading in metres and radians of the world."""
        in_world = (self._world_from_lane[lane] @ _matrices(path)).astype(np.float32)
        return _xy_heading(in_world.astype(np.float64))

    def _centers(self, lane: Ints, beta: Floats) -> Matrices:
        """(n, 3, 3) the pose of each lane at beta."""
        return _assembled(*self._center(lane, beta))


def _xy_heading(poses: Matrices) -> Floats:
    """(n, 3) x, y and heading of (n, 3, 3) poses."""
    return np.column_stack([poses[:, :2, 2], _heading(poses)])


def _matrices(path: Floats) -> Matrices:
    """(n, 3, 3) poses of (n, 3) x, y and heading."""
    return _assembled(path[:, 0], path[:, 1], np.cos(path[:, 2]), np.sin(path[:, 2]))


def _assembled(x: Floats, y: Floats, cos: Floats, sin: Floats) -> Matrices:
    zero, one = np.zeros_like(x), np.ones_like(x)
    return np.stack([cos, -sin, x, sin, cos, y, zero, zero, one], axis=1).reshape(-1, 3, 3)


def _heading(poses: Matrices) -> Floats:
    heading: Floats = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    return heading


def _piece_origins(knots: Matrices) -> Floats:
    """(n + 1, 4) x, y, cos and sin from which each piece is counted: the first one backwards."""
    starts = np.concatenate([knots[:1], knots])
    return np.column_stack([starts[:, 0, 2], starts[:, 1, 2], starts[:, 0, 0], starts[:, 1, 0]])


# --- Brent's method for many functions at once -------------------------------------------------------------

_GOLDEN_RATIO = 1.618034
_GOLDEN_SECTION = 0.3819660
_SMALLEST_MOVE = 1e-11


def _minimize(function: Callable[[Floats, Ints], Floats], low: Floats, high: Floats) -> Floats:
    """Minimise n functions of one variable, each as `scipy.optimize.minimize_scalar` does from two points.

    Args:
        function: takes (m,) arguments and (m,) indices of the functions to apply, returns (m,) values.
        low: (n,) one of two points to begin with.
        high: (n,) the other. Beyond the one with the lower value the function must rise. That is so for a
            lane: it goes straight on off its tile, away from every point on the tile.

    Returns:
        (n,) the arguments found.
    """
    every = np.arange(len(low))
    at_low, at_high = function(low, every), function(high, every)
    x = np.where(at_low < at_high, low, high)
    beyond = x + _GOLDEN_RATIO * (x - np.where(at_low < at_high, high, low))
    a, b = np.minimum(beyond, np.minimum(low, high)), np.maximum(beyond, np.maximum(low, high))
    fx = np.minimum(at_low, at_high)
    zero = np.zeros_like(x)
    found = np.empty_like(x)
    search = _Search(every, a, b, x, x, x, fx, fx, fx, zero, zero)
    while len(search.which):
        arrived = search.has_arrived()
        found[search.which[arrived]] = search.x[arrived]
        search = _Search._make(column[~arrived] for column in search).advanced(function)
    return found


class _Search(NamedTuple):
    """Brent's method under way: one entry for each function whose minimum is still sought."""

    which: Ints
    """the functions"""
    a: Floats
    b: Floats
    """the minimum is between these"""
    x: Floats
    second: Floats
    third: Floats
    """the best, second and third best arguments so far"""
    fx: Floats
    f_second: Floats
    f_third: Floats
    """their values"""
    move: Floats
    """the last move"""
    reach: Floats
    """the one before it, or the interval's longer part if that was a golden section"""

    def has_arrived(self) -> Bools:
        near = 2 * self._smallest_move()
        arrived: Bools = np.abs(self.x - self._middle()) < near - 0.5 * (self.b - self.a)
        return arrived

    def advanced(self, function: Callable[[Floats, Ints], Floats]) -> _Search:
        """After one more evaluation of each function."""
        move, reach = self._next_move()
        smallest = self._smallest_move()
        u = self.x + np.where(np.abs(move) < smallest, np.where(move >= 0, smallest, -smallest), move)
        fu = function(u, self.which)
        worse = fu > self.fx
        inner = np.where(
            worse, u, self.x
        )  # becomes a bound, on the side where it lies of the better of the two
        is_lower = np.where(worse, u < self.x, u >= self.x)
        runner_up = worse & ((fu <= self.f_second) | (self.second == self.x))
        also_ran = worse & ((fu <= self.f_third) | (self.third == self.x) | (self.third == self.second))
        shifts = ~worse | runner_up
        return _Search(
            which=self.which,
            a=np.where(is_lower, inner, self.a),
            b=np.where(is_lower, self.b, inner),
            x=np.where(worse, self.x, u),
            second=np.where(worse, np.where(runner_up, u, self.second), self.x),
            third=np.where(shifts, self.second, np.where(also_ran, u, self.third)),
            fx=np.where(worse, self.fx, fu),
            f_second=np.where(worse, np.where(runner_up, fu, self.f_second), self.fx),
            f_third=np.where(shifts, self.f_second, np.where(also_ran, fu, self.f_third)),
            move=move,
            reach=reach,
        )

    def _next_move(self) -> tuple[Floats, Floats]:
        """To the foot of the parabola through the three best, or by golden section where that is poor."""
        x, smallest, middle = self.x, self._smallest_move(), self._middle()
        r = (x - self.second) * (self.fx - self.f_third)
        q = (x - self.third) * (self.fx - self.f_second)
        p = (x - self.third) * q - (x - self.second) * r
        q = 2 * (q - r)
        p, q = np.where(q > 0, -p, p), np.abs(q)
        parabola = (
            (np.abs(self.reach) > smallest)
            & (p > q * (self.a - x))
            & (p < q * (self.b - x))
            & (np.abs(p) < np.abs(0.5 * q * self.reach))
        )
        longer_part = np.where(x >= middle, self.a - x, self.b - x)
        move = np.where(parabola, p / np.where(parabola, q, 1.0), _GOLDEN_SECTION * longer_part)
        u = x + move
        at_edge = parabola & ((u - self.a < 2 * smallest) | (self.b - u < 2 * smallest))
        move = np.where(at_edge, np.where(middle >= x, smallest, -smallest), move)
        return move, np.where(parabola, self.move, longer_part)

    def _smallest_move(self) -> Floats:
        return BRENT_TOLERANCE * np.abs(self.x) + _SMALLEST_MOVE

    def _middle(self) -> Floats:
        return 0.5 * (self.a + self.b)


# --- duckietown-world --------------------------------------------------------------------------------------


@contextmanager
def _silence() -> Iterator[None]:
    """duckietown-world prints, logs and warns while it is imported and while it loads a map."""
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers


def _load_world(map_name: str) -> Any:
    duckietown_world = import_duckietown_world()
    if not is_own(map_name):
        return duckietown_world.load_map(map_name)
    # it finds packaged maps only, and knows packaged kinds of objects only; scored are lanes
    return duckietown_world.construct_map({**read_map(map_name), "objects": []})


def _lanes_of(world: Any) -> _Lanes:
    from duckietown_world import LaneSegment, Tile
    from duckietown_world.geo import iterate_by_class

    tiles = []
    for tile in iterate_by_class(world, Tile):
        to_world = tile.transform_sequence.transforms
        lanes = [
            _lane_of(segment.object, segment.transform_sequence.transforms, to_world)
            for segment in iterate_by_class(tile.object, LaneSegment)
        ]
        if lanes:
            tiles.append(_Tile(np.linalg.inv(tile.transform_sequence.asmatrix2d().m), lanes))
    return _Lanes(tiles)


def _lane_of(segment: Any, to_tile: list[Any], to_world: list[Any]) -> _Lane:
    from duckietown_world.geo import TransformSequence

    points = segment.control_points
    knots = [point.asmatrix2d().m for point in points]
    return _Lane(
        from_tile=np.linalg.inv(TransformSequence(to_tile).asmatrix2d().m),
        to_world=TransformSequence([*to_world, *to_tile]).asmatrix2d().m,
        from_start=np.linalg.inv(points[0].as_SE2()),
        knots=np.array(knots),
        twists=_twists(knots),
        half_width=segment.width / 2,
        length=float(segment.get_lane_length()),
        is_straight=bool(segment.is_straight()),
    )


def _twists(knots: list[Matrix]) -> Floats:
    from geometry import SE2, SE2_from_translation_angle

    beyond = SE2_from_translation_angle(
        [0.1, 0.0], 0.0
    )  # per beta, before the first point and after the last
    starts = [knots[0], *knots]
    ends = [knots[0] @ beyond, *knots[1:], knots[-1] @ beyond]
    between = [
        SE2.algebra_from_group(SE2.multiply(SE2.inverse(start), end))
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.array([(twist[0, 2], twist[1, 2], twist[1, 0]) for twist in between])
