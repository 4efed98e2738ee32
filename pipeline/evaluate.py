"""Score the trained policy from fixed starts in the stock simulator; write scores and pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import CHECKPOINT, RESULTS, SEEDS, replacing, together, write_json
from ducklane.settings import Settings, load
from ducklane.simulator.town.maps import check_maps

if TYPE_CHECKING:
    from ducklane.evaluation.evaluator import Evaluation, Evaluator
    from ducklane.evaluation.scores.seeds import SeedScores
    from ducklane.policy import TrainedPolicy
    from ducklane.tracking.runs import Run

BASELINES = RESULTS / "baselines/scores.json"
SCORED = RESULTS / "evaluate"
TRAJECTORIES = SCORED / "trajectories.png"


def main() -> None:
    """Refuse invalid settings before anything heavy is loaded; then evaluate."""
    settings = load()
    check_maps(settings)
    _evaluate_checkpoint(settings)


def _evaluate_checkpoint(settings: Settings) -> None:
    # imported here: torch takes seconds to load
    from ducklane.policy import load_policy

    policy = load_policy(CHECKPOINT)
    policies = [policy, *_other_seeds(policy)]
    baselines = _read_baselines()
    # imported here: a missing model is refused before OpenGL is loaded
    from ducklane.evaluation.evaluator import Evaluator

    with Evaluator(settings) as evaluator:
        # imported here: MLflow takes seconds to load, in which the other processes start
        from ducklane.tracking.logged.datasets import scoring_data
        from ducklane.tracking.runs import continued_run

        training_id = policy.spec.provenance.mlflow_run_id
        with continued_run(training_id, settings, "evaluate") as run:
            with together():
                scores, seeds = _score(settings, evaluator, policies, baselines)
                ids = {"run_id": run.nested_in or run.id}
                ids |= {"scored_in": run.id} if run.nested_in else {}
                write_json(SCORED / "scores.json", {**scores, "mlflow": ids})
            run.log_datasets(scoring_data(settings, scores["task"]))
            _log(run, scores, seeds)


def _other_seeds(best: TrainedPolicy) -> list[TrainedPolicy]:
    """The models of the recipe's other seeds."""
    from ducklane.policy import load_policy

    folders = sorted(SEEDS.glob("*"), key=lambda folder: int(folder.name))
    return [load_policy(folder) for folder in folders if folder.name != str(best.spec.provenance.seed)]


def _score(
    settings: Settings, evaluator: Evaluator, policies: list[TrainedPolicy], baselines: dict[str, Any]
) -> tuple[dict[str, Any], list[SeedScores]]:
    """Drive, write what was driven and print the scores next to the baselines'."""
    from ducklane.evaluation.episodes import scoring_task
    from ducklane.evaluation.gate import gate, verdict
    from ducklane.evaluation.laps import summarize_laps
    from ducklane.evaluation.scores.seeds import over_seeds
    from ducklane.evaluation.table import print_seeds

    drives, laps, controller = _drive_all(settings, evaluator, policies)
    seeds = _write_drives(policies, drives, laps, controller)
    best, origin = drives[0], seeds[0].origin
    summary, gate_scores = best.summary(), gate(settings, best.scores)
    scores = {
        **summary,
        "gate": gate_scores,
        "laps": {driven.policy: summarize_laps(driven) for driven in (laps[0], controller)},
        "seeds": over_seeds(seeds),
        "task": scoring_task(settings),
        "recipe": {"digest": origin.recipe_digest, "code": origin.code_digest},
        "model_sha256": origin.weights_sha256,
    }
    _compare({best.policy: summary, **baselines})
    if len(seeds) > 1:
        print_seeds({seed.seed: seed.scores() for seed in seeds}, scores["seeds"])
    print(verdict(gate_scores))
    return scores, seeds


def _read_baselines() -> dict[str, Any]:
    try:
        baselines: dict[str, Any] = json.loads(BASELINES.read_text())
    except FileNotFoundError:
        raise UserError(f"{BASELINES}: is missing; run `dvc repro baselines` first") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{BASELINES}: is damaged ({error}); run `dvc repro -f baselines`") from None
    return baselines


def _drive_all(
    settings: Settings, evaluator: Evaluator, policies: list[TrainedPolicy]
) -> tuple[list[Evaluation], list[Evaluation], Evaluation]:
    """Drive each seed's model from the fixed starts in the stock simulator, and laps in the batched one.

    Returns:
        each policy's drives, each policy's laps, and the controller's laps.
    """
    # imported here: numba takes a second to load
    from ducklane.baselines import ProportionalController
    from ducklane.evaluation.laps import drive_laps

    # the longest tasks first, so that all processes finish at about the same time
    *tasks, controller = [
        evaluator.share(drive_laps, settings, driver) for driver in (*policies, ProportionalController())
    ]
    of_seeds = f", for each of {len(policies)} seeds" if len(policies) > 1 else ""
    duration = f"{settings.evaluate.max_seconds:g} s each"
    print(
        f"driving from {len(evaluator.starts)} starts, {duration}, and laps in parallel{of_seeds} ...",
        flush=True,
    )
    drives = [_film(settings, evaluator, policies[0]), *map(evaluator.evaluate, policies[1:])]
    laps = [task.result() for task in tasks]
    print("driven; now writing scores and pictures", flush=True)
    _tabulate_tiles(evaluator, {"fixed starts": drives[0], "laps": laps[0]})
    return drives, laps, controller.result()


