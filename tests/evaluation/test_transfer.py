"""The same drivers from the same starts in both simulators.

DUCKLANE_PARITY_STARTS=20 takes more starts than `make test`.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from ducklane.baselines import ProportionalController
from ducklane.environment import image_blocks
from ducklane.evaluation.episodes import evaluation_simulator
from ducklane.evaluation.evaluator import Evaluator
from ducklane.policy import Observations, Policy
from ducklane.settings import ObservationSettings, SimulatorSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.single import SingleSimulator
from ducklane.task.observation import FrameTransform

STARTS = int(os.environ.get("DUCKLANE_PARITY_STARTS", "2"))


@pytest.fixture
def make_evaluators(changed):
    """The same evaluation in the stock simulator and in the batched one."""
    made = []

    def make(seconds: float, starts: int) -> tuple[Evaluator, Evaluator]:
        chosen = changed(evaluate={"episodes": starts, "max_seconds": seconds, "start_angle_deg": 20})
        world = evaluation_simulator(chosen)
        made.append(SingleSimulator(world.model_copy(update={"backend": "batched"})))
        return Evaluator(chosen, processes=1), Evaluator(chosen, made[-1])

    yield make
    for simulator in made:
        simulator.close()


def test_the_controller_drives_the_same_way_in_both(make_evaluators):
    both = make_evaluators(seconds=8.0, starts=STARTS)
    stock, batched = (evaluator.evaluate(ProportionalController()) for evaluator in both)
    for theirs, ours in zip(stock.scores, batched.scores, strict=True):
        assert ours.driven_lanedir_consec == pytest.approx(theirs.driven_lanedir_consec, rel=1e-6)
        assert ours.lateral_mean_m == pytest.approx(theirs.lateral_mean_m, rel=1e-6)


SEES = {"crop_top": 160, "crop_bottom": 0, "width": 40, "height": 20, "color": "rgb", "frame_stack": 1}
ROBOTS, STEPS, SAMPLED_EVERY = 64, 1440, 6


class Imitator(Policy):
    """Wheel commands as linear sums over the pixels."""

    name = "imitator"

    def __init__(self, observation: ObservationSettings, camera_shape: tuple[int, int]) -> None:
        self.camera_shape, self._transform = camera_shape, FrameTransform(observation, *camera_shape)
        self._weights = np.zeros((observation.width * observation.height * 3 + 1, 2))

    def act(self, observations: Observations) -> np.ndarray:
        return self.act_on(np.stack([self._transform(frame) for frame in observations.frames]))

    def act_on(self, images: np.ndarray) -> np.ndarray:
        return np.clip(self.features(images) @ self._weights, -1, 1).astype(np.float32)

    def features(self, images: np.ndarray) -> np.ndarray:
        return np.insert(images.reshape(len(images), -1) / 255, 0, 1.0, axis=1)

    def fit(self, seen: list[np.ndarray], done: list[np.ndarray]) -> None:
        x, y = np.concatenate(seen), np.concatenate(done)
        self._weights = np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ y)


def train_imitator(world: SimulatorSettings) -> Imitator:
    """Learn from the controller in the batched simulator, while half of the robots apply the result."""
    observation, teacher = ObservationSettings(**SEES), ProportionalController(3.0, 1.2, 0.5, 1.0, 0.2)
    imitator = Imitator(observation, (world.camera_height, world.camera_width))
    school = world.model_copy(update={"backend": "batched", "max_steps": 90})
    batch = BatchedSimulator(school, ROBOTS, image_blocks(observation, school))
    images, _ = batch.reset(seed=0)
    seen, taught = [], []
    for step in range(STEPS):
        lane = np.stack([batch.robots.lane_dist, batch.robots.lane_angle], axis=1)
        right = teacher.act(Observations(images, lane))
        if step % SAMPLED_EVERY == 0:
            seen.append(imitator.features(images))
            taught.append(right)
        if step in (STEPS // 3, 2 * STEPS // 3, STEPS - 1):
            imitator.fit(seen, taught)
        trying = (np.arange(ROBOTS) % 2 == 0) & (step > STEPS // 3)
        images, *_ = batch.step(np.where(trying[:, None], imitator.act_on(images), right))
    batch.close()
    return imitator


def test_a_policy_trained_in_one_drives_the_same_way_in_the_other(make_evaluators):
    both = make_evaluators(seconds=8.0, starts=STARTS)
    policy = train_imitator(both[0].simulator.settings)
    stock, batched = (evaluator.evaluate(policy) for evaluator in both)
    assert stock.summary()["survived"] == batched.summary()["survived"] == STARTS
    # start by start: the median of many falls into a gap between starts, a little aside in one of the two
    for theirs, ours in zip(stock.scores, batched.scores, strict=True):
        assert ours.readable()["distance_m"] == pytest.approx(theirs.readable()["distance_m"], rel=0.05)
        assert ours.lateral_mean_m == pytest.approx(theirs.lateral_mean_m, abs=0.003)
