"""Why the defaults are what they are: recipes that differ in one choice, compared with the default.

`make study` trains and scores each recipe with several seeds, one DVC experiment after the other, and
compares it with the default as `ducklane compare` does. After each it writes benchmarks/results/study.json
and study.md. An interrupted study goes on: experiments of the present commit are not run again, and DVC takes
from its cache what was run at another one with the same code and settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import experiments
import typer
from reports import machine, write_report

from ducklane.comparing.comparison import NOT_SHOWN, SCORES, Score, compare

RESULTS = Path(__file__).parent / "results"

QUICK = {"evaluate.episodes": 4}
"""The 128 long drives tell recipes apart; a few in gym-duckietown tell whether they hold there."""

COMPARED_IN = "long drives"
"""The simulator whose scores the table shows."""

DECIDING = tuple(score for score in SCORES if score.column in ("survived", "distance_m", "lateral_mean_m"))
"""The scores that verdicts rest on, chosen beforehand."""

Changes = dict[str, object]
Row = dict[str, Any]
"""A recipe's figures, as `ducklane compare --json` gives them, with its name and what it changes."""

DEFAULT = "as it is"

CHOICES: dict[str, Changes] = {
    "other seeds": {"simulator.seed": 4},
    "lr 0.0003": {"rllib.lr": 0.0003},
    "critic by the image": {"network.critic": "image"},
    "1 frame": {"observation.frame_stack": 1},
    "noise not bounded": {"rllib.std_end": 0.6},
    "lr kept at 0.001": {"rllib.lr_end": 0.001},
    "no auxiliary task": {"rllib.state_coeff": 0.0},
    "value errors clipped": {"rllib.vf_clip_param": 1000.0},
    "reward fades at 0.30 m": {"reward.lane_width_m": 0.3},
    "starts within 40 degrees": {"simulator.accept_start_angle_deg": 40},
    "2 epochs": {"rllib.num_epochs": 2},
    "64 robots": {"rllib.env_per_worker": 64},
    "gradients not clipped": {"rllib.grad_clip": 1000.0},
    "steering alone": {"action.type": "steering"},
    "in colour": {"observation.color": "rgb"},
    "gamma 0.99": {"rllib.gamma": 0.99},
    "32 x 64 pixels": {
        "observation.height": 32,
        "observation.width": 64,
        "network.conv_filters": "[[16,8,4],[32,3,2],[32,3,1]]",
    },
    "2 frames": {"observation.frame_stack": 2},
}
"""Name -> what differs from params.yaml. The first changes no choice: it shows what luck alone does."""


def main(seeds: int = 3, choices: int = len(CHOICES)) -> None:
    """Run what is missing, and write the results.

    Args:
        seeds: of each recipe.
        choices: how many, from the first.
    """
    _run(DEFAULT, {}, seeds)
    rows: list[Row] = []
    for n, (name, changes) in enumerate(list(CHOICES.items())[:choices], 1):
        print(f"study {n}/{choices}: {name}", flush=True)
        _run(name, changes, seeds)
        rows.append(_compared(name, changes))
        report = _report(rows)
        write_report(RESULTS, "study", report, page(report))
    print(table(report))


def _run(name: str, changes: Changes, seeds: int) -> None:
    experiments.run(_experiment(name), {**QUICK, "tune.num_samples": seeds, **changes})


def _experiment(name: str) -> str:
    return experiments.named("study", name)


def _compared(name: str, changes: Changes) -> Row:
    """A recipe against the default."""
    names = [str(experiments.revision(_experiment(each))) for each in (DEFAULT, name)]
    (comparison,) = compare(names)
    return {**comparison.as_dict(), "name": name, "changes": changes, "training_s": _seconds(name)}


def _seconds(name: str) -> float:
    """How long its training took."""
    summary = experiments.read(_experiment(name), "results/train/summary.json")
    return float(json.loads(summary)["wall_s"])


def _report(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "machine": machine("ray", "torch"),
        "headline": {
            "choices": len(rows),
            "seeds_per_choice_min": min(len(row["seeds"]) for row in rows),
            "shown_differences": sum(bool(list(_shown(row))) for row in rows),
            "scores_compared": len(rows) * len(DECIDING),
            "training_hours": round((sum(row["training_s"] for row in rows) + _seconds(DEFAULT)) / 3600, 1),
        },
        "choices": list(rows),
    }


def _shown(row: Row) -> Iterator[tuple[str, str]]:
    """("better" or "worse", name) of each deciding score that differs."""
    for score in DECIDING:
        verdict = _figures(row, score)["verdict"]
        if verdict in ("better", "worse"):
            yield verdict, score.name


def _figures(row: Row, score: Score) -> dict[str, Any]:
    figures: dict[str, Any] = row["scores"][COMPARED_IN][score.column]
    return figures


def page(report: dict[str, Any]) -> str:
    """The report as a page."""
    headline = report["headline"]
    return "\n\n".join([
        "# One choice changed",
        "`make study` writes this file. Each row is a recipe that differs from the default in one choice, "
        f"trained with {headline['seeds_per_choice_min']} seeds or more, each scored by one-minute drives in "
        "the batched simulator. A cell shows the mean over seeds and, for the changed recipes, how much that "
        "is more than the default's, with the 95 % interval over seeds and starts; in bold if it leaves out "
        f"zero. Of {headline['scores_compared']} such intervals about "
        f"{0.05 * headline['scores_compared']:.1f} would leave out zero if no choice made any difference.",
        table(report),
    ])  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    rows = report["choices"]
    names = [f"{score.name} ({score.unit})" for score in DECIDING]
    base = [score.text(_figures(rows[0], score)["a"]["mean"]) for score in DECIDING]
    lines = [
        f"| choice | changes | {' | '.join(names)} | against the default |",
        f"| --- | --- |{' ---: |' * len(names)} --- |",
        f"| {DEFAULT} | | {' | '.join(base)} | |",
        *map(_line, rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    changes = ", ".join(f"`{key.split('.')[-1]}: {value}`" for key, value in row["changes"].items())
    cells = [_cell(score, _figures(row, score)) for score in DECIDING]
    return f"| {row['name']} | {changes} | {' | '.join(cells)} | {_verdict(row)} |"


def _cell(score: Score, figures: dict[str, Any]) -> str:
    difference, low, high = (score.text(figures[key], "+") for key in ("difference", "low", "high"))
    text = f"{score.text(figures['b']['mean'])}: {difference} [{low}, {high}]"
    return f"**{text}**" if figures["verdict"] in ("better", "worse") else text


def _verdict(row: Row) -> str:
    """In words."""
    found = list(_shown(row))
    kinds = {kind: [name for verdict, name in found if verdict == kind] for kind in ("better", "worse")}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names) or NOT_SHOWN


if __name__ == "__main__":
    typer.run(main)