def _write_drives(
    policies: list[TrainedPolicy], drives: list[Evaluation], laps: list[Evaluation], controller: Evaluation
) -> list[SeedScores]:
    """List all drives, and the scores of each seed."""
    from ducklane.evaluation.evaluator import write_episodes
    from ducklane.evaluation.scores.seeds import SeedScores, write_seeds

    seeds = [
        SeedScores(policy.spec.provenance, driven.scores, lapped.scores)
        for policy, driven, lapped in zip(policies, drives, laps, strict=True)
    ]
    numbers = [seed.seed for seed in seeds]
    with replacing(SCORED / "episodes.csv") as draft:
        write_episodes(draft, list(zip(numbers, drives, strict=True)))
    with replacing(SCORED / "laps.csv") as draft:
        write_episodes(draft, [*zip(numbers, laps, strict=True), ("", controller)])
    with replacing(SCORED / "seeds.csv") as draft:
        write_seeds(draft, seeds)
    return seeds


def _film(settings: Settings, evaluator: Evaluator, policy: TrainedPolicy) -> Evaluation:
    """Drive from the fixed starts; film the first episode, draw all of them."""
    from ducklane.evaluation.pictures import DriveVideo, save_trajectories

    map_image = evaluator.simulator.map_image()
    with (
        replacing(SCORED / "drive.mp4") as draft,
        DriveVideo(draft, map_image, policy.transform, settings.evaluate.video_seconds) as video,
    ):
        evaluation = evaluator.evaluate(policy, on_frame=video.add)
    with replacing(TRAJECTORIES) as draft:
        save_trajectories(draft, map_image, evaluation.episodes)
    return evaluation


def _tabulate_tiles(evaluator: Evaluator, drives: dict[str, Evaluation]) -> None:
    """Write where on the map the policy fails."""
    from ducklane.evaluation.scores.tiles import tile_rows, write_tiles

    rows = {
        name: tile_rows(evaluator.simulator, driven.episodes, driven.laterals_m)
        for name, driven in drives.items()
    }
    with replacing(SCORED / "tiles.csv") as draft:
        write_tiles(draft, rows)


def _compare(summaries: dict[str, Any]) -> None:
    from ducklane.evaluation.table import markdown_table, print_table

    print_table(summaries)
    with replacing(SCORED / "comparison.md") as draft:
        draft.write_text(markdown_table(summaries))


def _log(run: Run, scores: dict[str, Any], seeds: list[SeedScores]) -> None:
    """Log the best model's scores and the spread between seeds; each seed's also to the run of its trial."""
    from ducklane.tracking.runs import find_run

    origin = seeds[0].origin
    values = {"survived": scores["survived"], **scores["readable"], **scores["official"]}
    values |= {f"gate_{name}": scores["gate"][name] for name in ("must", "goal")}
    values["full_lap_share"] = scores["laps"]["trained"]["full_lap_share"]
    run.log_metrics(_named("evaluate/", values), origin.timesteps_total)
    if len(seeds) > 1:
        spread = {name: of for name, of in scores["seeds"].items() if name != "count"}
        over = {f"{name}_{kind}": value for name, of in spread.items() for kind, value in of.items()}
        run.log_metrics(_named("seeds/", over), origin.timesteps_total)
    for seed in seeds:
        trial = seed.origin
        if trial.trial_run_id and not run.nested_in and (trial_run := find_run(trial.trial_run_id)):
            trial_run.log_metrics(_named("evaluate/", seed.scores()), trial.timesteps_total)
    run.log_image(TRAJECTORIES, origin.timesteps_total)
    run.log_table("evaluate/drives.json", _drives(seeds))
    for output in sorted(SCORED.iterdir()):
        if output != TRAJECTORIES and not output.name.startswith("."):  # DVC keeps a .gitignore there
            run.log_artifact(output, "evaluate")


def _drives(seeds: list[SeedScores]) -> dict[str, list[object]]:
    """The main scores of each drive, as columns: MLflow shows CSV as a table, but cannot compare it."""
    rows = [
        {"drive": f"seed {seed.seed}, start {number}", **drive.readable(), "survived": drive.survived}
        for seed in seeds
        for number, drive in enumerate(seed.drives)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _named(prefix: str, values: dict[str, float | None]) -> dict[str, float]:
    return {f"{prefix}{name}": float(value) for name, value in values.items() if value is not None}


if __name__ == "__main__":
    exits_cleanly(main)()
