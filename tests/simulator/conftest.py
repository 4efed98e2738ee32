from collections.abc import Callable, Iterator

import pytest

from ducklane.settings import SimulatorSettings
from ducklane.simulator.reference import ReferenceSimulator


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
        distortion=False,
        domain_rand=False,
        dynamics_rand=False,
        camera_rand=False,
        threads=1,
    )


@pytest.fixture
def make_simulator(small) -> Iterator[Callable[..., ReferenceSimulator]]:
    """Make small simulators, with the settings given changed; they are closed after the test."""
    made = []

    def make(**changes) -> ReferenceSimulator:
        made.append(ReferenceSimulator(SimulatorSettings.model_validate({**small.model_dump(), **changes})))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


@pytest.fixture
def simulator(make_simulator) -> ReferenceSimulator:
    """A small simulator of loop_empty."""
    return make_simulator()


@pytest.fixture(scope="module")
def udem1(small) -> Iterator[ReferenceSimulator]:
    """A small simulator of a map with crossings and obstacles, for many examples."""
    simulator = ReferenceSimulator(small.model_copy(update={"map_name": "udem1"}))
    yield simulator
    simulator.close()
