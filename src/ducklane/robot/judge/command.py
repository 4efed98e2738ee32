"""What `ducklane aido` does, from its arguments to the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ducklane.errors import UserError
from ducklane.export.policy_file import PolicyFile
from ducklane.robot.judge.installation import PACKAGES, installed_node
from ducklane.robot.judge.judging import Judged, digest, judge
from ducklane.robot.judge.results import Results, how_it_ended
from ducklane.robot.judge.sampling import CHALLENGES, sample
from ducklane.robot.judge.scenarios import (
    FILE_NAME,
    Scenario,
    ScenarioError,
    named_apart,
    read_scenarios,
    write_scenario,
)

SAMPLED = "scenarios"
"""Folder below that of the results for the scenarios of our own."""


def chosen_scenarios(paths: Sequence[Path], challenge: str, seed: int, out: Path) -> list[Scenario]:
    """Those in the files, and those made for a challenge, which are also written below `out`.

    Raises:
        ScenarioError: a file is wrong, there is no such challenge, or nothing is asked for.
    """
    known = " or ".join(CHALLENGES)
    if challenge and challenge not in CHALLENGES:
        raise ScenarioError(f"--sample: got {challenge!r}; give {known}")
    if not paths and not challenge:
        raise ScenarioError(f"SCENARIO: is missing; give scenario files, or --sample {known}")
    read = read_scenarios(paths)
    made = []
    for scenario in sample(challenge, seed) if challenge else []:
        path = out / SAMPLED / scenario.name / FILE_NAME
        write_scenario(path, scenario)
        print(path)
        made.append(Scenario(scenario.name, scenario.content, scenario.town, path))
    return named_apart([*read, *made])


def drive_and_tell(
    scenarios: Sequence[Scenario],
    model: Path,
    *,
    scale: float,
    seconds: float,
    jobs: int,
    out: Path,
    records: Path | None,
    frames: bool,
) -> None:
    """Drive the scenarios, write what came of them, and print it.

    Args:
        scenarios: where; their names differ.
        model: the policy's ONNX file.
        scale: factor of its commands.
        seconds: longest drive.
        jobs: drives at a time.
        out: folder for scores.json and pictures.
        records: folder for the drives as .npz files, or None.
        frames: record frames, too.

    Raises:
        UserError: what was asked for cannot be done, or a process failed.
    """
    if frames and records is None:
        raise UserError("--frames: has nowhere to go; give --record FOLDER, too")
    PolicyFile(model)  # refused here rather than by the agent, when the node has been started
    packages = installed_node()
    about = {
        "model": {"path": str(model), "sha256": digest(model)},
        "scale": scale,
        "seconds": seconds,
        "node": PACKAGES,
    }
    results = Results(out, about, [scenario.name for scenario in scenarios], records)

    def tell(judged: Judged) -> None:
        results.add(judged)
        drive = judged.drive
        print(f"{drive.scenario.name}: {how_it_ended(drive)} after {drive.seconds:.1f} s", file=sys.stderr)

    agent = [sys.executable, "-m", "ducklane", "agent", "--model", str(model), "--scale", str(scale)]
    judge(
        scenarios,
        agent,
        packages,
        logs=out / "logs",
        seconds=seconds,
        jobs=jobs,
        frames=frames,
        on_drive=tell,
    )
    results.print_table()
    print(f"scores and pictures: {out}")
