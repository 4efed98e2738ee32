"""Why the defaults are what they are: each choice taken back by itself, and the last candidates.

`make study` runs them as DVC experiments, one after the other. After each it writes
benchmarks/results/study.json and the table in docs/training.md. What stands in that file is not run again
while params.yaml holds what it held; a setting that came later, with its default, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import experiments
import typer
from reports import interval, machine, write_section

from ducklane import settings as ducklane_settings
from ducklane.project.outputs import write_json
from ducklane.project.recipe import flatten

RESULTS = Path(__file__).parent / "results" / "study.json"
PAGE = Path("docs/training.md")

QUICK = {"evaluate.episodes": 4}
"""The 128 long drives tell variants apart; a few in the stock simulator tell whether they hold there."""

Changes = dict[str, object]
Row = dict[str, Any]
"""What a trial changed and reached, and how long its training took."""

VARIANTS: dict[str, Changes] = {
    "1 frame": {"observation.frame_stack": 1},
    "2 frames": {"observation.frame_stack": 2},
    "32 x 64 pixels": {
        "observation.height": 32,
        "observation.width": 64,
        "network.conv_filters": "[[16,8,4],[32,3,2],[32,3,1]]",
    },
    "64 x 128 pixels": {"observation.height": 64, "observation.width": 128},
    "in colour": {"observation.color": "rgb"},
    "throttle and steering": {"action.type": "velocity_steering"},
    "steering alone": {"action.type": "steering"},
    "stock reward": {"reward.type": "stock"},
    "reward fades at 0.30 m": {"reward.lane_width_m": 0.3},
    "2 epochs": {"rllib.num_epochs": 2},
    "6 epochs": {"rllib.num_epochs": 6},
    "16 robots": {"rllib.env_per_worker": 16},
    "64 robots": {"rllib.env_per_worker": 64},
    "starts within 40 degrees": {"simulator.accept_start_angle_deg": 40},
    "noise not bounded": {"rllib.std_end": 0.6},
    "mean actions held within bounds": {"rllib.bound_coeff": 1.0},
    "lr 0.0003": {"rllib.lr": 0.0003},
    "lr kept at 0.001": {"rllib.lr_end": 0.001},
    "gamma 0.99": {"rllib.gamma": 0.99},
    "critic by the image": {"network.critic": "image"},
    "no second task": {"rllib.state_coeff": 0.0},
}
"""Name -> what differs from params.yaml."""

CANDIDATES: dict[str, Changes] = {
    "as it is": {},
    "in colour": VARIANTS["in colour"],
    "noise not bounded": VARIANTS["noise not bounded"],
}
"""Run with several seeds: one proves little."""


def main(candidate_seeds: int = 3) -> None:
    """Run what is missing, and write the results."""
    settings = flatten(ducklane_settings.load().as_dict())
    known = experiments.trials_in(RESULTS, settings)
    done: list[Row] = []
    trials = list(_trials(candidate_seeds))
    for n, (name, seed, changes) in enumerate(trials, 1):
        print(f"study {n}/{len(trials)}: {name}, seed {seed}", flush=True)
        changes = {**QUICK, "simulator.seed": seed, **changes}
        found = next((row for row in known if row["changes"] == changes), None)
        if found is None:
            found = _run(name, seed, changes)
            known.append(found)
        done.append({**found, "name": name})
        write_json(RESULTS, {"settings": settings, "trials": known})
        write_section(PAGE, "make study", table(done))
    print(table(done))


def _run(name: str, seed: int, changes: Changes) -> Row:
    experiment = experiments.named("study", name, f"seed{seed}")
    experiments.run(experiment, changes)
    scores, summary = experiments.reached(experiment)
    return {
        "name": name,
        "seed": seed,
        "changes": changes,
        "machine": machine("ray", "torch"),
        "stock": {key: scores["gate"][key] for key in ("survived", "episodes", "distance_m_median")},
        "laps": scores["laps"]["trained"],
        "train": {key: summary[key] for key in ("episode_reward_mean", "timesteps_total", "wall_s")},
    }


def _trials(candidate_seeds: int) -> Iterator[tuple[str, int, Changes]]:
    """Each (name, seed, changes) once: the candidates with all seeds, the rest with the first."""
    for name, changes in CANDIDATES.items():
        for seed in range(1, candidate_seeds + 1):
            yield name, seed, changes
    for name, changes in VARIANTS.items():
        if name not in CANDIDATES:
            yield name, 1, changes


def table(rows: Iterable[Row]) -> str:
    """The trials as Markdown."""
    lines = [
        "| | seed | survived | distance (m) [95 %] | off centre | stock: survived | stock: m | trained in |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(_row, rows),
    ]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    laps, stock, official = row["laps"], row["stock"], row["laps"]["official"]
    off_centre = official["deviation-center-line"]["median"] / official["survival_time"]["median"]
    return (
        f"| {row['name']} | {row['seed']} | {laps['survived']} of {laps['episodes']} "
        f"| {interval(official['driven_lanedir_consec'])} | {100 * off_centre:.1f} cm "
        f"| {stock['survived']} of {stock['episodes']} | {stock['distance_m_median']:.2f} "
        f"| {row['train']['wall_s'] / 60:.1f} min |"
    )


if __name__ == "__main__":
    typer.run(main)
