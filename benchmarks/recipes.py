"""Beyond one map: recipes for several maps and for obstacles, and how their policies do.

`make recipes` trains each as a DVC experiment, drives its policy beside that of models/checkpoint and the
controller, and writes benchmarks/results/recipes.json and recipes.md. A recipe is trained once for a commit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import experiments
import typer
from reports import interval, machine, write_report

from ducklane import settings as ducklane_settings
from ducklane.baselines import ProportionalController
from ducklane.evaluation.evaluator import Evaluator
from ducklane.evaluation.laps import Laps, summarize_laps
from ducklane.policy import TrainedPolicy, load_policy
from ducklane.settings import Settings

RESULTS = Path(__file__).parent / "results"
CHECKPOINT = Path("models/checkpoint")

SEVERAL_MAPS: dict[str, object] = {
    "simulator.map_name": "[loop_empty,small_loop,ETH_large_loop,experiment_loop,ETU_autolab_track]",
    "simulator.domain_rand": "true",
    "simulator.dynamics_rand": "true",
    "simulator.camera_rand": "true",
    "tune.stop.timesteps_total": 1048576,
}
AROUND_OBSTACLES: dict[str, object] = {
    "simulator.map_name": "loop_obstacles",
    "reward.detour_margin_m": 0.04,
    "reward.lane_width_m": 0.3,
    "rllib.bound_coeff": 1.0,
    "observation.color": "rgb",
    "tune.stop.timesteps_total": 786432,
}
RECIPES = {"several maps": SEVERAL_MAPS, "around obstacles": AROUND_OBSTACLES}
"""Name -> what differs from params.yaml."""

LANE_FOLLOWING = ("loop_empty", "small_loop", "ETHZ_autolab_technical_track", "zigzag_dists")
"""The maps of the AI Driving Olympics' lane following, 60 s each."""

UNSEEN = (
    "ETHZ_autolab_technical_track",
    "zigzag_dists",
    "ETHZ_autolab_fast_track",
    "TTIC_large_loop",
    "udem1",
)
"""On which no policy of these was trained."""

OBSTACLES = ("loop_obstacles",)

FEWEST_FOR_INTERVAL = 5
"""Drives: resampling fewer says nothing about what others would be like."""

Driver = TrainedPolicy | ProportionalController
Found = dict[str, Any]
"""Driver -> `summarize_laps` of its drives."""
Comparison = dict[str, dict[str, Found]]
"""Simulator -> map -> what was found."""


def main(starts: int = 64) -> None:
    """Train what is missing, drive, and write the results.

    Args:
        starts: on each map, in the batched simulator.
    """
    settings = ducklane_settings.load()
    for name, changes in RECIPES.items():
        experiments.run(_experiment_name(name), changes, "train")
    others: dict[str, Driver] = {"one map": load_policy(CHECKPOINT), "controller": ProportionalController()}
    drivers = {"several maps": _policy_of("several maps"), **others}
    every = {"around obstacles": _policy_of("around obstacles"), **drivers}
    several = compare(
        settings,
        drivers,
        batched=dict.fromkeys([*LANE_FOLLOWING, *UNSEEN], starts),
        stock=dict.fromkeys(LANE_FOLLOWING, 1),
    )
    around = compare(
        settings, every, batched=dict.fromkeys(OBSTACLES, starts), stock=dict.fromkeys(OBSTACLES, 2)
    )
    report = {
        "machine": machine("ray", "torch"),
        "recipes": RECIPES,
        "headline": headline(several["batched"]),
        "several maps": several,
        "around obstacles": around,
    }
    write_report(RESULTS, "recipes", report, tables(report))
    print(tables(report))


def compare(
    settings: Settings, drivers: Mapping[str, Driver], batched: Mapping[str, int], stock: Mapping[str, int]
) -> Comparison:
    """Drive them all, from the same starts.

    Args:
        settings: all of them.
        drivers: under their names.
        batched, stock: map -> how many starts in that simulator.
    """
    return {
        "batched": {name: _in_batched(on_map(settings, name), drivers, n) for name, n in batched.items()},
        "stock": {name: _in_stock(on_map(settings, name), drivers, n) for name, n in stock.items()},
    }


