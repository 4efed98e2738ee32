"""Train PPO as params.yaml says; write the best checkpoint, a summary and the learning curve."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ducklane.errors import Interrupted, exits_cleanly
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
from ducklane.training.state.training_state import TrainingState, training_state

if TYPE_CHECKING:
    from ducklane.network import PolicyNetwork
    from ducklane.policy import PolicySpec
    from ducklane.tracking.runs import Run
    from ducklane.training.confirmation import Confirmation
    from ducklane.training.reporting.mlflow_callback import ExperimentLogger

TRAINED = RESULTS / "train"


class Training(NamedTuple):
    """A training run that has had all its steps."""

    settings: Settings
    trials: list[Trial]
    state: TrainingState
    run: Run
    """in MLflow"""
    runs: list[Run]
    """of the trials; a single one is the training run itself"""
    begun: int
    """environment steps of the older policy that it began with"""


class Model(NamedTuple):
    """The policy of one trial, from its best checkpoint."""

    saved: SavedCheckpoint
    spec: PolicySpec
    network: PolicyNetwork
    confirmation: Confirmation


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
    from ducklane.tracking.logged.system_metrics import system_metrics
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

        def abandon() -> None:
            for one in (run, *runs):
                one.end("KILLED")

        if remaining := unfinished(settings.tune, state, newest):
            with system_metrics(run.id):
                _train_on(trials, state, logger, remaining, abandon)
        with _resumed_by_the_same_command(abandon):
            logger.finish()
            begun = beginning.timesteps if beginning else 0
            _write_outputs(Training(settings, trials, state, run, runs, begun))


@contextmanager
def _resumed_by_the_same_command(abandon: Callable[[], None]) -> Iterator[None]:
    """Where a signal stops what comes after the last step."""
    from ducklane.training.signals import ending_in_order

    try:
        with ending_in_order(abandon):
            yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted after the last step; the same command goes on from there") from None


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
    abandon: Callable[[], None],
) -> None:
    from ducklane.training.reporting.progress import TrainingProgress
    from ducklane.training.tuning import train

    steps = trials[0].settings.tune.stop.timesteps_total
    with TrainingProgress(steps, len(trials)) as progress:
        train(
            trials, resources.machine_for(trials[0].settings), state, remaining, [logger, progress], abandon
        )


def _write_outputs(training: Training) -> None:
    from ducklane.tracking.runs import BEST_TRIAL

    settings, trials, state, run, runs, _ = training
    trained_s = state.wall_s
    number, best = best_checkpoint(settings.tune, state)
    of_trial = f" of trial {number + 1} ({trials[number].name})" if len(runs) > 1 else ""
    reward = best.metrics["episode_reward_mean"]
    print(
        f"best checkpoint: episode_reward_mean {reward:.1f} at {best.timesteps} steps{of_trial}", flush=True
    )
    saved = {**_others_of_recipe(training, number), number: best}
    models = {n: _confirmed(training, n, one, len(saved) > 1) for n, one in saved.items()}
    _log(training, number, models)
    with together():
        _write_models(models, number)
        write_json(TRAINED / "summary.json", _summary(training, number, models[number], trained_s))
        _write_tables(training, number)
    if len(runs) > 1:
        run.set_tags({BEST_TRIAL: runs[number].id})
    run.set_tags({"model_sha256": models[number].spec.provenance.weights_sha256})
    run.log_artifact(Path("params.yaml"))
    for name in ("summary.json", "learning_curve.csv", "curves.csv", "trials.csv"):
        run.log_artifact(TRAINED / name, "train")
    print(f"model: {CHECKPOINT}")


def _others_of_recipe(training: Training, number: int) -> dict[int, SavedCheckpoint]:
    """Best checkpoints of the other trials that had all their steps and differ in their seed alone."""
    trials, score = training.trials, training.settings.tune.checkpoint_score_attr
    recipe = recipe_digest(trials[number].settings)
    return {
        other: best[0]
        for other, (trial, state) in enumerate(zip(trials, training.state.trials, strict=True))
        if other != number
        and not state.ended
        and (best := state.best(1, score))
        and recipe_digest(trial.settings) == recipe
    }


def _confirmed(training: Training, number: int, saved: SavedCheckpoint, is_one_of_several: bool) -> Model:
    """The model of a trial; says how it drives without exploration noise."""
    from ducklane.training.confirmation import confirm
    from ducklane.training.state.checkpoints import read_episodes

    spec, network = _policy_of(training, number, saved)
    confirmation = confirm(network, training.trials[number].settings)
    of_seed = f"seed {spec.provenance.seed}: " if is_one_of_several else ""
    print(f"{of_seed}{confirmation.line(spec.provenance.episode_reward_mean)}", flush=True)
    noisy = [record["return"] for record in read_episodes(saved)]
    if warning := confirmation.warning(noisy):
        print(f"{of_seed}{warning}", file=sys.stderr, flush=True)
    return Model(saved, spec, network, confirmation)


def _log(training: Training, number: int, models: dict[int, Model]) -> None:
    """Send each trial's summary and confirmation to its run, and all of the best trial to the training's."""
    from ducklane.training.reporting.mlflow_callback import send_curve, send_point, send_summary

    score, trials = training.settings.tune.checkpoint_score_attr, training.state.trials
    targets = list(zip(training.runs, range(len(trials)), strict=True))
    if len(training.runs) > 1:
        send_curve(training.run, trials[number])
        targets.append((training.run, number))
    for run, trial in targets:
        send_summary(run, trials[trial], next(iter(trials[trial].best(1, score)), None))
        if model := models.get(trial):
            send_point(run, model.confirmation.metrics, model.saved.timesteps)


def _write_models(models: dict[int, Model], number: int) -> None:
    from ducklane.policy import save_policy

    best = models[number]
    _write_checkpoint(best.spec, best.network, best.saved)
    with replacing(SEEDS) as draft:
        for model in models.values():
            save_policy(draft / str(model.spec.provenance.seed), model.spec, model.network)


def _write_tables(training: Training, number: int) -> None:
    from ducklane.training.reporting.learning_curve import write_curves, write_learning_curve, write_trials

    trials, state = training.trials, training.state
    with replacing(TRAINED / "learning_curve.csv") as draft:
        write_learning_curve(draft, state.trials[number].rows)
    with replacing(TRAINED / "curves.csv") as draft:
        write_curves(draft, trials, state)
    with replacing(TRAINED / "trials.csv") as draft:
        write_trials(draft, trials, [run.id for run in training.runs], state)


def _summary(training: Training, number: int, best: Model, trained_s: float) -> dict[str, Any]:
    trials = training.state.trials
    steps = sum(trial.rows[-1]["timesteps_total"] - training.begun for trial in trials)
    confirmed = {name.partition("/")[2]: value for name, value in best.confirmation.metrics.items()}
    summary = {
        "episode_reward_mean": best.saved.metrics["episode_reward_mean"],
        "confirmed": {"drives": len(best.confirmation.rewards), **confirmed},
        "timesteps_total": int(trials[number].rows[-1]["timesteps_total"]),
        "env_steps_per_s": round(steps / trained_s, 2),
        # with the confirming drives, for which a user waits, too
        "wall_s": round(training.state.wall_s, 1),
        "mlflow": {"run_id": training.run.id},
    }
    return summary | ({"trials": len(trials), "best_trial": number + 1} if len(trials) > 1 else {})


def _write_checkpoint(spec: PolicySpec, network: PolicyNetwork, best: SavedCheckpoint) -> None:
    """Write the network and policy.json, to drive with, and RLlib's checkpoint, to continue training from."""
    from ducklane.policy import save_policy

    with replacing(CHECKPOINT) as draft:
        save_policy(draft, spec, network)
        shutil.copytree(best.path, draft / ALGORITHM)


def _policy_of(training: Training, number: int, best: SavedCheckpoint) -> tuple[PolicySpec, PolicyNetwork]:
    from ducklane.policy import PolicySpec, Provenance, weights_digest
    from ducklane.training.tuning import load_network

    network = load_network(best.path)
    trial, run, trial_run = training.trials[number], training.run, training.runs[number]
    trial_settings = trial.settings
    origin = Provenance(
        mlflow_run_id=run.id,
        git_commit=provenance.git_commit(),
        params_digest=training.settings.digest(),
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
    return PolicySpec.of(trial_settings, origin), network


if __name__ == "__main__":
    exits_cleanly(main)()
