"""The same drivers from the same starts in both simulators.

DUCKLANE_PARITY_STARTS=20 takes more starts than `make test`.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from ducklane.baselines import ProportionalController
from ducklane.evaluation.episodes import evaluation_simulator
from ducklane.evaluation.evaluator import Evaluator
from ducklane.policy import Observations, Policy
from ducklane.simulator.single import SingleSimulator

STARTS = int(os.environ.get("DUCKLANE_PARITY_STARTS", "4"))


@pytest.fixture
def make_evaluators(changed):
    """The same evaluation in the stock simulator and in the batched one."""
    made = []

    def make(seconds: float, starts: int) -> tuple[Evaluator, Evaluator]:
        chosen = changed(evaluate={"episodes": starts, "max_seconds": seconds})
        world = evaluation_simulator(chosen)
        made.append(SingleSimulator(world.model_copy(update={"backend": "batched"})))
        return Evaluator(chosen), Evaluator(chosen, made[-1])

    yield make
    for simulator in made:
        simulator.close()


def test_the_controller_drives_the_same_way_in_both(make_evaluators):
    both = make_evaluators(seconds=8.0, starts=STARTS)
    stock, batched = (evaluator.evaluate(ProportionalController()) for evaluator in both)
    for theirs, ours in zip(stock.scores, batched.scores, strict=True):
        assert ours.driven_lanedir_consec == pytest.approx(theirs.driven_lanedir_consec, rel=1e-6)
        assert ours.lateral_mean_m == pytest.approx(theirs.lateral_mean_m, rel=1e-6)


class Hurried(Policy):
    """A network that knows nothing yet, and drives forward."""

    def __init__(self, network: Policy) -> None:
        self.name, self.camera_shape, self._network = "hurried", network.camera_shape, network

    def reset(self, n: int) -> None:
        self._network.reset(n)

    def act(self, observations: Observations) -> np.ndarray:
        return self._network.act(observations) + 0.4


def test_a_network_that_sees_goes_where_it_does_in_the_stock_simulator(
    make_evaluators, make_policy, settings
):
    both = make_evaluators(seconds=2.0, starts=2)
    policy = Hurried(make_policy(settings))
    stock, batched = (evaluator.evaluate(policy) for evaluator in both)
    for theirs, ours in zip(stock.episodes, batched.episodes, strict=True):
        assert len(ours.poses) == len(theirs.poses)
        assert np.abs(theirs.poses - theirs.poses[0]).max() > 0.3
        assert np.abs(ours.poses - theirs.poses).max() < 0.05
