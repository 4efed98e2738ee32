"""The program of the simulator node's process: python -m ducklane.robot.judge.node FOLDER.

It serves the AI Driving Olympics' own simulator node, from the packages in FOLDER, over the fifos that
AIDONODE_DATA_IN and AIDONODE_DATA_OUT name. The node is unchanged. What it runs on is adapted: gym-duckietown
needs no screen and takes current numpy, and the protocol's packages run on current Python.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from ducklane.robot.protocol import aido
from ducklane.simulator.stock.adaptations import simulator_class
from ducklane.simulator.stock.importing import silence

MAP_PIXELS = 640
"""Width and height of the map from above; the node draws it only when it is asked for."""

WORLD = {
    "seed": 1,
    "max_steps": 500_001,
    "domain_rand": False,
    "camera_width": 640,
    "camera_height": 480,
    "distortion": True,
    "num_tris_distractors": 0,
    "color_ground": [0, 0.3, 0],
    "enable_leds": True,
}
"""Parameters of gym-duckietown's simulator: the challenges' own, and a seed, though nothing is drawn at
random."""


def serve(packages: str) -> None:
    """Answer until the fifo is closed.

    Args:
        packages: folder with the node's packages.
    """
    simulator_class()
    talk = aido()
    # last, so that it can add packages but replace none
    sys.path.append(packages)
    _stand_in_for_code_utils()
    with silence():
        node = import_module("duckietown_simulator_gym").GymDuckiebotSimulator()
    node.config.env_parameters = dict(WORLD)
    node.config.topdown_resolution = MAP_PIXELS
    talk.wrapper.wrap_direct(node, talk.schemas.protocol_simulator_DB20_timestamps, args=[])


def _stand_in_for_code_utils() -> None:
    """The node uses one function of a package that brings dozens of others."""
    from zuper_commons.types import import_name

    stand_in: Any = ModuleType("duckietown_code_utils")
    stand_in.import_name = import_name
    sys.modules[stand_in.__name__] = stand_in


if __name__ == "__main__":
    serve(sys.argv[1])
