"""Score the trained policy from fixed starts in the stock simulator; write scores and pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import CHECKPOINT, RESULTS, replacing, together, write_json
from ducklane.settings import Settings, load
from ducklane.simulator.town.maps import check_maps

if TYPE_CHECKING:
    from ducklane.evaluation.evaluator import Evaluation, Evaluator
    from ducklane.policy import TrainedPolicy
    from ducklane.tracking.runs import Run

BASELINES = RESULTS / "baselines/scores.json"
SCORED = RESULTS / "evaluate"


def main() -> None:
    """Refuse invalid settings before anything heavy is loaded; then evaluate."""
    settings = load()
    check_maps(settings)
    _evaluate_checkpoint(settings)


def _evaluate_checkpoint(settings: Settings) -> None:
    # imported here: torch takes seconds to load
    from ducklane.policy import load_policy

    policy = load_policy(CHECKPOINT)
    baselines = _read_baselines()
    # imported here: a missing model is refused before OpenGL is loaded
    from ducklane.evaluation.evaluator import Evaluator

    with Evaluator(settings) as evaluator:
        # imported here: MLflow takes seconds to load, in which the other processes start
        from ducklane.tracking.runs import continued_run

        origin = policy.spec.provenance
        with continued_run(origin.mlflow_run_id, settings.mlflow.experiment_name) as run:
            with together():
                scores = _score(settings, evaluator, policy, baselines, run)
            _log(run, scores, origin.timesteps_total)


def _score(
    settings: Settings, evaluator: Evaluator, policy: TrainedPolicy, baselines: dict[str, Any], run: Run
) -> dict[str, Any]:
    """Drive, write the scores and print them next to the baselines'."""
    from ducklane.evaluation.gate import gate, verdict

    evaluation, laps = _drive_all(settings, evaluator, policy)
    summary, gate_scores = evaluation.summary(), gate(settings.evaluate, evaluation.scores)
    model = {"model_sha256": policy.spec.provenance.weights_sha256}
    scores = {**summary, "gate": gate_scores, "laps": laps, **model, "mlflow": {"run_id": run.id}}
    write_json(SCORED / "scores.json", scores)
    _compare({policy.name: summary, **baselines})
    print(verdict(gate_scores))
    return scores


def _read_baselines() -> dict[str, Any]:
    try:
        baselines: dict[str, Any] = json.loads(BASELINES.read_text())
    except FileNotFoundError:
        raise UserError(f"{BASELINES}: is missing; run `dvc repro baselines` first") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{BASELINES}: is damaged ({error}); run `dvc repro -f baselines`") from None
    return baselines


def _drive_all(
    settings: Settings, evaluator: Evaluator, policy: TrainedPolicy
) -> tuple[Evaluation, dict[str, Any]]:
    """Drive from the fixed starts in the stock simulator, and laps in the batched one; summarise the laps."""
    # imported here: numba takes a second to load
    from ducklane.baselines import ProportionalController
    from ducklane.evaluation.laps import drive_laps, summarize_laps

    # the longest tasks first, so that all processes finish at about the same time
    shared = {
        driver.name: evaluator.share(drive_laps, settings, driver)
        for driver in (policy, ProportionalController())
    }
    duration = f"{settings.evaluate.max_seconds:g} s each"
    print(f"driving from {len(evaluator.starts)} starts, {duration}, and laps in parallel ...", flush=True)
    evaluation = _film(settings, evaluator, policy)
    laps = {name: task.result() for name, task in shared.items()}
    print("driven; now writing scores and pictures", flush=True)
    _tabulate_tiles(evaluator, {"fixed starts": evaluation, "laps": laps[policy.name]})
    return evaluation, {name: summarize_laps(driven) for name, driven in laps.items()}


def _film(settings: Settings, evaluator: Evaluator, policy: TrainedPolicy) -> Evaluation:
    """Drive from the fixed starts; film the first episode, draw and list all of them."""
    from ducklane.evaluation.evaluator import write_episodes
    from ducklane.evaluation.pictures import DriveVideo, save_trajectories

    map_image = evaluator.simulator.map_image()
    with (
        replacing(SCORED / "drive.mp4") as draft,
        DriveVideo(draft, map_image, policy.transform, settings.evaluate.video_seconds) as video,
    ):
        evaluation = evaluator.evaluate(policy, on_frame=video.add)
    with replacing(SCORED / "episodes.csv") as draft:
        write_episodes(draft, [evaluation])
    with replacing(SCORED / "trajectories.png") as draft:
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


def _log(run: Run, scores: dict[str, Any], step: int) -> None:
    values = {"survived": scores["survived"], **scores["readable"], **scores["official"]}
    values |= {f"gate_{name}": scores["gate"][name] for name in ("must", "goal")}
    values["full_lap_share"] = scores["laps"]["trained"]["full_lap_share"]
    metrics = {f"evaluate/{name}": float(value) for name, value in values.items() if value is not None}
    run.log_metrics(metrics, step=step)
    for output in sorted(SCORED.iterdir()):
        run.log_artifact(output, "evaluate")


if __name__ == "__main__":
    exits_cleanly(main)()
