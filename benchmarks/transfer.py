"""How the same drivers do in both simulators, from the same starts.

`make bench-transfer` scores the trained policy and the proportional controller, and writes
benchmarks/results/transfer.json and transfer.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from reports import write_report
from rich.console import Console

from ducklane import settings as ducklane_settings
from ducklane.baselines import ProportionalController
from ducklane.evaluation.episodes import evaluation_simulator
from ducklane.evaluation.evaluator import Evaluation, Evaluator
from ducklane.policy import Policy, load_policy
from ducklane.project.provenance import git_commit
from ducklane.settings import Settings
from ducklane.simulator.single import SingleSimulator

RESULTS = Path(__file__).parent / "results"
SCORES = {"distance_m": "m along the lane", "lateral_mean_m": "m from the lane's centre"}
"""Those that are compared: medians over the episodes."""


def compare(settings: Settings, policies: list[Policy], console: Console) -> dict[str, Any]:
    """Scores of each policy in both simulators, and how far the batched one's are off the stock one's."""
    batched = SingleSimulator(evaluation_simulator(settings).model_copy(update={"backend": "batched"}))
    evaluators = {"gym-duckietown": Evaluator(settings), "batched": Evaluator(settings, batched)}
    report = {}
    for policy in policies:
        found = {}
        for name, evaluator in evaluators.items():
            console.print(f"{policy.name} in {name}")
            found[name] = _figures(evaluator.evaluate(policy))
        off_by = {score: found["batched"][score] / found["gym-duckietown"][score] - 1 for score in SCORES}
        report[policy.name] = {**found, "off_by": off_by}
    for evaluator in evaluators.values():
        evaluator.simulator.close()
    return report


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    summary = evaluation.summary()
    return {
        "survived": summary["survived"],
        **{score: summary["readable"][score] for score in SCORES},
        "distances_m": [round(float(scores.driven_lanedir_consec), 4) for scores in evaluation.scores],
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "# The same drivers in both simulators",
        "",
        f"`make bench-transfer` writes this file: {report['episodes']} starts on {report['map_name']}, "
        f"{report['seconds']:g} s each; medians.",
        "",
        "| driver | score | gym-duckietown | batched | off by |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for driver, found in report["drivers"].items():
        stock, ours = found["gym-duckietown"], found["batched"]
        lines.append(f"| {driver} | survived | {stock['survived']} | {ours['survived']} | |")
        for score, unit in SCORES.items():
            lines.append(
                f"| {driver} | {unit} | {stock[score]:.3f} | {ours[score]:.3f} | "
                f"{100 * found['off_by'][score]:+.1f} % |"
            )
    return "\n".join(lines) + "\n"


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the trained policy.")] = Path(
        "models/checkpoint"
    ),
    episodes: Annotated[int, typer.Option(min=1, help="Starts.")] = 20,
    seconds: Annotated[float, typer.Option(help="Length of an episode.")] = 15.0,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Score in both, and write the results."""
    console = Console(highlight=False)
    chosen = ducklane_settings.load(ducklane_settings.PARAMS_FILE)
    scored = chosen.evaluate.model_copy(update={"episodes": episodes, "max_seconds": seconds})
    policy = load_policy(checkpoint)
    report = {
        "drivers": compare(
            chosen.model_copy(update={"evaluate": scored}), [policy, ProportionalController()], console
        ),
        "episodes": episodes,
        "seconds": seconds,
        "map_name": scored.map_name,
        "weights_sha256": policy.spec.provenance.weights_sha256,
        "git_commit": git_commit(),
    }
    write_report(output, "transfer", report, table(report))
    console.print(table(report))


if __name__ == "__main__":
    typer.run(main)
