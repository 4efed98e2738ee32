"""Drives are scored by the official rules, written whole, and leave no processes behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ducklane.errors import UserError
from ducklane.robot.judge.driving import COMMAND_S, TIME, Drive
from ducklane.robot.judge.judging import scored
from ducklane.robot.judge.processes import Node, NodeError
from ducklane.robot.judge.results import Results
from ducklane.robot.judge.sampling import sample
from ducklane.robot.protocol import aido
from ducklane.simulator.interface import MapImage
from ducklane.simulator.stock.adaptations import import_duckietown_world

RECORDED = Path(__file__).parent / "recorded.npz"
"""3 s of the scenario loop2-007, recorded by `ducklane aido --sample LF --seed 7 --seconds 3 --record`."""


@pytest.fixture(scope="module")
def driven() -> Drive:
    """The recorded drive."""
    with np.load(RECORDED) as arrays:
        (scenario,) = (one for one in sample("LF", 7) if one.name == str(arrays["scenario"]))
        names = ("times", "commands", "poses", "speeds", "frame_times")
        return Drive(
            scenario=scenario,
            code=str(arrays["code"]),
            why="",
            map_image=MapImage(np.zeros((64, 64, 3), np.uint8), (0, 3, 3, 0)),
            frames=[b"one", b"another"],
            **{name: arrays[name] for name in names},
        )


def official(drive: Drive) -> dict[str, float]:
    """The official scores: duckietown_world.rules.evaluate_rules, fed as AIDO's programs feed it."""
    duckietown_world = import_duckietown_world()
    import geometry
    from duckietown_world import DB18, SE2Transform
    from duckietown_world.rules import evaluate_rules
    from duckietown_world.seqs import SampledSequence

    world = duckietown_world.construct_map(drive.scenario.town)
    times = [COMMAND_S * step for step in range(len(drive.poses))]
    places = [
        SE2Transform.from_SE2(
            geometry.SE2_from_translation_angle([x, drive.scenario.map_height_m - z], angle)
        )
        for x, z, angle in drive.poses
    ]
    path = SampledSequence[SE2Transform](times, places)
    world.set_object("ego0", DB18(), ground_truth=path)
    every = SampledSequence.from_iterator(enumerate(times))
    rules = evaluate_rules(poses_sequence=path, interval=every, world=world, ego_name="ego0")
    return {
        (name[0] if name else rule): metric.total
        for rule, result in rules.items()
        for name, metric in result.metrics.items()
    }


def test_a_recorded_drive_is_scored_by_the_official_rules(driven: Drive) -> None:
    scores = scored(driven).scores
    expected = official(driven)
    assert scores.official() == pytest.approx({name: expected[name] for name in scores.official()}, abs=1e-6)
    assert scores.survived
    assert scores.distance_m > 0.5


def test_what_is_complete_is_written_and_told(
    driven: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path / "out", {"scale": 0.6}, ["first", driven.scenario.name], tmp_path / "records")
    results.add(scored(driven))
    content = json.loads((tmp_path / "out/scores.json").read_text())
    assert (content["asked"], content["scale"]) == (2, 0.6)
    (entry,) = content["drives"]
    assert (entry["scenario"], entry["ended"], entry["code"]) == (driven.scenario.name, "survived", TIME)
    assert content["summary"]["official"] == entry["official"]
    assert (tmp_path / f"out/{driven.scenario.name}.png").stat().st_size > 1000
    with np.load(tmp_path / f"records/{driven.scenario.name}.npz") as arrays:
        assert np.array_equal(arrays["poses"], driven.poses)
        assert np.array_equal(arrays["start"], driven.poses[0])
        first, second = arrays["jpeg_ends"]
        assert bytes(arrays["jpeg"])[first:second] == b"another"
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    results.print_table()
    heading, line = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{driven.scenario.name}  survived")
    assert max(len(heading), len(line)) <= 80


def test_a_drive_that_ends_where_it_begins_has_no_scores(driven: Drive) -> None:
    nothing = Drive(
        **{**vars(driven), "commands": driven.commands[:0], "poses": driven.poses[:1], "why": "collided"}
    )
    with pytest.raises(UserError, match=r"loop2-007: ends where it begins \(collided\)"):
        scored(nothing)


def test_a_node_that_ends_early_says_why(tmp_path: Path) -> None:
    protocol = aido().schemas.protocol_agent_DB20_timestamps
    command = [sys.executable, "-c", "print('first'); print('model.onnx: is missing'); raise SystemExit(1)"]
    with (
        Node("agent", command, protocol, tmp_path / "agent.log") as node,
        pytest.raises(NodeError, match=r"agent: model\.onnx: is missing"),
    ):
        node.connect()


JUDGING = """
import sys
from pathlib import Path
from ducklane.errors import exits_cleanly
from ducklane.robot.judge.judging import judge
from ducklane.robot.judge.sampling import sample

@exits_cleanly
def main():
    agent = [sys.executable, "-c", "import time; time.sleep(600)"]
    judge(sample("LFI", 1), agent, Path("none"), logs=Path(sys.argv[1]), seconds=1, jobs=2, on_drive=print)

main()
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_judgement_leaves_no_processes(stop: signal.Signals, tmp_path: Path) -> None:
    judging = subprocess.Popen(
        [sys.executable, "-c", JUDGING, str(tmp_path)], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    started: list[psutil.Process] = []
    give_up = time.monotonic() + 120
    while len(started) < 4 and time.monotonic() < give_up:
        time.sleep(0.1)
        started = psutil.Process(judging.pid).children()
    judging.send_signal(stop)
    _, told = judging.communicate(timeout=60)
    assert (judging.returncode, told.strip()) == (130, "interrupted")
    assert len(started) == 4
    assert not [process for process in started if process.is_running()]
