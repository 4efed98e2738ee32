"""A training run's results as CSV tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ducklane.settings.trials import Trial
from ducklane.training.metric_names import EPISODE_REWARD_MEAN, TIMESTEPS_TOTAL
from ducklane.training.state.training_state import TrainingState


def write_learning_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the named metrics of all iterations as CSV, one row per iteration, the steps first."""
    others = sorted({key for row in rows for key in row} - {TIMESTEPS_TOTAL})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [TIMESTEPS_TOTAL, *others], restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_curves(path: Path, trials: Sequence[Trial], state: TrainingState) -> None:
    """Write the mean reward of all iterations of all trials as CSV, one row per iteration."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "seed", TIMESTEPS_TOTAL, EPISODE_REWARD_MEAN])
        for number, (trial, trial_state) in enumerate(zip(trials, state.trials, strict=True), 1):
            for row in trial_state.rows:
                reward = row.get(EPISODE_REWARD_MEAN, "")
                writer.writerow([number, trial.settings.simulator.seed, int(row[TIMESTEPS_TOTAL]), reward])


def write_trials(path: Path, trials: Sequence[Trial], run_ids: Sequence[str], state: TrainingState) -> None:
    """Write each trial's settings and best score as CSV, one row per trial.

    Args:
        path: of the file.
        trials: all of them.
        run_ids: their MLflow runs.
        state: of the training run.
    """
    score = trials[0].settings.tune.checkpoint_score_attr
    changed = sorted({key for trial in trials for key in trial.changes})
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *changed, TIMESTEPS_TOTAL, score, "mlflow_run_id"])
        for number, (trial, trial_state, run_id) in enumerate(
            zip(trials, state.trials, run_ids, strict=True), 1
        ):
            best: Sequence[object] = [saved.metrics[score] for saved in trial_state.best(1, score)] or [""]
            steps = int(trial_state.rows[-1][TIMESTEPS_TOTAL])
            writer.writerow([number, *map(trial.value, changed), steps, *best, run_id])
