"""Score the trained policy from fixed starts in the stock simulator; write scores and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklane import settings
from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import replacing, together, write_json
from ducklane.settings import Settings
from ducklane.simulator.town.maps import check_maps

if TYPE_CHECKING:
    from ducklane.evaluation.evaluator import Evaluation, Evaluator
    from ducklane.policy import TrainedPolicy
    from ducklane.tracking.runs import Run

CHECKPOINT = Path("models/checkpoint")
BASELINES = Path("results/baselines/scores.json")
RESULTS = Path("results/evaluate")


def main() -> None:
    """Refuse wrong settings before anything is loaded; then evaluate."""
    chosen = settings.load()
    check_maps(chosen)
    _evaluate_checkpoint(chosen)


def _evaluate_checkpoint(chosen: Settings) -> None:
    # imported here: torch takes seconds to load
    from ducklane.policy import load_policy

    policy = load_policy(CHECKPOINT)
    baselines = _read_baselines()
    # imported here: a missing model is refused before OpenGL is loaded
    from ducklane.evaluation.evaluator import Evaluator

    with Evaluator(chosen) as evaluator:
        # imported here: MLflow takes seconds to load, while the other processes start
        from ducklane.tracking import runs as tracking

        origin = policy.spec.provenance
        with tracking.continued_run(origin.mlflow_run_id, chosen.mlflow.experiment_name) as run:
            with together():
                scores = _score(chosen, evaluator, policy, baselines, run)
            _log(run, scores, origin.timesteps_total)


def _score(
    chosen: Settings, evaluator: Evaluator, policy: TrainedPolicy, baselines: dict[str, Any], run: Run
) -> dict[str, Any]:
    """Drive, write the scores and print them beside the baselines'."""
    from ducklane.evaluation.gate import gate, verdict

    evaluation, laps = _drive_all(chosen, evaluator, policy)
    summary, found = evaluation.summary(), gate(chosen.evaluate, evaluation.scores)
    model = {"model_sha256": policy.spec.provenance.weights_sha256}
    scores = {**summary, "gate": found, "laps": laps, **model, "mlflow": {"run_id": run.id}}
    write_json(RESULTS / "scores.json", scores)
    _compare({policy.name: summary, **baselines})
    print(verdict(found))
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
    chosen: Settings, evaluator: Evaluator, policy: TrainedPolicy
) -> tuple[Evaluation, dict[str, Any]]:
    """The fixed starts in the stock simulator; and, in the batched one, laps, which it summarizes."""
    # imported here: numba takes a second to load
    from ducklane.baselines import ProportionalController
    from ducklane.evaluation.laps import drive_laps, summarize_laps

    # the longest work first, so that all processes end at about the same time
    shared = {
        driver.name: evaluator.share(drive_laps, chosen, driver)
        for driver in (policy, ProportionalController())
    }
    lasting = f"{chosen.evaluate.max_seconds:g} s each"
    print(f"driving from {len(evaluator.starts)} starts, {lasting}, and laps beside them ...", flush=True)
    evaluation = _film(chosen, evaluator, policy)
    laps = {name: task.result() for name, task in shared.items()}
    print("driven; now the scores and the pictures", flush=True)
    _tabulate_tiles(evaluator, {"fixed starts": evaluation, "laps": laps[policy.name]})
    return evaluation, {name: summarize_laps(driven) for name, driven in laps.items()}


def _film(chosen: Settings, evaluator: Evaluator, policy: TrainedPolicy) -> Evaluation:
    """Drive from the fixed starts; the first drive is filmed, all are drawn and listed."""
    from ducklane.evaluation.evaluator import write_episodes
    from ducklane.evaluation.pictures import DriveVideo, save_trajectories

    map_image = evaluator.simulator.map_image()
    with (
        replacing(RESULTS / "drive.mp4") as draft,
        DriveVideo(draft, map_image, policy.transform, chosen.evaluate.video_seconds) as video,
    ):
        evaluation = evaluator.evaluate(policy, on_frame=video.add)
    with replacing(RESULTS / "episodes.csv") as draft:
        write_episodes(draft, [evaluation])
    with replacing(RESULTS / "trajectories.png") as draft:
        save_trajectories(draft, map_image, evaluation.episodes)
    return evaluation


def _tabulate_tiles(evaluator: Evaluator, drives: dict[str, Evaluation]) -> None:
    """Say where on the map they fail."""
    from ducklane.evaluation.scores.tiles import tile_rows, write_tiles

    rows = {
        name: tile_rows(evaluator.simulator, driven.episodes, driven.laterals_m)
        for name, driven in drives.items()
    }
    with replacing(RESULTS / "tiles.csv") as draft:
        write_tiles(draft, rows)


def _compare(summaries: dict[str, Any]) -> None:
    from ducklane.evaluation.table import markdown_table, print_table

    print_table(summaries)
    with replacing(RESULTS / "comparison.md") as draft:
        draft.write_text(markdown_table(summaries))


def _log(run: Run, scores: dict[str, Any], step: int) -> None:
    values = {"survived": scores["survived"], **scores["readable"], **scores["official"]}
    values |= {f"gate_{name}": scores["gate"][name] for name in ("must", "goal")}
    values["full_lap_share"] = scores["laps"]["trained"]["full_lap_share"]
    metrics = {f"evaluate/{name}": float(value) for name, value in values.items() if value is not None}
    run.log_metrics(metrics, step=step)
    for output in sorted(RESULTS.iterdir()):
        run.log_artifact(output, "evaluate")


if __name__ == "__main__":
    exits_cleanly(main)()
