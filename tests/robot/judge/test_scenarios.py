"""Scenarios are read as the challenges write them, refused where they cannot be driven, and made alike."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from ducklane.errors import UserError
from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.robot.judge.sampling import CHALLENGES, sample
from ducklane.robot.judge.scenarios import read_scenario, read_scenarios, write_scenario
from ducklane.simulator.town.map_format import road_of

yaml = YAML(typ="safe", pure=True)

CHALLENGE_FILE = """
robots:
  ego0:
    color: red
    dynamics: duckietown_world.world_duckietown.pwm_dynamics.get_DB18_nominal
    protocol: PROTOCOL_NORMAL
    description: Playable robot ego0
    controllable: true
    configuration:
      pose: {x: 0.9, y: 0.6, theta_deg: 149.2}
      velocity: {x: 0.0, y: 0.0, theta_deg: 0.0}
    dynamics_params: {delay: 0.15}
duckies: {}
environment: "tiles:\\n- - floor\\n  - floor\\n  - floor\\n- - floor\\n  - straight/S\\n\\
  \\  - floor\\n- - floor\\n  - straight/S\\n  - floor\\ntile_size: 0.585\\n"
payload_yaml: 'info: fill here the yaml'
player_robots:
- ego0
scenario_name: street-000
"""
"""Laid out like the challenges' files."""


def written(path: Path, **changes: Any) -> Path:
    """A challenge's file with some keys changed: `a__b` is key b in section a; None removes it."""
    content = yaml.load(CHALLENGE_FILE)
    for key, value in changes.items():
        *sections, last = key.split("__")
        part = content
        for section in sections:
            part = part[section]
        if value is None:
            del part[last]
        else:
            part[last] = value
    with path.open("w") as file:
        yaml.dump(content, file)
    return path


def test_a_start_is_where_the_file_says(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path / "scenario.yaml"))
    assert scenario.player == "ego0"
    assert scenario.start == pytest.approx((0.9, 3 * 0.585 - 0.6, math.radians(149.2)))


POSE = "robots__ego0__configuration__pose"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": None}, ["environment", "is missing"]),
        ({"environment": "tiles: ["}, ["environment", "not the text of a map"]),
        ({"environment": "tiles: [[lava]]\ntile_size: 0.585"}, ["environment", "lava"]),
        ({"player_robots": ["ego1"]}, ["player_robots", "'ego1'", "ego0"]),
        ({"player_robots": []}, ["player_robots"]),
        ({f"{POSE}__y": 1.3}, ["robots.ego0.configuration.pose", "y 1.3", "off the road"]),
        ({f"{POSE}__x": "left"}, ["robots.ego0.configuration.pose.x", "'left'", "number"]),
        ({f"{POSE}__x": math.inf}, ["robots.ego0.configuration.pose.x", "inf"]),
        ({"robots__ego0__dynamics": "os.system"}, ["robots.ego0.dynamics", "'os.system'"]),
        ({"robots__ego0__protocol": "PROTOCOL_FULL"}, ["robots.ego0", "PROTOCOL_NORMAL"]),
        ({"scenario_name": "../../etc"}, ["scenario_name", "'../../etc'"]),
        ({"weather": "rain"}, ["weather", "unknown key"]),
    ],
)
def test_what_cannot_be_driven_is_refused_in_one_line(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path / "scenario.yaml", **changes)
    with pytest.raises(UserError) as refusal:
        read_scenarios([path])
    (line,) = refusal.value.problems
    assert "\n" not in line
    assert all(word in line for word in [str(path), *words]), line


def test_robots_of_the_challenge_are_not_here(tmp_path: Path) -> None:
    robots = yaml.load(CHALLENGE_FILE)["robots"]
    robots["npc0"] = {**robots["ego0"], "protocol": "PROTOCOL_STATE"}
    with pytest.raises(UserError, match=r"robots\.npc0: .* controllable: false"):
        read_scenario(written(tmp_path / "moving.yaml", robots=robots))
    robots["npc0"]["controllable"] = False
    assert read_scenario(written(tmp_path / "standing.yaml", robots=robots)).player == "ego0"


def test_every_file_of_a_folder_is_read_and_every_wrong_one_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "scenario.yaml")
    assert [scenario.name for scenario in read_scenarios([tmp_path])] == ["street-000", "street-000-2"]
    wrong = [written(tmp_path / name / "scenario.yaml", player_robots=["none"]) for name in ("one", "two")]
    with pytest.raises(UserError) as refusal:
        read_scenarios([tmp_path])
    assert [line.partition(": ")[0] for line in refusal.value.problems] == [str(path) for path in wrong]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"empty: holds no scenario\.yaml"):
        read_scenarios([empty])


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_a_sample_can_be_repeated_and_read_back(challenge: str, tmp_path: Path) -> None:
    first, again, other = (sample(challenge, seed) for seed in (7, 7, 8))
    assert [one.content for one in first] == [one.content for one in again]
    assert all(one.start != two.start for one, two in zip(first, other, strict=True))
    for scenario in first:
        write_scenario(tmp_path / scenario.name / "scenario.yaml", scenario)
    assert [one.content for one in read_scenarios([tmp_path])] == sorted(
        (one.content for one in first), key=lambda content: content.scenario_name
    )


@cache
def lanes(challenge: str, number: int) -> LaneMap:
    """Of a challenge's map, which is the same for all seeds."""
    scenario = sample(challenge, 0)[number]
    return LaneMap(scenario.name, scenario.town)


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("seed", [0, 2**40])
def test_a_sampled_start_is_near_its_lane_and_trees_are_beside_the_road(challenge: str, seed: int) -> None:
    for number, scenario in enumerate(sample(challenge, seed)):
        x, z, angle = scenario.start
        ahead = (x + 1e-3 * math.cos(angle), z - 1e-3 * math.sin(angle), angle)
        poses = np.array([scenario.start, ahead])
        scores, laterals_m = lanes(challenge, number).judge(poses, survived=True, step_seconds=1)
        assert laterals_m[0] <= 0.04 + 1e-6
        assert math.degrees(scores.deviation_heading) <= 40 + 1e-6
        size, rows = scenario.town["tile_size"], len(scenario.town["tiles"])
        road = road_of(scenario.town)
        trees = [thing["pose"]["~SE2Transform"]["p"] for thing in scenario.town["objects"].values()]
        assert len(trees) == len(road)
        assert not [
            (east, north)
            for east, north in trees
            if (math.floor(east / size), math.floor(rows - north / size)) in road
        ]
