"""Does the auxiliary task help? Policies trained with and without it, on one map and on several.

`make auxiliary-task` trains each with several seeds as DVC experiments, drives the policies in the batched
simulator, on the map that all were trained on and on maps that none was, and writes
benchmarks/results/auxiliary_task.json and auxiliary_task.md. What stands in that file is not run again while
params.yaml holds what it held; a setting that came later, with its default, changes nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import experiments
import typer
from recipes import LANE_FOLLOWING, SEVERAL_MAPS, UNSEEN, on_map
from reports import machine, write_report

from ducklane import settings as ducklane_settings
from ducklane.evaluation.laps import Laps
from ducklane.policy import TrainedPolicy, load_policy
from ducklane.project.outputs import CHECKPOINT
from ducklane.project.recipe import flatten
from ducklane.settings import Settings

RESULTS = Path(__file__).parent / "results"

NAME = "auxiliary_task"

Changes = dict[str, object]
Row = dict[str, Any]
"""What a trial changed, and each of its policy's drives."""

ONE_MAP: Changes = {}
BASES = {"one map": ONE_MAP, "several maps": SEVERAL_MAPS}
"""Name -> what differs from params.yaml: the recipes that choices are compared with."""

SEEDS = (1, 2, 3)

STARTS = 32
"""On each map but the first."""


@dataclass(frozen=True)
class Choice:
    """One thing that is done differently."""

    name: str
    changes: Changes
    base: str = "one map"

    @property
    def all_changes(self) -> Changes:
        """What differs from params.yaml."""
        return {**BASES[self.base], **self.changes}


CHOICES = (
    *(Choice("with the task", {}, base) for base in BASES),
    *(Choice("without it", {"rllib.state_coeff": 0.0}, base) for base in BASES),
)


def main(
    seeds: Annotated[list[int], typer.Option("--seed", help="A seed; give it several times.")] = [*SEEDS],  # noqa: B006
) -> None:
    """Run what is missing, and write the results."""
    loaded = ducklane_settings.load()
    settings = flatten(loaded.as_dict())
    rows = experiments.trials_in(RESULTS / f"{NAME}.json", settings)
    trials = [(choice, seed) for choice in CHOICES for seed in seeds]
    for n, (choice, seed) in enumerate(trials, 1):
        print(f"auxiliary task {n}/{len(trials)}: {choice.name}, {choice.base}, seed {seed}", flush=True)
        changes = {"simulator.seed": seed, **choice.all_changes}
        if not any(row["changes"] == changes for row in rows):
            rows.append(_run(loaded, choice, seed, changes))
        write_report(RESULTS, NAME, {"settings": settings, "trials": rows}, table(rows))
    print(table(rows))


def _run(settings: Settings, choice: Choice, seed: int, changes: Changes) -> Row:
    experiment = experiments.named("auxiliary", choice.base, choice.name, f"seed{seed}")
    experiments.run(experiment, changes, "train")
    summary = json.loads(experiments.read(experiment, "results/train/summary.json"))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "checkpoint")
        experiments.fetch(experiment, Path(CHECKPOINT), checkpoint)
        policy = load_policy(checkpoint)
        drives = dict(_drives(settings, policy))
    return {
        "choice": choice.name,
        "base": choice.base,
        "seed": seed,
        "changes": changes,
        "machine": machine("ray", "torch"),
        "train": {key: summary[key] for key in ("episode_reward_mean", "timesteps_total", "wall_s")},
        "drives": drives,
    }


def _drives(settings: Settings, policy: TrainedPolicy) -> Iterator[tuple[str, dict[str, Sequence[object]]]]:
    """Map -> each drive's scores, in the order of the fixed starts."""
    home = settings.simulator.map_names[0]
    for name in dict.fromkeys((home, *LANE_FOLLOWING, *UNSEEN)):
        scores = Laps(on_map(settings, name), None if name == home else STARTS).evaluate(policy).scores
        yield (
            name,
            {
                "survived": [score.survived for score in scores],
                "distance_m": [round(score.distance_m, 3) for score in scores],
                "lateral_mean_m": [
                    score.lateral_mean_m and round(score.lateral_mean_m, 4) for score in scores
                ],
                "in_lane_share": [round(score.in_lane_share, 4) for score in scores],
            },
        )


def table(rows: Sequence[Row]) -> str:
    """The trials as Markdown, one line per base and choice."""
    kinds = dict.fromkeys((row["base"], row["choice"]) for row in rows)
    lines = [
        "# Does the auxiliary task help?",
        "",
        "`make auxiliary-task` writes this file: drives of a minute in the batched simulator, of one policy "
        "for each seed. The unseen maps, on which no policy was trained, are taken together.",
        "",
        "| trained on | policy | seeds | loop_empty: survived | metres | unseen maps: survived | metres |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for base, choice in kinds:
        same = [row for row in rows if (row["base"], row["choice"]) == (base, choice)]
        home, unseen = ([_over(row["drives"], maps) for row in same] for maps in (("loop_empty",), UNSEEN))
        cells = [
            f"{listed(shares, '{:.1%}')} | {listed(metres, '{:.1f}')}"
            for shares, metres in (zip(*home, strict=True), zip(*unseen, strict=True))
        ]
        lines.append(f"| {base} | {choice} | {len(same)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def listed(values: Iterable[float], form: str) -> str:
    """The values of all seeds, the lowest first."""
    return ", ".join(form.format(value) for value in sorted(values))


def _over(drives: Mapping[str, Any], maps: Iterable[str]) -> tuple[float, float]:
    """The share of drives that survive, and the mean over maps of the median metres."""
    survived = [drive for name in maps for drive in drives[name]["survived"]]
    return fmean(survived), fmean(median(drives[name]["distance_m"]) for name in maps)


if __name__ == "__main__":
    typer.run(main)