def _experiment_name(recipe: str) -> str:
    return experiments.named("recipe", recipe)


def _policy_of(recipe: str) -> TrainedPolicy:
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "checkpoint")
        experiments.fetch(_experiment_name(recipe), CHECKPOINT, found)
        return load_policy(found)


def on_map(settings: Settings, name: str) -> Settings:
    """The settings, to drive on a map for as long as laps take."""
    changes = {"map_name": name, "max_seconds": settings.evaluate.lap_seconds}
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update=changes)})


def _in_batched(settings: Settings, drivers: Mapping[str, Driver], starts: int) -> Found:
    """Long drives in the batched simulator, from as many starts."""
    print(f"{settings.evaluate.map_name}, batched simulator", flush=True)
    laps = Laps(settings, starts)
    return {name: summarize_laps(laps.evaluate(driver)) for name, driver in drivers.items()}


def _in_stock(settings: Settings, drivers: Mapping[str, Driver], starts: int) -> Found:
    """As long drives in the stock simulator."""
    print(f"{settings.evaluate.map_name}, stock simulator", flush=True)
    few = settings.evaluate.model_copy(update={"episodes": starts})
    with Evaluator(settings.model_copy(update={"evaluate": few})) as evaluator:
        return {name: summarize_laps(evaluator.evaluate(driver)) for name, driver in drivers.items()}


def headline(batched: Mapping[str, Found]) -> dict[str, Any]:
    """Over the unseen maps: each driver's distance as a share of the controller's, and its crashes."""
    of = {name: [batched[map_name][name] for map_name in UNSEEN] for name in batched[UNSEEN[0]]}
    distances = {name: sum(map(_distance, found)) for name, found in of.items()}
    return {
        name: {
            "distance_vs_controller": distances[name] / distances["controller"],
            "crashes": sum(map(_crashes, found)),
            "episodes": sum(one["episodes"] for one in found),
        }
        for name, found in of.items()
    }


def _distance(found: Mapping[str, Any]) -> float:
    distance: float = found["official"]["driven_lanedir_consec"]["median"]
    return distance


def _crashes(found: Mapping[str, Any]) -> int:
    crashes: int = found["episodes"] - found["survived"]
    return crashes


def tables(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    together = "; ".join(
        f"{name} {of['distance_vs_controller']:.0%} of the controller's distance, {of['crashes']} of "
        f"{of['episodes']} crashed"
        for name, of in report["headline"].items()
    )
    parts = [
        "# Beyond one map",
        "`make recipes` writes this file. In each cell: metres along the lane in 60 s, median with its 95 % "
        "interval (none for so few drives as in the stock simulator), and how many of the drives ended by "
        "a crash.",
        "## Several maps",
        "\n".join(_table(report["several maps"])),
        f"\\* no policy was trained on it. All of these together, batched: {together}.",
        "## Around obstacles",
        "\n".join(_table(report["around obstacles"])),
    ]
    return "\n\n".join(parts) + "\n"


def _table(part: Mapping[str, Mapping[str, Found]]) -> Iterable[str]:
    drivers: Sequence[str] = list(next(iter(part["batched"].values())))
    yield f"| simulator | map | {' | '.join(drivers)} |"
    yield f"| --- | --- |{' ---: |' * len(drivers)}"
    for simulator, maps in part.items():
        for map_name, found in maps.items():
            mark = " \\*" if map_name in UNSEEN else ""
            cells = " | ".join(_cell(found[name]) for name in drivers)
            yield f"| {simulator} | {map_name}{mark} | {cells} |"


def _cell(found: Mapping[str, Any]) -> str:
    official = found["official"]["driven_lanedir_consec"]
    distance = interval(official) if found["episodes"] >= FEWEST_FOR_INTERVAL else f"{official['median']:.1f}"
    return f"{distance}, {_crashes(found)} of {found['episodes']}"


if __name__ == "__main__":
    typer.run(main)
