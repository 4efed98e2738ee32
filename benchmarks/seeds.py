"""Is it luck? The default recipe with several seeds, each scored on the gate's task.

`make seeds` runs it as a DVC experiment and writes benchmarks/results/seeds.json, seeds.md and, with the
learning curves, seeds.png. What has been run for the present commit is not run again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import experiments
import typer
from matplotlib.figure import Figure
from reports import machine, write_report

from ducklane.comparing.scored import csv_value
from ducklane.project.outputs import replacing

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main(seeds: int = 3) -> None:
    """Run it if that is missing, and write the results.

    Args:
        seeds: how many.
    """
    experiment = experiments.named("seeds", seeds)
    experiments.run(experiment, {"tune.num_samples": seeds})
    report = collect(experiment)
    write_report(RESULTS, "seeds", report, page(report))
    with replacing(RESULTS / "seeds.png") as draft:
        draw_curves(draft, _rows(experiment, "results/train/curves.csv"))
    print(table(report))


def collect(experiment: str) -> dict[str, Any]:
    """What each seed reached, what that says of the recipe, and the controller beside them."""
    scores, summary = experiments.reached(experiment)
    baselines = json.loads(experiments.read(experiment, "results/baselines/scores.json"))
    seeds = sorted(_rows(experiment, "results/evaluate/seeds.csv"), key=lambda row: int(row["seed"]))
    return {
        "machine": machine("ray", "torch"),
        "drives": {"gate": scores["episodes"], "laps": scores["laps"]["trained"]["episodes"]},
        "seeds": [{key: csv_value(text) for key, text in row.items()} for row in seeds],
        "over_seeds": scores["seeds"],
        "controller": _controller(baselines["proportional"], scores["laps"]["proportional"]),
        "training_s": summary["wall_s"],
    }


def _rows(experiment: str, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(experiments.read(experiment, file))))


def _controller(gate: Row, laps: Row) -> Row:
    """Its scores under the names that a seed's have."""
    return {
        "survived_share": gate["survived"] / gate["episodes"],
        "distance_m": gate["readable"]["distance_m"],
        "lateral_mean_m": gate["readable"]["lateral_mean_m"],
        "in_lane_share": gate["readable"]["in_lane_share"],
        "laps_survived_share": laps["survived"] / laps["episodes"],
        "laps_distance_m": laps["official"]["driven_lanedir_consec"]["median"],
    }


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    return "\n\n".join([
        "# One recipe, several seeds",
        f"`make seeds` writes this file: the default recipe, trained with {len(report['seeds'])} seeds in "
        f"{report['training_s'] / 60:.1f} minutes in all. A seed's distance is the median of its drives.",
        table(report),
    ])  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    gate, laps = report["drives"]["gate"], report["drives"]["laps"]
    lines = [
        f"| driver | survived, of {gate} | distance (m) | off centre (cm) | in lane (%) "
        f"| a minute: survived, of {laps} | distance (m) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_line(f"trained, seed {seed['seed']}", seed, gate, laps) for seed in report["seeds"]),
        _over_seeds(report["over_seeds"], gate, laps),
        _line("controller that knows the lane", report["controller"], gate, laps),
    ]
    return "\n".join(lines) + "\n"


def _columns(gate: int, laps: int) -> tuple[tuple[str, int, int], ...]:
    """Name, what one is in the table's unit, and digits after the point, of each score."""
    return (
        ("survived_share", gate, 0),
        ("distance_m", 1, 2),
        ("lateral_mean_m", 100, 1),
        ("in_lane_share", 100, 1),
        ("laps_survived_share", laps, 0),
        ("laps_distance_m", 1, 1),
    )


def _line(driver: str, scores: Row, gate: int, laps: int) -> str:
    cells = [f"{unit * scores[name]:.{digits}f}" for name, unit, digits in _columns(gate, laps)]
    return f"| {driver} | {' | '.join(cells)} |"


def _over_seeds(found: dict[str, Any], gate: int, laps: int) -> str:
    """The median over the seeds with its interval."""
    cells = []
    for name, unit, digits in _columns(gate, laps):
        median, low, high = (
            "-" if found[name][part] is None else f"{unit * found[name][part]:.{digits}f}"
            for part in ("median", "low", "high")
        )
        cells.append(f"{median} [{low}, {high}]")
    return f"| median over seeds [95 %] | {' | '.join(cells)} |"


def draw_curves(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Draw episode_reward_mean over environment steps, a line a seed."""
    figure = Figure(figsize=(7, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for seed in sorted({row["seed"] for row in rows}, key=int):
        points = [
            row for row in rows if row["seed"] == seed and row["episode_reward_mean"] not in ("", "nan")
        ]
        steps = [float(row["timesteps_total"]) / 1000 for row in points]
        axes.plot(steps, [float(row["episode_reward_mean"]) for row in points], label=f"seed {seed}")
    axes.set_xlabel("thousand environment steps")
    axes.set_ylabel("episode_reward_mean")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    typer.run(main)
