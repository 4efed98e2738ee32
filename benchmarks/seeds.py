"""Is it luck? The default training run with three seeds, each scored on the gate's task.

`make seeds` runs them as DVC experiments, one after the other, and writes benchmarks/results/seeds.json, the
learning curves as seeds.png, and the table in README.md. What has been run for the present commit is not run
again.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import experiments
import typer
from matplotlib.figure import Figure
from reports import write_section

from ducklane.project.outputs import replacing, write_json

RESULTS = Path(__file__).parent / "results"
README = Path("README.md")
CURVE = "results/train/learning_curve.csv"


def collect(seeds: list[int]) -> dict[str, Any]:
    """What each seed reached, and how long its training took; and the controller beside them."""
    found: dict[str, Any] = {}
    for seed in seeds:
        scores, summary = experiments.reached(name_of(seed))
        found[str(seed)] = {
            "gate": scores["gate"],
            "laps": scores["laps"]["trained"],
            "train": {key: summary[key] for key in ("timesteps_total", "wall_s", "env_steps_per_s")},
        }
    baselines = json.loads(experiments.read(name_of(seeds[0]), "results/baselines/scores.json"))
    controller = {"gate": baselines["proportional"]["gate"], "laps": scores["laps"]["proportional"]}
    return {"seeds": found, "controller": controller}


def name_of(seed: int) -> str:
    """Of the seed's experiment."""
    return experiments.named("seed", seed)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| driver | survived | distance (m) | off centre (cm) | in lane | laps in 60 s | trained in |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for seed, found in report["seeds"].items():
        minutes = f"{found['train']['wall_s'] / 60:.1f} min"
        lines.append(_row(f"trained, seed {seed}", found, minutes))
    lines.append(_row("controller that knows the lane", report["controller"], "-"))
    return "\n".join(lines) + "\n"


def _row(driver: str, found: dict[str, Any], trained_in: str) -> str:
    gate = found["gate"]
    return (
        f"| {driver} | {gate['survived']} of {gate['episodes']} | {gate['distance_m_median']:.2f} "
        f"| {100 * gate['lateral_m_mean']:.1f} | {gate['in_lane_share']:.1%} "
        f"| {_laps(found['laps'])} | {trained_in} |"
    )


def _laps(laps: dict[str, Any]) -> str:
    share = laps["full_lap_share"]
    return f"{share:.0%} of {laps['episodes']}"


def draw_curves(path: Path, curves: dict[str, list[dict[str, str]]]) -> None:
    """Draw episode_reward_mean over environment steps, a line a seed."""
    figure = Figure(figsize=(7, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for seed, rows in curves.items():
        points = [row for row in rows if row["episode_reward_mean"] not in ("", "nan")]
        steps = [float(row["timesteps_total"]) / 1000 for row in points]
        axes.plot(steps, [float(row["episode_reward_mean"]) for row in points], label=f"seed {seed}")
    axes.set_xlabel("thousand environment steps")
    axes.set_ylabel("episode_reward_mean")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main(
    seeds: Annotated[list[int], typer.Option("--seed", help="A seed; give it several times.")] = [1, 2, 3],  # noqa: B006
) -> None:
    """Run what is missing, and write the results."""
    for seed in seeds:
        experiments.run(name_of(seed), {"simulator.seed": seed})
    report = collect(seeds)
    write_json(RESULTS / "seeds.json", report)
    curves = {str(seed): experiments.read(name_of(seed), CURVE) for seed in seeds}
    rows = {seed: list(csv.DictReader(io.StringIO(text))) for seed, text in curves.items()}
    with replacing(RESULTS / "seeds.png") as draft:
        draw_curves(draft, rows)
    write_section(README, "make seeds", table(report))
    print(table(report))


if __name__ == "__main__":
    typer.run(main)
