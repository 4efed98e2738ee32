from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ducklane.settings import SimulatorSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.stock.simulator import StockSimulator


@pytest.fixture(scope="session")
def small() -> SimulatorSettings:
    """Quick to draw."""
    return SimulatorSettings(
        backend="gym-duckietown",
        seed=1,
        map_name="loop_empty",
        max_steps=500,
        camera_width=64,
        camera_height=48,
        accept_start_angle_deg=40,
        full_transparency=True,
        fidelity="fast",
        distortion=False,
        domain_rand=False,
        dynamics_rand=False,
        camera_rand=False,
        threads=1,
    )


@pytest.fixture
def make_simulator(small) -> Iterator[Callable[..., StockSimulator]]:
    """Make small simulators, with the settings given changed; they are closed after the test."""
    made = []

    def make(**changes) -> StockSimulator:
        made.append(StockSimulator(SimulatorSettings.model_validate({**small.model_dump(), **changes})))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


@pytest.fixture(scope="session")
def make_batch(small) -> Callable[..., BatchedSimulator]:
    """Make small batched simulators, with the settings given changed."""

    def make(n: int = 4, threads: int = 1, **changes: Any) -> BatchedSimulator:
        content = {**small.model_dump(), "backend": "batched", "max_steps": 30, **changes}
        return BatchedSimulator(SimulatorSettings.model_validate(content), n, threads=threads)

    return make


@pytest.fixture
def simulator(make_simulator) -> StockSimulator:
    """A small simulator of loop_empty."""
    return make_simulator()


@pytest.fixture(scope="module")
def udem1(small) -> Iterator[StockSimulator]:
    """A small simulator of a map with crossings and obstacles, for many examples."""
    simulator = StockSimulator(small.model_copy(update={"map_name": "udem1"}))
    yield simulator
    simulator.close()


@pytest.fixture(scope="session")
def assert_recorded() -> Callable[[np.ndarray, Any], None]:
    """Compare steps, rows of (*state, reward, done), with a recorded episode."""

    def compare(steps: np.ndarray, recorded: Any) -> None:
        x, z, angle, speed, _, _, dist, lane_angle, dot, proximity, valid, reward, done = steps.T
        for ours, theirs in (
            (x, recorded["pos"][:, 0]),
            (z, recorded["pos"][:, 2]),
            (angle, recorded["angle"]),
            (speed, recorded["speed"]),
            (dist, recorded["lane"][:, 0]),
            (dot, recorded["lane"][:, 1]),
            (lane_angle, recorded["lane"][:, 2]),
            (proximity, recorded["proximity"]),
            (reward, recorded["reward"]),
        ):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=True)
        np.testing.assert_array_equal(valid, recorded["valid"])
        np.testing.assert_array_equal(done, recorded["done"])

    return compare
