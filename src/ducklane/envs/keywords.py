"""The keyword arguments of the environments, checked as settings, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gymnasium.vector import AutoresetMode
from pydantic import ValidationError

from ducklane.settings import SettingsError, SimulatorSettings, TaskSettings
from ducklane.settings.base import Section
from ducklane.settings.refusals import problems
from ducklane.simulator.arguments import checked_autoreset

Kind = TypeVar("Kind", bound=Section)

DEFAULTS: dict[str, dict[str, Any]] = {
    "simulator": {
        "backend": "batched",
        "seed": 1,
        "map_name": "loop_empty",
        "max_steps": 500,
        "camera_width": 640,
        "camera_height": 480,
        "accept_start_angle_deg": 60.0,
        "full_transparency": True,
        "fidelity": "fast",
        "distortion": True,
        "domain_rand": False,
        "dynamics_rand": False,
        "camera_rand": False,
        "threads": -1,
    },
    "observation": {
        "crop_top": 160,
        "crop_bottom": 0,
        "width": 80,
        "height": 40,
        "color": "gray",
        "frame_stack": 3,
    },
    "action": {"type": "wheels"},
    "reward": {
        "type": "lane_progress",
        "progress_weight": 2.0,
        "lane_width_m": 0.15,
        "lateral_weight": 2.0,
        "crash_penalty": 5.0,
        "detour_margin_m": 0.0,
    },
}
"""The settings of params.yaml that an environment has, as the project ships them."""

TASK = frozenset({"observation", "action", "reward"})
"""Sections that `task_settings` takes as keywords, each a dictionary with the keys that differ."""


def task_settings(name: str, keywords: Mapping[str, Any]) -> TaskSettings:
    """The settings of an environment with a task.

    Args:
        name: of the environment, for refusals.
        keywords: keys of the section `simulator`, and sections of the task, where they differ from the
            `DEFAULTS`.

    Raises:
        SettingsError: one line for each keyword that is unknown or wrong.
    """
    content = {section: dict(values) for section, values in DEFAULTS.items()}
    for key, value in keywords.items():
        if key not in TASK:
            content["simulator"][key] = value
        elif isinstance(value, Mapping):
            content[key] |= value
        else:
            raise SettingsError(f"{name}: {key}: got {value!r}; give a dictionary with the keys that differ")
    return _checked(name, TaskSettings, content)


def simulator_settings(name: str, keywords: Mapping[str, Any]) -> SimulatorSettings:
    """The settings of an environment without a task; arguments and errors are those of `task_settings`."""
    return _checked(name, SimulatorSettings, DEFAULTS["simulator"] | dict(keywords))


def _checked(name: str, kind: type[Kind], content: dict[str, Any]) -> Kind:
    try:
        settings = kind.model_validate(content)
    except ValidationError as error:
        lines = (problem.removeprefix("simulator.") for problem in problems(error, kind))
        raise SettingsError(*(f"{name}: {line}" for line in lines)) from None
    simulator: Any = getattr(settings, "simulator", settings)
    if simulator.backend != "batched":
        raise SettingsError(
            f"{name}: backend: only the batched simulator is made by name; "
            "use ducklane.environment.Environment for gym-duckietown"
        )
    return settings


def checked_render_mode(name: str, render_mode: str | None, modes: tuple[str, ...]) -> str | None:
    """The mode itself.

    Raises:
        SettingsError: the environment cannot render in it.
    """
    if render_mode is not None and render_mode not in modes:
        raise SettingsError(f"{name}: render_mode: got {render_mode!r}; give {' or '.join(modes)}, or None")
    return render_mode


def autoreset(name: str, mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, also by gymnasium's name for it: "NextStep" or "SameStep".

    Raises:
        SettingsError: it is neither.
    """
    try:
        return checked_autoreset(AutoresetMode(mode))
    except ValueError:
        raise SettingsError(
            f"{name}: autoreset_mode: got {mode!r}; give AutoresetMode.NEXT_STEP or SAME_STEP"
        ) from None
