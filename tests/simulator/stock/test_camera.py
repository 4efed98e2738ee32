"""The stock camera's pictures are gym-duckietown's own, to the last bit."""

import numpy as np
import pytest

from ducklane.simulator.stock.camera import _View
from ducklane.simulator.stock.simulator import StockSimulator

WHOLE = {"camera_width": 640, "camera_height": 480, "distortion": True}


def upstreams_own(simulator: StockSimulator) -> np.ndarray:
    upstream = simulator._upstream
    return type(upstream).render_obs(upstream)


def poses(simulator: StockSimulator, count: int, rng: np.random.Generator):
    """Anywhere on and just beside the map, looking anywhere: also where no robot may stand."""
    size = simulator.tile_size
    for _ in range(count):
        x = rng.uniform(-0.5, simulator.grid_width + 0.5) * size
        z = rng.uniform(-0.5, simulator.grid_height + 0.5) * size
        yield np.array([x, 0.0, z]), rng.uniform(0, 2 * np.pi)


@pytest.mark.parametrize(
    ("world", "count"),
    [
        ({"map_name": "loop_empty", **WHOLE}, 12),
        ({"map_name": "udem1", **WHOLE}, 12),
        ({"map_name": "loop_pedestrians", "domain_rand": True, **WHOLE}, 8),
        ({"map_name": "loop_dyn_duckiebots", "camera_rand": True, **WHOLE}, 8),
        ({"map_name": "regress_4way_adam"}, 60),
        ({"map_name": "udem1", "domain_rand": True}, 60),
    ],
)
def test_pictures_match_upstream_to_the_bit(make_simulator, world, count):
    simulator = make_simulator(**world)
    rng = np.random.default_rng(5)
    for n, pose in enumerate(poses(simulator, count, rng)):
        if n % 4 == 0:
            simulator.reset(seed=n)
        simulator._upstream.cur_pos, simulator._upstream.cur_angle = pose
        expected = upstreams_own(simulator)
        assert np.array_equal(simulator._draw(), expected)
        simulator.first_row = int(rng.integers(0, len(expected)))
        cropped = simulator._draw()
        assert not cropped[: simulator.first_row].any()
        assert np.array_equal(cropped[simulator.first_row :], expected[simulator.first_row :])
        simulator.first_row = 0


def test_later_pictures_of_upstream_are_not_changed(make_simulator):
    """A map from above, light of the next episode: both take what the last picture left in OpenGL."""
    ours, theirs = make_simulator(map_name="udem1"), make_simulator(map_name="udem1")
    for simulator in (ours, theirs):
        simulator.reset(seed=3)
    ours.first_row = 20
    for _ in range(2):
        ours._draw()
        upstreams_own(theirs)
        assert np.array_equal(ours.map_image().pixels, theirs.map_image().pixels)
        for simulator in (ours, theirs):
            simulator.camera_on = False
            simulator.reset()
        assert np.array_equal(upstreams_own(ours), upstreams_own(theirs))


def test_most_tiles_are_out_of_view_and_no_sky_is_seen_below_the_horizon(make_simulator):
    simulator = make_simulator(**WHOLE)
    simulator.reset(seed=1)
    simulator._draw()
    below_the_horizon = _View(0.4)
    tiles = below_the_horizon.sees_any(simulator._camera._tile_corners)
    assert 0 < tiles.sum() < len(tiles) / 2
    assert below_the_horizon.all_ground()
    assert not _View(1.0).all_ground()
