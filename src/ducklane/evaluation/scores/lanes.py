"""All lanes of a map as arrays, and the search for those that a path is in.

Reference: duckietown_world.world_duckietown.tile of duckietown-world-daffy 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.evaluation.scores.brent import minimize

JOINT_TOLERANCE_M = 1e-3
"""Lanes of neighbouring tiles that meet within this distance are one lane."""

Floats = NDArray[np.float64]

Ints = NDArray[np.int64]

Bools = NDArray[np.bool_]

Matrix = NDArray[np.floating]
"""(3, 3) a pose or a change of frame in the plane, homogeneous."""

Matrices = NDArray[np.floating]
"""(n, 3, 3)"""


class LanePoses(NamedTuple):
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

    def best_aligned(self) -> LanePoses:
        """The entry of each step whose lane is best aligned with the robot."""
        _, first = np.unique(self.step, return_index=True)
        return LanePoses._make(column[first] for column in self)

    def in_first_lane_of_tile(self) -> Bools:
        """(n,) whether the lane is the one that was used first on its tile."""
        tiles, first, which = np.unique(self.tile, return_index=True, return_inverse=True)
        is_first: Bools = self.lane == self.lane[first][which] if len(tiles) else np.zeros(0, np.bool_)
        return is_first


class Lane(NamedTuple):
    """A lane of one tile. Poses are 3 x 3 matrices; lengths are tiles."""

    from_tile: Matrix
    """transforms the tile's coordinates to the lane's"""
    to_world: Matrix
    """transforms the lane's coordinates to metres of the world"""
    from_start: Matrix
    """transforms the lane's coordinates to those of its first control point"""
    knots: Matrices
    """(n, 3, 3) the control points"""
    twists: Floats
    """(n + 1, 3) (forward, left, turn) per beta: before the first control point, between, after the last"""
    half_width: float
    length: float
    is_straight: bool


class Tile(NamedTuple):
    """A tile with lanes."""

    from_world: Matrix
    """transforms metres of the world to the tile's coordinates, -0.5 to 0.5"""
    lanes: list[Lane]


class Lanes:
    """All lanes of a map as arrays, and the search for those that a path is in.

    A lane runs through n control points; `beta` counts them, from 0 to n - 1. Between two of them it moves
    with a constant twist; before the first and after the last it runs straight on. Lengths are tiles and
    coordinates the lane's own, unless stated to be metres or of the world.

    Where the official rules round to float32, this does too: 1e-7 m each time, which adds up.
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
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
        # one row for each piece of each lane: its start as (x, y, cos, sin), and its twist
        pieces = self._last + 2
        self._first_piece = np.cumsum(pieces) - pieces
        self._origin = np.concatenate([_piece_origins(lane.knots) for lane in lanes]).T.copy()
        self._twist = np.concatenate([lane.twists for lane in lanes]).T.copy()

    def find(self, path: Floats) -> LanePoses:
        """All lanes that each pose (x, y, heading) of a path, in metres and radians of the world, is in."""
        step, tile, lane, pose = self._on_tiles(_matrices(path))
        from_start = self._start_from_lane[lane] @ pose
        beta = self._beta(lane, pose, from_start)
        center = self._centers(lane, beta)
        straight = self._is_straight[lane][:, None, None]  # the rules measure these from the lane's start
        relative = np.where(straight, from_start, np.linalg.inv(center) @ pose)
        lateral, heading = np.abs(relative[:, 1, 2]), np.abs(_heading(relative))
        inside = (lateral <= self._half_width[lane]) & (beta >= 0) & (beta < self._last[lane])
        entries = np.flatnonzero(inside & (heading <= np.pi / 2))
        entries = entries[np.lexsort((heading[entries], step[entries]))]
        center_m = self._in_world(lane[entries], _xy_heading(center[entries]))
        return LanePoses(
            step[entries], tile[entries], lane[entries], lateral[entries], heading[entries], center_m
        )

    def loop_lengths(self) -> Floats:
        """(lanes,) length of the loop that each lane is part of, infinite without a unique one."""
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

        A pose on the line between two tiles is on both.
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
        beta: Floats = from_start[:, 0, 2] / self._length[lane]  # exact for straight lanes
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

        beta[curved] = minimize(off_the_normal, np.full(len(lane), -1.0), self._last[lane] + 1.0)
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
    """(n + 1, 4) x, y, cos and sin where each piece starts; the first one runs backwards."""
    starts = np.concatenate([knots[:1], knots])
    return np.column_stack([starts[:, 0, 2], starts[:, 1, 2], starts[:, 0, 0], starts[:, 1, 0]])
