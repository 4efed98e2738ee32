"""Train PPO as params.yaml says; write the best checkpoint, a summary and the learning curve."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklane.errors import exits_cleanly
from ducklane.machine import resources
from ducklane.project import provenance
from ducklane.project.code import code_digest
from ducklane.project.outputs import CHECKPOINT, RESULTS, SEEDS, replacing, together, write_json
from ducklane.project.recipe import recipe_digest
from ducklane.settings import Settings, load
from ducklane.settings.trials import Trial, trials_of
from ducklane.simulator.town.maps import check_maps
from ducklane.training.state.best import best_checkpoint
from ducklane.training.state.resuming import pick_up, unfinished
from ducklane.training.state.saved import ALGORITHM, SavedCheckpoint
from ducklane.training.state.training_state import TrainingState, TrialState, training_state

if TYPE_CHECKING:
    from ducklane.network import PolicyNetwork
    from ducklane.policy import PolicySpec
    from ducklane.tracking.runs import Run
    from ducklane.training.reporting.mlflow_callback import ExperimentLogger

TRAINED = RESULTS / "train"


def main() -> None:
    """Refuse settings that cannot work before anything is started or written; then train."""
    settings = load()
    trials = trials_of(settings)
    for trial in trials:
        check_maps(trial.settings)
    workers = []
    if resources.cluster_address() is None:  # the resources of a cluster are known once it is joined
        machine = resources.machine_for(settings)
        for trial in trials:
            resources.check_machine(trial.settings, machine)
            workers.append(resources.num_workers(trial.settings, machine))
    beginning = _origin(trials)
    from ducklane.tracking.store.opening import reach  # imported here: MLflow takes seconds to load

    reach()
    with training_state(settings, len(trials), workers) as state:
        _train(settings, trials, state, beginning)


def _origin(trials: list[Trial]) -> SavedCheckpoint | None:
    """The older policy's checkpoint that all trials start from; None without one."""
    if trials[0].settings.rllib.restore_from is None:
        return None
    from ducklane.training.state.older_policy import origin

    beginnings = [origin(trial.settings) for trial in trials]
    return beginnings[0]


def _train(
    settings: Settings, trials: list[Trial], state: TrainingState, beginning: SavedCheckpoint | None
) -> None:
    # imported here: Ray, torch and MLflow take seconds to load
    from ducklane.tracking.runs import training_run
    from ducklane.tracking.store.opening import shown_store
    from ducklane.training.reporting.mlflow_callback import ExperimentLogger

    if settings.tune.restart_behavior == "restart":
        _start_again(state)
    newest = [pick_up(settings.tune, trial) or beginning for trial in state.trials]
    with training_run(settings, state.run_id) as run, ExitStack() as nested:
        state.remember_run(run.id)
        print(f"MLflow run {run.id} in {shown_store()}", flush=True)
        runs = [run] if len(trials) == 1 else _trial_runs(run, trials, state, nested)
        logger = ExperimentLogger(runs, state)
        if remaining := unfinished(settings.tune, state, newest):
            _train_on(trials, state, logger, remaining, [run, *runs])
        logger.finish()
        _write_outputs(settings, trials, run, runs, state)


def _start_again(state: TrainingState) -> None:
    from ducklane.tracking.runs import give_up

    for run_id in (state.run_id, *(trial.run_id for trial in state.trials)):
        if run_id is not None:
            give_up(run_id)
    state.clear()


def _trial_runs(run: Run, trials: list[Trial], state: TrainingState, nested: ExitStack) -> list[Run]:
    """A run for each trial, open until the stack closes."""
    from ducklane.tracking.runs import trial_run

    runs = []
    for number, (trial, trial_state) in enumerate(zip(trials, state.trials, strict=True), 1):
        name = f"trial {number}: {trial.name}"
        nested_run = nested.enter_context(trial_run(run, trial.settings, name, trial_state.run_id))
        trial_state.remember_run(nested_run.id)
        runs.append(nested_run)
    return runs


def _train_on(
    trials: list[Trial],
    state: TrainingState,
    logger: ExperimentLogger,
    remaining: dict[int, SavedCheckpoint | None],
    runs: list[Run],
) -> None:
    from ducklane.tracking.logged.system_metrics import system_metrics
    from ducklane.training.reporting.progress import TrainingProgress
    from ducklane.training.tuning import train

    def abandon() -> None:
        for run in runs:
            run.end("KILLED")

    steps = trials[0].settings.tune.stop.timesteps_total
    with system_metrics(runs[0].id), TrainingProgress(steps, len(trials)) as progress:
        train(
            trials, resources.machine_for(trials[0].settings), state, remaining, [logger, progress], abandon
        )


