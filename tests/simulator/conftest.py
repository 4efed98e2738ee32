from collections.abc import Callable, Iterator

import pytest

from ducklane.settings import SimulatorSettings
from ducklane.simulator.reference import ReferenceSimulator

SMALL = SimulatorSettings(
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
)
"""Quick to draw."""


@pytest.fixture
def make_simulator() -> Iterator[Callable[..., ReferenceSimulator]]:
    """Make small simulators, with the settings given changed; they are closed after the test."""
    made = []

    def make(**changes) -> ReferenceSimulator:
        made.append(ReferenceSimulator(SMALL.model_validate({**SMALL.model_dump(), **changes})))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


@pytest.fixture
def simulator(make_simulator) -> ReferenceSimulator:
    return make_simulator()
