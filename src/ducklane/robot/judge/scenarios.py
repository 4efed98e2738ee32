"""Scenarios of the AI Driving Olympics: a map and a robot's start, as files in the challenges' format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ducklane.errors import UserError
from ducklane.settings.loading import read_yaml
from ducklane.settings.refusals import dotted, shown
from ducklane.simulator.town import map_format

FILE_NAME = "scenario.yaml"
"""Name of a scenario's file in a folder of the challenges."""

DYNAMICS = "duckietown_world.world_duckietown.pwm_dynamics.get_DB18_nominal"
"""The node's robots all move by this model, whatever a scenario asks for; but it imports what is named."""


class ScenarioError(UserError):
    """A scenario cannot be driven. Exit code 2, as for any wrong input."""

    exit_code = 2


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FriendlyPose(_Part):
    """Metres from the map's lower left corner, x to the right and y up, and degrees anticlockwise."""

    x: float
    y: float
    theta_deg: float


class Configuration(_Part):
    """How a robot begins; its velocity is in metres and degrees per second."""

    pose: FriendlyPose
    velocity: FriendlyPose = FriendlyPose(x=0, y=0, theta_deg=0)


class Robot(_Part):
    """A robot; those that are not controllable stand where they begin."""

    configuration: Configuration
    color: str = "red"
    description: str = ""
    controllable: bool = True
    protocol: str | None = "PROTOCOL_NORMAL"
    dynamics: Literal[
        "duckietown_world.world_duckietown.pwm_dynamics.get_DB18_nominal",
        "duckietown_world.world_duckietown.pwm_dynamics.get_DB18_uncalibrated",
    ] = DYNAMICS  # type: ignore[assignment]
    dynamics_params: dict[str, float] = {"delay": 0.15}


class Duckie(_Part):
    """A duckie, which stands still."""

    pose: FriendlyPose
    color: str = "yellow"


class Content(_Part):
    """What a scenario's file holds."""

    scenario_name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    environment: str
    """the map's file, format v1, as text"""
    player_robots: Annotated[list[str], Field(min_length=1, max_length=1)]
    robots: dict[str, Robot]
    duckies: dict[str, Duckie] = {}
    payload_yaml: str = "{}"


@dataclass(frozen=True)
class Scenario:
    """One drive: a map, things on it, and a robot to be driven."""

    name: str
    """unique among those that are driven together"""
    content: Content
    town: Any
    """the content of its map's file"""
    path: Path | None = None
    """its file, if it has been read from one"""

    @property
    def player(self) -> str:
        """Name of the robot that is driven."""
        return self.content.player_robots[0]

    @property
    def map_height_m(self) -> float:
        """Metres from the map's lower to its upper edge."""
        return float(len(self.town["tiles"]) * self.town["tile_size"])

    @property
    def start(self) -> tuple[float, float, float]:
        """(x, z, angle) of the robot, metres and radians, in the simulator's frame."""
        pose = self.content.robots[self.player].configuration.pose
        return pose.x, self.map_height_m - pose.y, math.radians(pose.theta_deg)


def read_scenarios(paths: Sequence[Path]) -> list[Scenario]:
    """Read scenario files, and those in folders: every scenario.yaml at any depth.

    Raises:
        ScenarioError: one line per file that is missing or that cannot be driven.
    """
    scenarios: list[Scenario] = []
    problems: list[str] = []
    for file in (file for path in paths for file in _files(path)):
        try:
            scenarios.append(read_scenario(file))
        except UserError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(*problems)
    return named_apart(scenarios)


def read_scenario(path: Path) -> Scenario:
    """Read one file.

    Raises:
        UserError: it is missing, or not a scenario that can be driven here.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ScenarioError(f"{path}: is no scenario; give keys {', '.join(Content.model_fields)}")
    try:
        return checked(Content.model_validate(content), path)
    except ValidationError as error:
        raise ScenarioError(f"{path}: {_described(error)}") from None


def checked(content: Content, path: Path | None = None) -> Scenario:
    """A scenario that can be driven here.

    Args:
        content: of its file.
        path: of its file.

    Raises:
        ScenarioError: its map is wrong, it needs robots that are not here, or its robot starts off the road.
    """
    scenario = Scenario(content.scenario_name, content, _town(content.environment), path)
    problem = _problem_of_town(scenario.town) or _problem_of_robots(content) or _problem_of_start(scenario)
    if problem:
        raise ScenarioError(f"{path or content.scenario_name}: {problem}")
    return scenario


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a file that `read_scenario` reads, and so do the challenges' programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(scenario.content.model_dump(), file)


def named_apart(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios with names that differ: the second `loop-000` becomes `loop-000-2`."""
    seen: Counter[str] = Counter()
    apart = []
    for scenario in scenarios:
        seen[scenario.name] += 1
        count = seen[scenario.name]
        name = scenario.name if count == 1 else f"{scenario.name}-{count}"
        apart.append(Scenario(name, scenario.content, scenario.town, scenario.path))
    return apart


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(f"*{FILE_NAME}"))
    if not files:
        raise ScenarioError(f"{path}: holds no {FILE_NAME}; give a scenario file, or a folder with some")
    return files


def _town(environment: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(environment)
    except (YAMLError, ValueError, RecursionError):
        return None


def _problem_of_town(town: Any) -> str | None:
    if not isinstance(town, dict):
        return "environment: is not the text of a map; give that of a map's file, e.g. maps/mine.yaml"
    problem = map_format.problem_of(town)
    return f"environment: {problem}" if problem else None


def _problem_of_robots(content: Content) -> str | None:
    (player,) = content.player_robots
    if player not in content.robots:
        return f"player_robots: there is no robot {player!r}; known are {', '.join(content.robots)}"
    ego = content.robots[player]
    if not ego.controllable or ego.protocol != "PROTOCOL_NORMAL":
        return f"robots.{player}: sees no camera; give controllable: true and protocol: PROTOCOL_NORMAL"
    for name, robot in content.robots.items():
        if name != player and robot.controllable:
            return (
                f"robots.{name}: is driven by a program of the challenge that is not here; "
                "leave it out, or make it stand with controllable: false"
            )
    return None


def _problem_of_start(scenario: Scenario) -> str | None:
    x, z, _ = scenario.start
    tile = math.floor(x / scenario.town["tile_size"]), math.floor(z / scenario.town["tile_size"])
    if tile in map_format.road_of(scenario.town):
        return None
    place = f"robots.{scenario.player}.configuration.pose"
    return f"{place}: x {x:.4g}, y {scenario.map_height_m - z:.4g} is off the road; give a place on it"


def _described(error: ValidationError) -> str:
    """The first problem, with its place."""
    detail = error.errors()[0]
    place = dotted(detail["loc"])
    if detail["type"] == "missing":
        return f"{place}: is missing; the challenges' files show what belongs there"
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown key; leave it out"
    message = detail["msg"]
    return f"{place}: got {shown(detail['input'])}; {message[0].lower()}{message[1:]}"