def _write_outputs(
    settings: Settings, trials: list[Trial], run: Run, runs: list[Run], state: TrainingState
) -> None:
    from ducklane.tracking.runs import BEST_TRIAL
    from ducklane.training.reporting.learning_curve import write_curves, write_learning_curve, write_trials

    number, best = best_checkpoint(settings.tune, state)
    rows = state.trials[number].rows
    _send_summaries(run, runs, number, state, settings.tune.checkpoint_score_attr)
    with together():
        spec, network = _policy_of(settings, run, trials[number], runs[number], best)
        _write_checkpoint(spec, network, best)
        with replacing(SEEDS) as draft:
            for other in _others_of_recipe(trials, state, number):
                (saved,) = state.trials[other].best(1, settings.tune.checkpoint_score_attr)
                _save_seed(draft, *_policy_of(settings, run, trials[other], runs[other], saved))
            _save_seed(draft, spec, network)
        write_json(TRAINED / "summary.json", _summary(run, runs, number, best, state))
        with replacing(TRAINED / "learning_curve.csv") as draft:
            write_learning_curve(draft, rows)
        with replacing(TRAINED / "curves.csv") as draft:
            write_curves(draft, trials, state)
        with replacing(TRAINED / "trials.csv") as draft:
            write_trials(draft, trials, [trial_run.id for trial_run in runs], state)
    if len(runs) > 1:
        run.set_tags({BEST_TRIAL: runs[number].id})
    origin = spec.provenance
    run.set_tags({"model_sha256": origin.weights_sha256})
    run.log_artifact(Path("params.yaml"))
    for name in ("summary.json", "learning_curve.csv", "curves.csv", "trials.csv"):
        run.log_artifact(TRAINED / name, "train")
    of_trial = f" of trial {number + 1} ({trials[number].name})" if len(runs) > 1 else ""
    print(
        f"best checkpoint: episode_reward_mean {origin.episode_reward_mean:.1f} "
        f"at {origin.timesteps_total} steps{of_trial} -> {CHECKPOINT}"
    )


def _send_summaries(run: Run, runs: list[Run], number: int, state: TrainingState, score: str) -> None:
    """Summarise each trial's curve in its run; the experiment's run gets what the best trial's has."""
    from ducklane.training.reporting.mlflow_callback import send_curve, send_summary

    for trial_run, trial in zip(runs, state.trials, strict=True):
        send_summary(trial_run, trial, next(iter(trial.best(1, score)), None))
    if len(runs) > 1:
        send_curve(run, state.trials[number])
        send_summary(run, state.trials[number], *state.trials[number].best(1, score))


def _summary(
    run: Run, runs: list[Run], number: int, best: SavedCheckpoint, state: TrainingState
) -> dict[str, Any]:
    last = state.trials[number].rows[-1]
    summary = {
        "episode_reward_mean": best.metrics["episode_reward_mean"],
        "timesteps_total": int(last["timesteps_total"]),
        "env_steps_per_s": round(sum(map(_steps_trained, state.trials)) / state.wall_s, 2),
        "wall_s": round(state.wall_s, 1),
        "mlflow": {"run_id": run.id},
    }
    return summary | ({"trials": len(runs), "best_trial": number + 1} if len(runs) > 1 else {})


def _write_checkpoint(spec: PolicySpec, network: PolicyNetwork, best: SavedCheckpoint) -> None:
    """Write the network and policy.json, to drive with, and RLlib's checkpoint, to continue training from."""
    from ducklane.policy import save_policy

    with replacing(CHECKPOINT) as draft:
        save_policy(draft, spec, network)
        shutil.copytree(best.path, draft / ALGORITHM)


def _others_of_recipe(trials: list[Trial], state: TrainingState, number: int) -> list[int]:
    """Numbers of the trials that were trained to the end and differ from this one in their seed alone."""
    score, recipe = trials[number].settings.tune.checkpoint_score_attr, recipe_digest(trials[number].settings)
    return [
        other
        for other, (trial, trial_state) in enumerate(zip(trials, state.trials, strict=True))
        if other != number
        and not trial_state.ended
        and trial_state.best(1, score)
        and recipe_digest(trial.settings) == recipe
    ]


def _save_seed(folder: Path, spec: PolicySpec, network: PolicyNetwork) -> None:
    from ducklane.policy import save_policy

    save_policy(folder / str(spec.provenance.seed), spec, network)


def _steps_trained(trial: TrialState) -> float:
    """Environment steps of all its iterations here, without those of an older policy."""
    steps = [row["timesteps_total"] for row in trial.rows]
    # what came before the first iteration is not recorded: it was as long as the others
    return (steps[-1] - steps[0]) * len(steps) / max(1, len(steps) - 1) if len(steps) > 1 else steps[0]


def _policy_of(
    settings: Settings, run: Run, trial: Trial, trial_run: Run, best: SavedCheckpoint
) -> tuple[PolicySpec, PolicyNetwork]:
    from ducklane.policy import PolicySpec, Provenance, weights_digest
    from ducklane.training.tuning import load_network

    network = load_network(best.path)
    trial_settings = trial.settings
    origin = Provenance(
        mlflow_run_id=run.id,
        git_commit=provenance.git_commit(),
        params_digest=settings.digest(),
        episode_reward_mean=best.metrics["episode_reward_mean"],
        timesteps_total=best.timesteps,
        map_name=", ".join(trial_settings.simulator.map_names),
        seed=trial_settings.simulator.seed,
        weights_sha256=weights_digest(network),
        recipe_digest=recipe_digest(trial_settings),
        code_digest=code_digest(),
        trial_run_id=trial_run.id if trial_run is not run else None,
        changes=trial.changes,
    )
    spec = PolicySpec(
        camera_width=trial_settings.simulator.camera_width,
        camera_height=trial_settings.simulator.camera_height,
        observation=trial_settings.observation,
        action=trial_settings.action,
        network=trial_settings.network,
        provenance=origin,
    )
    return spec, network


if __name__ == "__main__":
    exits_cleanly(main)()
