"""One drive: the loop of AIDO's experiment manager, between the simulator node and an agent."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ducklane.project.outputs import replacing
from ducklane.robot.judge.node import MAP_PIXELS
from ducklane.robot.judge.processes import Node
from ducklane.robot.judge.scenarios import Configuration, FriendlyPose, Scenario
from ducklane.robot.protocol import aido
from ducklane.simulator.interface import MapImage

COMMAND_S = 0.05
"""Seconds for which a command is held: the challenges' `physics_dt`."""

SEED = 1
"""For the node and the agent. Nothing in the node's world is drawn at random."""

MAP_MARGIN_M = 0.1
"""gym-duckietown's camera above the map shows its longer side and this much around it."""

TIME = "time"
"""Code of a drive that lasted as long as it could."""

Floats = NDArray[np.float64]

_State = tuple[tuple[float, float, float], tuple[float, float]]
"""(x, z, angle), and the speeds ahead and to the left."""


@dataclass(frozen=True)
class Drive:
    """What happened, as the node reported it. Poses are in the frame of the simulator's `State`."""

    scenario: Scenario
    times: Floats
    """(T,) seconds at which each command was given, `COMMAND_S` apart, accumulated as the challenges do"""
    commands: Floats
    """(T, 2) duty of the left and the right wheel"""
    poses: Floats
    """(T + 1, 3) (x, z, angle) in metres and radians when each command was given, and at the end"""
    speeds: Floats
    """(T + 1, 2) metres per second ahead and radians per second to the left, at the same times"""
    frame_times: Floats
    """(T,) time stamps of the frame that was the newest at each command"""
    code: str
    """how it ended: the node's code, or `TIME`"""
    why: str
    """the same in the node's words"""
    map_image: MapImage
    frames: list[bytes]
    """the distinct frames as JPEG files, in order; empty if they were not recorded"""

    @property
    def survived(self) -> bool:
        """Whether the time was over before anything else."""
        return self.code == TIME

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return len(self.commands) * COMMAND_S


def drive(simulator: Node, agent: Node, scenario: Scenario, seconds: float, *, frames: bool = False) -> Drive:
    """Let an agent drive through a scenario until the node ends it, or time is over.

    Args:
        simulator: the node, connected.
        agent: connected.
        scenario: where.
        seconds: > 0, at which the drive ends at the latest.
        frames: keep what the camera saw.
    """
    _set_up(simulator, agent, scenario)
    steps = math.ceil(seconds / COMMAND_S - 1e-9)
    states: list[_State] = []
    commands: list[tuple[float, float]] = []
    times: list[float] = []
    stamps: list[float] = []
    seen: list[bytes] = []
    code, why = TIME, "the time is over"
    now = 0.0
    while True:
        states.append(_state(simulator, scenario, now))
        end = simulator.ask("get_sim_state", expect="sim_state").terminations[scenario.player]
        if end is not None:
            code, why = end.code, end.desc
            break
        if len(commands) == steps:
            break
        camera, command = _answered(simulator, agent, scenario, now)
        if frames and (not stamps or camera.timestamp != stamps[-1]):
            seen.append(bytes(camera.jpg_data))
        stamps.append(camera.timestamp)
        commands.append(command)
        times.append(now)
        now += COMMAND_S  # added up, not multiplied: the node compares times that it adds up, too
        simulator.ask("step", aido().schemas.Step(now))
    poses, speeds = (np.array(part, np.float64) for part in zip(*states, strict=True))
    return Drive(
        scenario=scenario,
        times=np.array(times, np.float64),
        commands=np.array(commands, np.float64).reshape(-1, 2),
        poses=poses,
        speeds=speeds,
        frame_times=np.array(stamps, np.float64),
        code=code,
        why=why,
        # last of all: the ground's brightness depends on what was drawn before it, and the next frame would
        # show another one
        map_image=_map_image(simulator, scenario),
        frames=seen,
    )


