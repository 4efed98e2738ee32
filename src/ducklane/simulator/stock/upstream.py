"""Creates, resets and frees gym-duckietown's own simulator object, and draws its map from above."""

# ruff: noqa: NPY002 - upstream's moving objects draw from numpy's global generator

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np

from ducklane.settings import SimulatorSettings
from ducklane.simulator.interface import MapImage
from ducklane.simulator.stock.adaptations import simulator_class
from ducklane.simulator.stock.camera import StockCamera

MAP_IMAGE_PIXELS = 800
"""Width and height of a map seen from above."""


def seen_from_above(upstream: Any) -> MapImage:
    """The map from straight above, with its objects as they are now, without the robot."""
    from gym_duckietown.graphics import create_frame_buffers
    from pyglet import gl

    upstream.shadow_window.switch_to()
    before = (gl.GLfloat * 16)()
    gl.glGetFloatv(gl.GL_MODELVIEW_MATRIX, before)
    buffers = create_frame_buffers(MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, 4)
    canvas = np.zeros((MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, 3), np.uint8)
    # upstream would draw the robot too, wherever it happens to be
    mesh, upstream.mesh = upstream.mesh, SimpleNamespace(render=lambda: None)
    try:
        pixels = upstream._render_img(MAP_IMAGE_PIXELS, MAP_IMAGE_PIXELS, *buffers, canvas, top_down=True)
    finally:
        upstream.mesh = mesh
    _delete_framebuffers(*buffers)
    gl.glMatrixMode(gl.GL_MODELVIEW)
    gl.glLoadMatrixf(before)  # the next reset places the light under it
    # upstream's camera is above the middle, so high that the longer side and 0.1 m around it fill the picture
    x, z = (tiles * upstream.road_tile_size / 2 for tiles in (upstream.grid_width, upstream.grid_height))
    reach = max(x, z) + 0.1
    return MapImage(pixels, (x - reach, x + reach, z + reach, z - reach))


def numpy_random_state(seed: int) -> Any:
    """The state of numpy's global generator seeded with this number, of any size."""
    return np.random.RandomState(seed % 2**32).get_state()


def new_upstream(settings: SimulatorSettings) -> Any:
    """A gym-duckietown simulator that draws nothing by itself."""
    upstream = simulator_class()(
        seed=settings.seed,
        map_name=settings.map_names[0],
        max_steps=settings.max_steps,
        camera_width=settings.camera_width,
        camera_height=settings.camera_height,
        accept_start_angle_deg=settings.accept_start_angle_deg,
        full_transparency=True,
        distortion=settings.distortion,
        domain_rand=settings.domain_rand,
        dynamics_rand=settings.dynamics_rand,
        camera_rand=settings.camera_rand,
    )
    upstream.render_obs = lambda segment=False: None  # frames are drawn by `StockCamera` instead
    _delete_framebuffers(upstream.multi_fbo_human, upstream.final_fbo_human)  # 40 MB, unused here
    _unshare_traffic_lights(upstream)
    return upstream


def remake_world(upstream: Any, seed: int) -> None:
    """Restore the world, with this seed, to what it is in upstream's constructor before the first reset."""
    from pyglet import gl

    np.random.set_state(numpy_random_state(seed))
    upstream.seed(seed)
    upstream._load_objects(upstream.map_data)
    _unshare_traffic_lights(upstream)
    gl.glMatrixMode(gl.GL_MODELVIEW)  # under which reset places the light
    gl.glLoadIdentity()


def reset_upstream(upstream: Any) -> None:
    """Begin an episode as upstream does, without remains of the previous one."""
    upstream.tri_vlist.delete()  # each reset creates these again and leaks the old ones in OpenGL
    upstream.reset()
    upstream.last_action = upstream.wheelVels = np.zeros(2)  # otherwise the first report shows the old ones


def _unshare_traffic_lights(upstream: Any) -> None:
    # A light changes its pattern by replacing the texture of a mesh that upstream shares within the process.
    lights = [thing for thing in upstream.objects if thing.kind == "trafficlight"]
    if lights:
        mesh = copy.copy(lights[0].mesh)
        mesh.textures = list(mesh.textures)
        for light in lights:
            light.mesh = mesh


def free(upstream: Any, camera: StockCamera) -> None:
    """Free OpenGL's memory."""
    upstream.shadow_window.switch_to()
    for vertices in (upstream.road_vlist, upstream.ground_vlist, upstream.tri_vlist):
        vertices.delete()
    _delete_framebuffers(upstream.multi_fbo, upstream.final_fbo, *camera.own_buffers)
    upstream.shadow_window.close()


def _delete_framebuffers(*framebuffers: Any) -> None:
    from pyglet import gl

    for framebuffer in framebuffers:
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, framebuffer)
        for attachment in (gl.GL_COLOR_ATTACHMENT0, gl.GL_DEPTH_ATTACHMENT):
            _delete_attached(attachment)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, 0)
        gl.glDeleteFramebuffers(1, framebuffer)


def _delete_attached(attachment: int) -> None:
    from pyglet import gl

    kind, name = gl.GLint(), gl.GLint()
    for query, answer in (
        (gl.GL_FRAMEBUFFER_ATTACHMENT_OBJECT_TYPE, kind),
        (gl.GL_FRAMEBUFFER_ATTACHMENT_OBJECT_NAME, name),
    ):
        gl.glGetFramebufferAttachmentParameteriv(gl.GL_FRAMEBUFFER, attachment, query, answer)
        if kind.value == gl.GL_NONE:
            return
    delete = gl.glDeleteTextures if kind.value == gl.GL_TEXTURE else gl.glDeleteRenderbuffers
    delete(1, gl.GLuint(name.value))
