"""Train PPO by params.yaml; write the best checkpoint, a summary and the learning curve."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklane import settings
from ducklane.errors import exits_cleanly
from ducklane.machine import resources
from ducklane.project import provenance
from ducklane.project.outputs import replacing, together, write_json
from ducklane.settings import Settings
from ducklane.settings.trials import Trial, trials
from ducklane.simulator.town.maps import check_maps
from ducklane.training.state.best import best_checkpoint
from ducklane.training.state.resuming import pick_up, unfinished
from ducklane.training.state.saved import ALGORITHM, SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, training_state

if TYPE_CHECKING:
    from ducklane.policy import Provenance
    from ducklane.tracking.runs import Run
    from ducklane.training.reporting.mlflow_callback import ExperimentLogger

CHECKPOINT = Path("models/checkpoint")
RESULTS = Path("results/train")


def main() -> None:
    """Refuse what cannot work before anything starts or is written; then train."""
    chosen = settings.load()
    wanted = trials(chosen)
    for trial in wanted:
        check_maps(trial.settings)
    workers = []
    if resources.cluster_address() is None:  # what a cluster has is known once it is joined
        machine = resources.machine_for(chosen)
        for trial in wanted:
            resources.check_machine(trial.settings, machine)
            workers.append(resources.num_workers(trial.settings, machine))
    beginning = _origin(wanted)
    from ducklane.tracking.store.opening import reach  # imported here: MLflow takes seconds to load

    reach()
    with training_state(chosen, len(wanted), workers) as state:
        _train(chosen, wanted, state, beginning)


def _origin(wanted: list[Trial]) -> SavedCheckpoint | None:
    """What all trials begin with, if they can."""
    if wanted[0].settings.rllib.restore_from is None:
        return None
    from ducklane.training.state.older_policy import origin

    beginnings = [origin(trial.settings) for trial in wanted]
    return beginnings[0]


def _train(
    chosen: Settings, wanted: list[Trial], state: TrainingState, beginning: SavedCheckpoint | None
) -> None:
    # imported here: Ray, torch and MLflow take seconds to load
    from ducklane.tracking import runs as tracking
    from ducklane.tracking.store.opening import shown_store
    from ducklane.training.reporting.mlflow_callback import ExperimentLogger

    if chosen.tune.restart_behavior == "restart":
        _start_again(state)
    newest = [pick_up(chosen.tune, trial) or beginning for trial in state.trials]
    with tracking.training_run(chosen, state.run_id) as run, ExitStack() as nested:
        state.remember_run(run.id)
        print(f"MLflow run {run.id} in {shown_store()}", flush=True)
        runs = [run] if len(wanted) == 1 else _trial_runs(run, wanted, state, nested)
        logger = ExperimentLogger(runs, state)
        if left := unfinished(chosen.tune, state, newest):
            _train_on(wanted, state, logger, left, [run, *runs])
        logger.finish()
        _write_outputs(chosen, wanted, run, runs, state)


def _start_again(state: TrainingState) -> None:
    from ducklane.tracking import runs as tracking

    for run_id in (state.run_id, *(trial.run_id for trial in state.trials)):
        if run_id is not None:
            tracking.give_up(run_id)
    state.clear()


def _trial_runs(run: Run, wanted: list[Trial], state: TrainingState, nested: ExitStack) -> list[Run]:
    """A run for each trial, open as long as the stack."""
    from ducklane.tracking import runs as tracking

    runs = []
    for number, (trial, known) in enumerate(zip(wanted, state.trials, strict=True), 1):
        name = f"trial {number}: {trial.name}"
        own = nested.enter_context(tracking.trial_run(run, trial.settings, name, known.run_id))
        known.remember_run(own.id)
        runs.append(own)
    return runs


def _train_on(
    wanted: list[Trial],
    state: TrainingState,
    logger: ExperimentLogger,
    left: dict[int, SavedCheckpoint | None],
    runs: list[Run],
) -> None:
    from ducklane.training.reporting.progress import TrainingProgress
    from ducklane.training.tuning import train

    def abandon() -> None:
        for run in runs:
            run.end("KILLED")

    steps = wanted[0].settings.tune.stop.timesteps_total
    with TrainingProgress(steps, len(wanted)) as progress:
        train(wanted, resources.machine_for(wanted[0].settings), state, left, [logger, progress], abandon)


def _write_outputs(
    chosen: Settings, wanted: list[Trial], run: Run, runs: list[Run], state: TrainingState
) -> None:
    from ducklane.tracking import runs as tracking
    from ducklane.training.reporting.learning_curve import write_learning_curve, write_trials
    from ducklane.training.reporting.mlflow_callback import send_curve

    number, best = best_checkpoint(chosen.tune, state)
    rows = state.trials[number].rows
    if len(runs) > 1:
        send_curve(run, state.trials[number])
    with together():
        origin = _write_checkpoint(chosen, run, wanted[number], runs[number], best)
        write_json(RESULTS / "summary.json", _summary(run, runs, number, best, state))
        with replacing(RESULTS / "learning_curve.csv") as draft:
            write_learning_curve(draft, rows)
        with replacing(RESULTS / "trials.csv") as draft:
            write_trials(draft, wanted, [own.id for own in runs], state)
    if len(runs) > 1:
        run.set_tags({tracking.BEST_TRIAL: runs[number].id})
    run.set_tags({"model_sha256": origin.weights_sha256})
    run.log_artifact(Path("params.yaml"))
    for name in ("summary.json", "learning_curve.csv", "trials.csv"):
        run.log_artifact(RESULTS / name, "train")
    of = f" of trial {number + 1} ({wanted[number].name})" if len(runs) > 1 else ""
    print(
        f"best checkpoint: episode_reward_mean {origin.episode_reward_mean:.1f} "
        f"at {origin.timesteps_total} steps{of} -> {CHECKPOINT}"
    )


def _summary(
    run: Run, runs: list[Run], number: int, best: SavedCheckpoint, state: TrainingState
) -> dict[str, Any]:
    last = state.trials[number].rows[-1]
    summary = {
        "episode_reward_mean": best.metrics["episode_reward_mean"],
        "timesteps_total": int(last["timesteps_total"]),
        "env_steps_per_s": round(last["timesteps_total"] / last["time/total_s"], 2),
        "wall_s": round(state.wall_s, 1),
        "mlflow": {"run_id": run.id},
    }
    return summary | ({"trials": len(runs), "best_trial": number + 1} if len(runs) > 1 else {})


def _write_checkpoint(
    chosen: Settings, run: Run, trial: Trial, trial_run: Run, best: SavedCheckpoint
) -> Provenance:
    """Put the network and policy.json beside RLlib's own state, to drive from and to train on from."""
    from ducklane.policy import PolicySpec, Provenance, save_policy, weights_digest
    from ducklane.training.tuning import load_network

    network = load_network(best.path)
    own = trial.settings
    origin = Provenance(
        mlflow_run_id=run.id,
        git_commit=provenance.git_commit(),
        params_digest=chosen.digest(),
        episode_reward_mean=best.metrics["episode_reward_mean"],
        timesteps_total=best.timesteps,
        map_name=", ".join(own.simulator.map_names),
        seed=own.simulator.seed,
        weights_sha256=weights_digest(network),
        trial_run_id=trial_run.id if trial_run is not run else None,
        changes=trial.changes,
    )
    spec = PolicySpec(
        camera_width=own.simulator.camera_width,
        camera_height=own.simulator.camera_height,
        observation=own.observation,
        action=own.action,
        network=own.network,
        provenance=origin,
    )
    with replacing(CHECKPOINT) as draft:
        save_policy(draft, spec, network)
        shutil.copytree(best.path, draft / ALGORITHM)
    return origin


if __name__ == "__main__":
    exits_cleanly(main)()
