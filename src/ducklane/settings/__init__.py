"""params.yaml as frozen, typed, validated settings.

`load()` reads them, and refuses a file that is not exactly right. The sections and their types are in
sections.py, their base class in base.py, checks across sections in schema.py, the wording of refusals in
refusals.py, and the variations that several trials of one training run make in search_space.py and trials.py.
"""

from ducklane.settings.loading import PARAMS_FILE, load, read_yaml
from ducklane.settings.refusals import SettingsError
from ducklane.settings.schema import Settings, TaskSettings
from ducklane.settings.sections import (
    ActionSettings,
    EvaluateSettings,
    NetworkSettings,
    ObservationSettings,
    RaySettings,
    RewardSettings,
    RllibSettings,
    SimulatorSettings,
    TuneSettings,
)

__all__ = [
    "PARAMS_FILE",
    "ActionSettings",
    "EvaluateSettings",
    "NetworkSettings",
    "ObservationSettings",
    "RaySettings",
    "RewardSettings",
    "RllibSettings",
    "Settings",
    "SettingsError",
    "SimulatorSettings",
    "TaskSettings",
    "TuneSettings",
    "load",
    "read_yaml",
]
