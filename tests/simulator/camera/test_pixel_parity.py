"""The batched simulator's pictures against gym-duckietown's, through the same observation.

DUCKLANE_PARITY_POSES=24 compares more than 200 poses; `make test` takes a sample.
"""

from __future__ import annotations

import os
from itertools import groupby

import cv2
import numpy as np
import pytest

from ducklane.evaluation.parity import MAPS, SAME_DB, compare, psnr
from ducklane.settings import ObservationSettings
from ducklane.simulator.camera import lens
from ducklane.simulator.camera.lens import DUCKIEBOT_LENS, Lens
from ducklane.simulator.stock import adaptations

HORIZON_ROW = 45
"""Of 84: from here on a picture of a road shows little but ground."""

POSES = int(os.environ.get("DUCKLANE_PARITY_POSES", "3"))


@pytest.mark.parametrize("size", [(84, 84, 0), (40, 80, 160)], ids=["84x84", "40x80"])
def test_pictures_are_close_to_the_stock_simulators(settings, size):
    height, width, crop_top = size
    observation = ObservationSettings(
        crop_top=crop_top, crop_bottom=0, width=width, height=height, color="rgb", frame_stack=1
    )
    pairs = list(compare(settings.simulator, observation, MAPS, POSES))
    for map_name, of_map in groupby(pairs, lambda pair: pair.map_name):
        psnr, ssim = np.array([(min(SAME_DB, pair.psnr_db), pair.ssim) for pair in of_map]).T
        print(f"{map_name:30} {psnr.mean():6.2f} dB, worst {psnr.min():6.2f} dB, SSIM {ssim.mean():.4f}")
    psnr, ssim = np.array([(min(SAME_DB, pair.psnr_db), pair.ssim) for pair in pairs]).T
    print(f"{'all':30} {psnr.mean():6.2f} dB, worst {psnr.min():6.2f} dB, SSIM {ssim.mean():.4f}")
    assert psnr.mean() >= 37.5
    assert ssim.mean() >= 0.98
    assert psnr.min() >= 28


def test_exact_pictures_show_the_ground_as_in_the_stock_simulator(settings):
    world = settings.simulator.model_copy(update={"fidelity": "exact"})
    observation = ObservationSettings(
        crop_top=0, crop_bottom=0, width=84, height=84, color="rgb", frame_stack=1
    )
    for pair in compare(world, observation, ["loop_empty", "small_loop"], 3):
        ground = psnr(pair.ours[HORIZON_ROW:], pair.stock[HORIZON_ROW:])
        print(f"{pair.map_name:30} {pair.psnr_db:6.2f} dB, ground {ground:6.2f} dB")
        assert ground >= 50
        assert pair.psnr_db >= 44


def test_the_lens_is_inverted_as_in_the_stock_simulator():
    adaptations.simulator_class()
    from gym_duckietown.distortion import Distortion

    np.random.seed(5)  # noqa: NPY002 - what carnivalmirror draws from
    for upstream in (Distortion(), Distortion(camera_rand=True)):
        upstream.distort(np.zeros((480, 640, 3), np.uint8))
        ours = lens.inverse_maps(Lens(upstream.camera_matrix, upstream.distortion_coefs), 480, 640)
        theirs = Distortion._invert_map.__wrapped__(upstream, upstream.mapx, upstream.mapy)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal((upstream.rmapx, upstream.rmapy), theirs)


def test_random_lenses_are_as_far_from_the_nominal_one_as_the_stock_simulators():
    generator = np.random.default_rng(0)
    ratios = [lens.random_lens(generator).matrix[0, 0] / DUCKIEBOT_LENS.matrix[0, 0] for _ in range(200)]
    assert 0.95 <= min(ratios) < 0.96
    assert 1.04 < max(ratios) <= 1.05


def test_objects_are_where_the_stock_simulator_shows_them(settings):
    """Its lens moves pixels up and to the left by half a pixel on average, as it rounds down."""
    world = settings.simulator.model_copy(update={"map_name": "zigzag_dists"})
    observation = settings.observation.model_copy(
        update={"crop_top": 0, "crop_bottom": 0, "width": 640, "height": 480, "frame_stack": 1}
    )
    shifts = []
    for pair in compare(world, observation, ["zigzag_dists"], 6):
        stock, ours = (
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[60:200].astype(np.float32)
            for image in (pair.stock, pair.ours)
        )
        window = cv2.createHanningWindow(stock.shape[::-1], cv2.CV_32F)
        shifts.append(cv2.phaseCorrelate(stock, ours, window)[0])
    assert np.abs(np.median(shifts, axis=0)).max() < 0.25
