"""Would it pay to choose the checkpoint by drives without noise, and not by `episode_reward_mean`?

`make bench-confirmation` trains the recipe of params.yaml with several seeds, keeps the checkpoints with the
best means, and drives each of them twice: as the confirmation of a training run does, and for a minute each
from other starts. It writes benchmarks/results/confirmation.json and confirmation.md. An interrupted training
goes on when it is started again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from reports import machine, write_report
from scipy.stats import ttest_1samp

from ducklane import settings as ducklane_settings
from ducklane.evaluation.laps import Laps
from ducklane.machine import resources
from ducklane.machine.hardware import usable_cpus
from ducklane.policy import PolicySpec, Provenance, TrainedPolicy, weights_digest
from ducklane.project import provenance
from ducklane.project.recipe import flatten
from ducklane.settings import Settings
from ducklane.settings.trials import Trial, trials_of
from ducklane.training.confirmation import confirm
from ducklane.training.metric_names import EPISODE_REWARD_MEAN
from ducklane.training.reporting.progress import TrainingProgress
from ducklane.training.state.resuming import pick_up, unfinished
from ducklane.training.state.saved import SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, training_state
from ducklane.training.tuning import load_network, train

RESULTS = Path(__file__).parent / "results"

NAME = "confirmation"

Row = dict[str, Any]
"""A checkpoint: its seed and steps, its mean with noise, and its drives without."""


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many to train, from simulator.seed on.")] = 3,
    kept: Annotated[int, typer.Option(min=2, help="Checkpoints that are kept of each.")] = 8,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Train, drive, and write the results."""
    settings = of_seeds(ducklane_settings.load(), seeds, kept)
    trials = trials_of(settings)
    here = resources.machine_for(settings)
    workers = [resources.num_workers(trial.settings, here) for trial in trials]
    with training_state(settings, len(trials), workers) as state:
        _train(settings, trials, state)
        rows = _drive_all(trials, state, kept)
        report = {"settings": flatten(settings.as_dict()), "machine": machine("ray", "torch"), "trials": rows}
        # before the state is deleted
        write_report(output, NAME, report, table(rows))
    print(table(rows))


def of_seeds(settings: Settings, seeds: int, kept: int) -> Settings:
    """The settings of a training run with so many seeds that keeps so many checkpoints of each."""
    content = settings.as_dict()
    content["tune"] |= {"num_samples": seeds, "keep_checkpoints_num": kept}
    return Settings.model_validate(content)


def _train(settings: Settings, trials: list[Trial], state: TrainingState) -> None:
    newest = [pick_up(settings.tune, trial) for trial in state.trials]
    if remaining := unfinished(settings.tune, state, newest):
        with TrainingProgress(settings.tune.stop.timesteps_total, len(trials)) as progress:
            train(trials, resources.machine_for(settings), state, remaining, [progress], lambda: None)


def _drive_all(trials: list[Trial], state: TrainingState, kept: int) -> list[Row]:
    """Drive the checkpoints that were kept of all seeds, on each core another one."""
    tasks = [
        (trial.settings, saved)
        for trial, trial_state in zip(trials, state.trials, strict=True)
        for saved in trial_state.best(kept, EPISODE_REWARD_MEAN)
    ]
    # a fork of this process would have the threads' locks without the threads
    with ProcessPoolExecutor(usable_cpus(), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_drive, *zip(*tasks, strict=True)))


def _drive(settings: Settings, saved: SavedCheckpoint) -> Row:
    seed = settings.simulator.seed
    print(f"seed {seed}: driving the checkpoint of {saved.timesteps} steps", flush=True)
    policy = _policy(settings, saved)
    confirmation = confirm(policy.network, settings)
    scores = Laps(settings, threads=1).evaluate(policy).scores
    return {
        "seed": seed,
        "timesteps_total": saved.timesteps,
        "weights_sha256": policy.spec.provenance.weights_sha256,
        "episode_reward_mean": saved.metrics[EPISODE_REWARD_MEAN],
        "confirmed": {"rewards": list(confirmation.rewards), "survived": confirmation.survived},
        "drives": {
            "survived": [score.survived for score in scores],
            "distance_m": [round(score.distance_m, 3) for score in scores],
            "lateral_mean_m": [score.lateral_mean_m and round(score.lateral_mean_m, 4) for score in scores],
        },
    }