def record(path: Path, driven: Drive) -> None:
    """Write a drive to an .npz file, complete or not at all.

    It holds the arrays of `Drive` under their names, `start` (3,), `scenario` and `code` as text, and, if
    frames were kept, `jpeg`, the files of the distinct frames one after another as bytes, and `jpeg_ends`
    int64 (F,), where each ends.
    """
    arrays = {name: getattr(driven, name) for name in ("times", "commands", "poses", "speeds", "frame_times")}
    if driven.frames:
        arrays["jpeg"] = np.frombuffer(b"".join(driven.frames), np.uint8)
        arrays["jpeg_ends"] = np.cumsum([len(frame) for frame in driven.frames], dtype=np.int64)
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(
            file,
            scenario=driven.scenario.name,
            start=np.array(driven.scenario.start),
            code=driven.code,
            **arrays,
        )


def _set_up(simulator: Node, agent: Node, scenario: Scenario) -> None:
    """Begin the episode."""
    schemas = aido().schemas
    content = scenario.content
    for node in (simulator, agent):
        node.ask("seed", SEED)
    simulator.ask("clear")
    simulator.ask("set_map", schemas.SetMap(map_data=content.environment))
    for name, robot in content.robots.items():
        spawned = schemas.SpawnRobot(
            robot_name=name,
            configuration=_configuration(robot.configuration),
            playable=robot.controllable,
            owned_by_player=name == scenario.player,
            color=robot.color,
            simulate_camera=True,
            dynamics=robot.dynamics,
            dynamics_params=robot.dynamics_params,
        )
        simulator.ask("spawn_robot", spawned)
    for name, duckie in content.duckies.items():
        pose = schemas.FriendlyPose(**duckie.pose.model_dump())
        simulator.ask("spawn_duckie", schemas.SpawnDuckie(name=name, color=duckie.color, pose=pose))
    start = schemas.EpisodeStart(scenario.name, yaml_payload=content.payload_yaml)
    for node in (simulator, agent):
        node.ask("episode_start", start)


def _configuration(configuration: Configuration) -> Any:
    schemas = aido().schemas
    pose, velocity = (_plain(part) for part in (configuration.pose, configuration.velocity))
    return schemas.RobotConfiguration(schemas.FriendlyPose(**pose), schemas.FriendlyVelocity(**velocity))


def _plain(pose: FriendlyPose) -> dict[str, float]:
    return pose.model_dump()


def _map_image(simulator: Node, scenario: Scenario) -> MapImage:
    """The map as it is now, with the robot on it."""
    jpeg = simulator.ask("get_ui_image", expect="ui_image").jpg_data
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    assert pixels.shape == (MAP_PIXELS, MAP_PIXELS, 3)
    size, tiles = scenario.town["tile_size"], scenario.town["tiles"]
    x, z = len(tiles[0]) * size / 2, len(tiles) * size / 2
    reach = max(x, z) + MAP_MARGIN_M
    return MapImage(pixels, (x - reach, x + reach, z + reach, z - reach))


def _state(simulator: Node, scenario: Scenario, now: float) -> _State:
    """Pose and speeds now."""
    question = aido().schemas.GetRobotState(robot_name=scenario.player, t_effective=now)
    state = simulator.ask("get_robot_state", question, expect="robot_state").state
    pose, velocity = state.pose, state.velocity
    angle = math.atan2(pose[1, 0], pose[0, 0])
    z = scenario.map_height_m - float(pose[1, 2])
    return (float(pose[0, 2]), z, angle), (float(velocity[0, 2]), float(velocity[1, 0]))


def _answered(
    simulator: Node, agent: Node, scenario: Scenario, now: float
) -> tuple[Any, tuple[float, float]]:
    """Show the agent the newest frame, and have the node obey it: (camera, command)."""
    schemas = aido().schemas
    question = schemas.GetRobotObservations(robot_name=scenario.player, t_effective=now)
    observed = simulator.ask("get_robot_observations", question, expect="robot_observations").observations
    agent.ask("observations", observed)
    commands = agent.ask("get_commands", schemas.GetCommands(now), expect="commands")
    simulator.ask("set_robot_commands", schemas.DB20SetRobotCommands(scenario.player, now, commands))
    return observed.camera, (commands.wheels.motor_left, commands.wheels.motor_right)
