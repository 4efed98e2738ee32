"""The stock camera's picture, bit for bit as gym-duckietown draws it, at half the cost.

`Simulator._render_img` draws every tile and object of the map into 4 samples per pixel of four floats each,
wherever the camera looks. The same OpenGL calls are made here, except for what cannot be seen:

- tiles and objects beside, behind or above the requested part of the picture;
- unused rows at the top: the frame buffer ends below them;
- the ground below tiles. Tiles are drawn first, and the ground wins where both have equal depth, as it does
  in upstream's order;
- the sky if the ground covers all of it: the colour buffer is not cleared;
- the triangles of junk, which upstream scatters below the ground.

Vertices, textures and draw calls remain upstream's: another way of passing the same corners to OpenGL (a
display list, triangles instead of quads) changes the last bit of some pixels.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ducklane.simulator.interface import Frame

Floats = NDArray[np.float64]

GROUND_M = 50.0
"""Half the side of the square of ground that upstream draws: its quad is scaled by 50."""

GROUND_Y = -0.008
"""Height of that square, metres: -0.8, scaled by 0.01."""

MARGIN_M = 0.01
"""How far out of view a thing must be to be left out: far more than rounding in OpenGL."""

LEDS_M = 0.16
"""How far a Duckiebot's LEDs, which are not part of its mesh, reach from its centre: upstream draws them at
up to 0.123, with halos of at most 0.02; before scaling."""

SAMPLES = 4
"""Samples per pixel, as in upstream."""


class StockCamera:
    """Draws what the robot of a gym-duckietown `Simulator` sees.

    Args:
        upstream: the simulator, whose OpenGL context is used and left as upstream's own drawing leaves it.
    """

    def __init__(self, upstream: Any) -> None:
        self._upstream = upstream
        self._width, self._height = int(upstream.camera_width), int(upstream.camera_height)
        self._buffers: dict[int, tuple[Any, Any]] = {self._height: (upstream.multi_fbo, upstream.final_fbo)}
        self._tiles = [
            (i, j)
            for i, j in itertools.product(range(upstream.grid_width), range(upstream.grid_height))
            if upstream._get_tile(i, j) is not None
        ]
        self._tile_corners = _corners(self._tiles, upstream.road_tile_size)
        self._objects: list[Any] = []
        self._reach = np.zeros(0)

    def frame(self, first_row: int = 0) -> Frame:
        """A new picture of what the robot sees now; rows above `first_row` stay black."""
        frame = np.zeros((self._height, self._width, 3), np.uint8)
        rows = self._rows_needed(first_row)
        if rows:
            self._look(frame, first_row, self._drawn(rows))
        return frame

    @property
    def own_buffers(self) -> list[Any]:
        """The frame buffers created here, to be freed by the owner of the simulator."""
        return [buffer for rows, pair in self._buffers.items() if rows != self._height for buffer in pair]

    @cached_property
    def _lens(self) -> NDArray[np.int16] | None:
        """(height, width, 2) column and row of the rectified picture, lowest row first, that each pixel
        shows.

        Both are -1 where it shows nothing; None without a lens.
        """
        if not self._upstream.distortion or self._upstream.undistort:
            return None
        import cv2

        lens = self._upstream.camera_model
        lens.distort(np.zeros((self._height, self._width, 3), np.uint8))  # which makes its maps
        places, _ = cv2.convertMaps(lens.rmapx, lens.rmapy, cv2.CV_16SC2, nninterpolation=True)
        columns, rows = places[..., 0], places[..., 1]
        outside = (columns < 0) | (rows < 0) | (columns >= self._width) | (rows >= self._height)
        places[..., 1] = self._height - 1 - rows
        places[outside] = -1
        return places

    def _rows_needed(self, first_row: int) -> int:
        """Number of rows of the rectified picture, from its lower edge up, seen at and below `first_row`."""
        if self._lens is None:
            return self._height - first_row
        return int(self._lens[first_row:, :, 1].max(initial=-1)) + 1

    def _look(self, frame: Frame, first_row: int, flat: Frame) -> None:
        """Copy the rectified picture, lowest row first, into the frame, through the lens if there is one."""
        if self._lens is None:
            frame[first_row:] = flat[::-1]
            return
        import cv2

        cv2.remap(flat, self._lens[first_row:], None, cv2.INTER_NEAREST, dst=frame[first_row:])  # type: ignore[call-overload]

    def _drawn(self, rows: int) -> Frame:
        """The lowest rows of the rectified picture, lowest row first, as OpenGL reads them."""
        from pyglet import gl

        upstream = self._upstream
        upstream.shadow_window.switch_to()
        drawn_into, resolved_into = self._framebuffers(rows)
        self._set_up(drawn_into)
        view = _View(2 * rows / self._height - 1)
        gl.glClear(gl.GL_DEPTH_BUFFER_BIT | (0 if view.all_ground() else gl.GL_COLOR_BUFFER_BIT))
        self._draw_tiles(view)
        self._draw_ground()
        for index in np.flatnonzero(view.sees_spheres(*self._spheres())):
            self._objects[index].render(draw_bbox=False, segment=False, enable_leds=upstream.enable_leds)
        return self._read(drawn_into, resolved_into, rows)

    def _framebuffers(self, rows: int) -> tuple[Any, Any]:
        from gym_duckietown.graphics import create_frame_buffers

        if rows not in self._buffers:
            self._buffers[rows] = create_frame_buffers(self._width, rows, SAMPLES)
        return self._buffers[rows]

    def _set_up(self, framebuffer: Any) -> None:
        """Set light, frame buffer, projection and camera pose, as upstream does for each picture."""
        from gym_duckietown.simulator import CAMERA_FORWARD_DIST, get_dir_vec
        from pyglet import gl

        upstream = self._upstream
        for capability in (gl.GL_LIGHT0, gl.GL_LIGHTING, gl.GL_COLOR_MATERIAL, gl.GL_POLYGON_SMOOTH):
            gl.glEnable(capability)
        gl.glLightModelfv(gl.GL_LIGHT_MODEL_AMBIENT, (gl.GLfloat * 4)(0.3, 0.3, 0.3, 1.0))
        gl.glEnable(gl.GL_MULTISAMPLE)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, framebuffer)
        gl.glViewport(0, 0, self._width, self._height)
        gl.glClearColor(*upstream.horizon_color, 1.0)
        gl.glClearDepth(1.0)
        gl.glMatrixMode(gl.GL_PROJECTION)
        gl.glLoadIdentity()
        gl.gluPerspective(upstream.cam_fov_y, self._width / self._height, 0.04, 100.0)
        position = upstream.cur_pos
        if upstream.domain_rand:
            position = position + upstream.randomization_settings["camera_noise"]
        x, y, z = position + upstream.cam_offset
        dx, dy, dz = get_dir_vec(upstream.cur_angle)
        gl.glMatrixMode(gl.GL_MODELVIEW)
        gl.glLoadIdentity()
        y += upstream.cam_height
        for angle, axis in zip(upstream.cam_angle, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), strict=True):
            gl.glRotatef(angle, *axis)
        gl.glTranslatef(0, 0, CAMERA_FORWARD_DIST)
        gl.gluLookAt(x, y, z, x + dx, y + dy, z + dz, 0.0, 1.0, 0.0)

    def _draw_tiles(self, view: _View) -> None:
        from pyglet import gl

        upstream = self._upstream
        size = upstream.road_tile_size
        gl.glEnable(gl.GL_TEXTURE_2D)
        with _bound(upstream.road_vlist):
            for index in np.flatnonzero(view.sees_any(self._tile_corners)):
                i, j = self._tiles[index]
                tile = upstream._get_tile(i, j)
                gl.glColor4f(*tile["color"])
                gl.glPushMatrix()
                gl.glTranslatef((i + 0.5) * size, 0, (j + 0.5) * size)
                gl.glRotatef(tile["angle"] * 90 + 180, 0, 1, 0)
                tile["texture"].bind(False)
                gl.glDrawArrays(gl.GL_QUADS, upstream.road_vlist.start, upstream.road_vlist.count)
                gl.glPopMatrix()

    def _draw_ground(self) -> None:
        """Draw the ground below the tiles; with GL_LEQUAL it hides them where both have equal depth."""
        from pyglet import gl

        gl.glDisable(gl.GL_TEXTURE_2D)
        gl.glColor3f(*self._upstream.ground_color)
        gl.glPushMatrix()
        gl.glScalef(50, 0.01, 50)
        gl.glDepthFunc(gl.GL_LEQUAL)
        self._upstream.ground_vlist.draw(gl.GL_QUADS)
        gl.glDepthFunc(gl.GL_LESS)
        gl.glPopMatrix()
        gl.glEnable(gl.GL_TEXTURE_2D)

    def _spheres(self) -> tuple[Floats, Floats]:
        """(n, 3) centre and (n,) radius, metres, of a sphere around each object."""
        if self._objects is not self._upstream.objects:  # upstream has reloaded the world
            self._objects = self._upstream.objects
            self._reach = np.array([_reach(thing) for thing in self._objects])
        return np.array([thing.pos for thing in self._objects], float).reshape(-1, 3), self._reach

    def _read(self, drawn_into: Any, resolved_into: Any, rows: int) -> Frame:
        from pyglet import gl

        gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, drawn_into)
        gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, resolved_into)
        corners = (0, 0, self._width, rows)
        gl.glBlitFramebuffer(*corners, *corners, gl.GL_COLOR_BUFFER_BIT, gl.GL_LINEAR)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, resolved_into)
        flat = np.empty((rows, self._width, 3), np.uint8)
        into = flat.ctypes.data_as(ctypes.POINTER(gl.GLubyte))
        gl.glReadPixels(*corners, gl.GL_RGB, gl.GL_UNSIGNED_BYTE, into)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, 0)
        return flat


class _View:
    """The camera's view frustum, from OpenGL's current matrices.

    Args:
        top: upper limit in the picture, from -1 at its lower edge to 1 at its upper edge.
    """

    def __init__(self, top: float) -> None:
        from pyglet import gl

        # A point (row vector) p @ clip has clip coordinates x, y, z, w and is in view where |x|, |y| <= w and
        # z >= -w: each condition is a half space of p (Gribb and Hartmann, 2001).
        clip = _matrix(gl.GL_MODELVIEW_MATRIX) @ _matrix(gl.GL_PROJECTION_MATRIX)
        x, y, z, w = clip.T
        planes = np.array([w + x, w - x, w + y, top * w - y, w + z])
        self._planes = planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
        self._to_world = np.linalg.inv(clip)
        self._top = top

    def sees_any(self, points: Floats) -> NDArray[np.bool_]:
        """(n,) whether the convex hull of points (n, m, 3), metres, may be in view."""
        ahead = points @ self._planes[:, :3].T + self._planes[:, 3]
        return (ahead.max(axis=1) > -MARGIN_M).all(axis=1)

    def sees_spheres(self, middles: Floats, radii: Floats) -> NDArray[np.bool_]:
        """(n,) whether the spheres around the centres (n, 3), metres, may be in view."""
        ahead = middles @ self._planes[:, :3].T + self._planes[:, 3]
        return (ahead > -radii[:, None] - MARGIN_M).all(axis=1)

    def all_ground(self) -> bool:
        """Whether ground, and what stands on it, fills the view: the rays of all four corners meet it."""
        corners = [(x, y) for x in (-1.0, 1.0) for y in (-1.0, self._top)]
        near, far = (self._points([(*corner, depth, 1.0) for corner in corners]) for depth in (-1.0, 1.0))
        if near[:, 1].min() < GROUND_Y + MARGIN_M or far[:, 1].max() > GROUND_Y - MARGIN_M:
            return False
        way = ((near[:, 1] - GROUND_Y) / (near[:, 1] - far[:, 1]))[:, None]
        hit = near + way * (far - near)
        return bool(np.abs(hit[:, [0, 2]]).max() < GROUND_M - 1)

    def _points(self, clip: list[tuple[float, float, float, float]]) -> Floats:
        points = np.array(clip) @ self._to_world
        return points[:, :3] / points[:, 3:]


def _matrix(name: int) -> Floats:
    """One of OpenGL's matrices, (4, 4), transposed so that it applies to points as rows."""
    from pyglet import gl

    values = (gl.GLdouble * 16)()
    gl.glGetDoublev(name, values)
    return np.array(values).reshape(4, 4)


@contextmanager
def _bound(vertices: Any) -> Iterator[None]:
    """Bind these vertices once for several draw calls; pyglet would bind them for each."""
    from pyglet import gl

    gl.glPushClientAttrib(gl.GL_CLIENT_VERTEX_ARRAY_BIT)
    for buffer, attributes in vertices.domain.buffer_attributes:
        buffer.bind()
        for attribute in attributes:
            attribute.enable()
            attribute.set_pointer(attribute.buffer.ptr)
    try:
        yield
    finally:
        for buffer, _ in vertices.domain.buffer_attributes:
            buffer.unbind()
        gl.glPopClientAttrib()


def _corners(tiles: list[tuple[int, int]], size: float) -> Floats:
    """(tiles, 4, 3) the corners of each, metres."""
    return np.array([[(x * size, 0.0, z * size) for x in (i, i + 1) for z in (j, j + 1)] for i, j in tiles])


def _reach(thing: Any) -> float:
    """Radius of a sphere around an object's position that contains all that is drawn of it, metres."""
    mesh = np.linalg.norm(np.maximum(np.abs(thing.min_coords), np.abs(thing.max_coords)))
    return float(thing.scale * (mesh + LEDS_M))
