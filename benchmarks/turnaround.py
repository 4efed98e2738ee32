"""How long one waits for an experiment: `dvc exp run -S rllib.lr=0.0003`, from typing to compared scores.

`make bench-turnaround` types it five times, each time with another learning rate, in a throw-away clone with
the default budget, and writes benchmarks/results/turnaround.json: the seconds of each round and part, their
medians, and a headline. Each complete round is kept in build/: a benchmark that was stopped goes on.
Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import clones
from reports import machine

from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import write_json
from ducklane.repository import git

ROUNDS = 5
BUILD = Path("build")
KEPT = BUILD / "turnaround.json"
CLONE = BUILD / "turnaround"
RESULTS = Path(__file__).parent / "results" / "turnaround.json"
STOCK = "stock-steps"
"""The argument with which this file measures the stock simulator, in the clone."""

EACH_STAGE = r"\1: start-up"

MARKS = {
    r"Running stage '(\w+)'": EACH_STAGE,
    r"train \d+/\d+ steps": "train: training",
    r"best checkpoint": "train: end",
    r"driving from": "evaluate: drives and laps",
    r"driven": "evaluate: scores, pictures and tracking",
    r".* is written; comparing": "export: check and tracking",
}
"""Lines that DVC and the stages print -> the part of the experiment that begins with each."""

Line = tuple[float, str]
"""When it was printed, seconds since the command was typed, and its text."""


def parts(lines: Iterable[Line], end_s: float) -> dict[str, float]:
    """The seconds of each part, in the order in which they came.

    Args:
        lines: what was printed.
        end_s: when the command ended, seconds since it was typed.
    """
    part, since = "dvc: start-up", 0.0
    seconds: dict[str, float] = {}
    for at, text in [*lines, (end_s, "")]:
        following = _begun_by(text) if text else ""
        if following is None or following == part:
            continue
        seconds[part] = seconds.get(part, 0.0) + at - since
        part, since = following, at
    return {name: round(value, 1) for name, value in seconds.items()}


def _begun_by(text: str) -> str | None:
    for pattern, part in MARKS.items():
        if found := re.match(pattern, text):
            return found.expand(part)
    return None


def check_complete(seconds: dict[str, float]) -> None:
    """Refuse parts that lack one: its seconds would count as those of the part before.

    Raises:
        UserError: a stage did not print the line with which a part begins.
    """
    for pattern, part in MARKS.items():
        if part not in seconds and part != EACH_STAGE:
            raise UserError(f"MARKS: no line like {pattern!r} was printed; give what the stage prints now")


def headline(rounds: list[dict[str, Any]], test_s: float | None) -> dict[str, float | None]:
    """The medians that the project is judged by."""
    waited = [sum(one["parts"].values()) for one in rounds]
    scoring = [
        sum(seconds for part, seconds in one["parts"].items() if part.startswith(("evaluate", "export")))
        for one in rounds
    ]
    return {
        "experiment_s": round(statistics.median(waited), 1),
        "evaluate_export_s": round(statistics.median(scoring), 1),
        "stock_steps_per_s": round(statistics.median(one["stock_steps_per_s"] for one in rounds), 1),
        "test_s": test_s,
    }


def _medians(rounds: list[dict[str, Any]]) -> dict[str, float]:
    return {
        part: round(statistics.median(one["parts"].get(part, 0.0) for one in rounds), 1)
        for part in rounds[0]["parts"]
    }


def _round(project: clones.Project, number: int) -> dict[str, Any]:
    # the same setting again would be taken from DVC's cache
    rate = 0.0003 + number * 1e-6
    begun = time.monotonic()
    process = project.start(f"dvc exp run -S rllib.lr={rate:.6f} --name turnaround-{number}")
    lines = list(_timed(process, begun))
    if process.wait():
        raise UserError("".join(text for _, text in lines[-20:]) + "the experiment failed: see above")
    spent = parts(lines, time.monotonic() - begun)
    check_complete(spent)
    stock = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), STOCK],
        cwd=project.root,
        env=project.environment | {"PYTHONPATH": "src:benchmarks"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {"lr": rate, "parts": spent, "stock_steps_per_s": float(stock.stdout.split()[-1])}


def _timed(process: subprocess.Popen[str], begun: float) -> Iterator[Line]:
    assert process.stdout is not None
    for text in process.stdout:
        yield time.monotonic() - begun, text


def _stock_steps_per_s() -> float:
    """Of the trained policy in the stock simulator, in as many processes as there are cores."""
    from ducklane import settings
    from ducklane.evaluation.evaluator import Evaluator
    from ducklane.machine.hardware import usable_cpus
    from ducklane.policy import load_policy

    policy = load_policy(Path("models/checkpoint"))
    with Evaluator(settings.load()) as evaluator:
        evaluator.evaluate(policy, starts=evaluator.starts[: usable_cpus()])  # all are ready now
        begun = time.perf_counter()
        evaluation = evaluator.evaluate(policy, starts=evaluator.starts[: 2 * usable_cpus()])
        seconds = time.perf_counter() - begun
    return sum(len(episode.poses) - 1 for episode in evaluation.episodes) / seconds


def _test_s() -> float | None:
    """Of the last `make test` here; what was written before where there was none."""
    try:
        return float(json.loads((BUILD / "test_seconds.json").read_text())["seconds"])
    except (OSError, ValueError):
        pass
    try:
        return json.loads(RESULTS.read_text())["headline"]["test_s"]
    except (OSError, ValueError):
        return None


def _kept(commit: str | None) -> list[dict[str, Any]]:
    """The complete rounds of this commit."""
    try:
        kept = json.loads(KEPT.read_text())
    except (OSError, ValueError):
        return []
    return kept["rounds"] if kept["git_commit"] == commit else []


@exits_cleanly
def main() -> None:
    """Run the rounds that are missing, and write the report."""
    if sys.argv[1:] == [STOCK]:
        print(_stock_steps_per_s())
        return
    commit = git.ask("rev-parse", "HEAD")
    rounds = _kept(commit)
    if not rounds or not CLONE.exists():
        shutil.rmtree(CLONE, ignore_errors=True)
        clones.clone(CLONE, {})
    project = clones.Project(CLONE / git.place())
    for number in range(len(rounds) + 1, ROUNDS + 1):
        print(f"round {number} of {ROUNDS}: some minutes ...", flush=True)
        rounds.append(_round(project, number))
        BUILD.mkdir(exist_ok=True)
        write_json(KEPT, {"git_commit": commit, "rounds": rounds})
        print(f"  {sum(rounds[-1]['parts'].values()):.0f} s: {rounds[-1]['parts']}", flush=True)
    report = {
        "headline": headline(rounds, _test_s()),
        "parts": _medians(rounds),
        "rounds": rounds,
        "machine": machine("ray", "torch", "mlflow", "dvc"),
    }
    write_json(RESULTS, report)
    shutil.rmtree(CLONE)
    KEPT.unlink()
    print(json.dumps(report["headline"], indent=2))


if __name__ == "__main__":
    main()