def _policy(settings: Settings, saved: SavedCheckpoint) -> TrainedPolicy:
    network = load_network(saved.path)
    origin = Provenance(
        mlflow_run_id="none",
        git_commit=provenance.git_commit(),
        params_digest=settings.digest(),
        episode_reward_mean=saved.metrics[EPISODE_REWARD_MEAN],
        timesteps_total=saved.timesteps,
        map_name=", ".join(settings.simulator.map_names),
        seed=settings.simulator.seed,
        weights_sha256=weights_digest(network),
    )
    return TrainedPolicy(PolicySpec.of(settings, origin), network)


def chosen(rows: Sequence[Row]) -> dict[str, Row]:
    """Who chooses -> the checkpoint of one seed; the last two know the drives that it is judged by."""
    return {
        "the mean": max(rows, key=lambda row: row["episode_reward_mean"]),
        "confirmation": max(rows, key=_confirmed),
        "the best kept": max(rows, key=_distance),
        "the worst kept": min(rows, key=_distance),
    }


def _confirmed(row: Row) -> float:
    return fmean(row["confirmed"]["rewards"])


def _distance(row: Row) -> float:
    return fmean(row["drives"]["distance_m"])


def gains(rows: Sequence[Row]) -> list[float]:
    """Metres by which a drive is longer on average where confirmation chose, of each seed."""
    picks = [chosen(same) for same in _seeds(rows)]
    return [_distance(by["confirmation"]) - _distance(by["the mean"]) for by in picks]


def table(rows: Sequence[Row]) -> str:
    """The choices as Markdown, one line for each seed and chooser, and what choosing otherwise adds."""
    lines = [
        "# Would it pay to choose the checkpoint by drives without noise?",
        "",
        "`make bench-confirmation` writes this file. Of each seed the checkpoints with the highest "
        "`episode_reward_mean` were kept. The mean chooses as training does; confirmation would choose the "
        "highest reward without noise. All are judged by the same drives of a minute in the batched "
        "simulator; the best and the worst are picked by these very drives, and so look a little more "
        "extreme than they are.",
        "",
        "| seed | chosen by | steps | reward with noise | without noise | survived | distance (m) [95 %] "
        "| off centre (cm) |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for same in _seeds(rows):
        for name, row in chosen(same).items():
            drives = row["drives"]
            offs = [off for off in drives["lateral_mean_m"] if off is not None]
            off = f"{100 * fmean(offs):.1f}" if offs else "-"
            survived = f"{sum(drives['survived'])} of {len(drives['survived'])}"
            lines.append(
                f"| {row['seed']} | {name} of {len(same)} | {row['timesteps_total']} "
                f"| {row['episode_reward_mean']:.1f} | {_confirmed(row):.1f} | {survived} "
                f"| {with_interval(drives['distance_m'])} | {off} |"
            )
    gain = with_interval(gains(rows), "+")
    lines += ["", f"Choosing by confirmation instead of by the mean: {gain} m a drive, over seeds [95 %]."]
    return "\n".join(lines) + "\n"


def with_interval(values: Sequence[float], sign: str = "") -> str:
    """The mean with its 95 % interval (Student's t), which is empty where all are the same."""
    mean = fmean(values)
    if len({*values}) == 1:
        return f"{mean:{sign}.2f}"
    low, high = ttest_1samp(values, 0).confidence_interval()
    return f"{mean:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _seeds(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of each seed."""
    for seed in dict.fromkeys(row["seed"] for row in rows):
        yield [row for row in rows if row["seed"] == seed]


if __name__ == "__main__":
    typer.run(main)
