"""Score the trained policy from fixed starts in the stock simulator; write scores and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklane import settings
from ducklane.errors import UserError, exits_cleanly
from ducklane.outputs import replacing, write_json
from ducklane.settings import Settings
from ducklane.simulator.maps import check_maps

if TYPE_CHECKING:
    from ducklane.evaluation.evaluator import Evaluation, Evaluator
    from ducklane.policy import TrainedPolicy
    from ducklane.tracking import Run

CHECKPOINT = Path("models/checkpoint")
BASELINES = Path("results/baselines/scores.json")
RESULTS = Path("results/evaluate")


def main() -> None:
    """Refuse wrong settings before anything is loaded; then evaluate."""
    chosen = settings.load()
    check_maps(chosen)
    _evaluate_checkpoint(chosen)


def _evaluate_checkpoint(chosen: Settings) -> None:
    # imported here: torch and MLflow take seconds to load
    from ducklane import tracking
    from ducklane.policy import load_policy

    policy = load_policy(CHECKPOINT)
    baselines = _read_baselines()
    run_id = policy.spec.provenance.mlflow_run_id
    with tracking.continued_run(run_id, chosen.mlflow.experiment_name) as run:
        evaluation = _drive_all(chosen, policy)
        summary = evaluation.summary()
        write_json(RESULTS / "scores.json", {**summary, "mlflow": {"run_id": run.id}})
        _compare({policy.name: summary, **baselines})
        _log(run, summary, policy.spec.provenance.timesteps_total)


def _read_baselines() -> dict[str, Any]:
    try:
        baselines: dict[str, Any] = json.loads(BASELINES.read_text())
    except FileNotFoundError:
        raise UserError(f"{BASELINES}: is missing; run `dvc repro baselines` first") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{BASELINES}: is damaged ({error}); run `dvc repro -f baselines`") from None
    return baselines


def _drive_all(chosen: Settings, policy: TrainedPolicy) -> Evaluation:
    # imported here: a missing model is refused before OpenGL is loaded
    from ducklane.evaluation.evaluator import Evaluator, write_episodes
    from ducklane.evaluation.pictures import DriveVideo

    evaluator = Evaluator(chosen)
    with (
        replacing(RESULTS / "drive.mp4") as draft,
        DriveVideo(draft, policy.transform, chosen.evaluate.video_seconds) as video,
    ):
        evaluation = evaluator.evaluate(policy, on_frame=video.add)
    with replacing(RESULTS / "episodes.csv") as draft:
        write_episodes(draft, [evaluation])
    _draw(evaluator, evaluation)
    return evaluation


def _draw(evaluator: Evaluator, evaluation: Evaluation) -> None:
    from ducklane.evaluation.pictures import save_trajectories

    with replacing(RESULTS / "trajectories.png") as draft:
        save_trajectories(draft, evaluator.simulator.map_image(), evaluation.episodes)


def _compare(summaries: dict[str, Any]) -> None:
    from ducklane.evaluation.table import markdown_table, print_table

    print_table(summaries)
    with replacing(RESULTS / "comparison.md") as draft:
        draft.write_text(markdown_table(summaries))


def _log(run: Run, summary: dict[str, Any], step: int) -> None:
    scores = {"survived": summary["survived"], **summary["readable"], **summary["official"]}
    metrics = {f"evaluate/{name}": value for name, value in scores.items() if value is not None}
    run.log_metrics(metrics, step=step)
    for output in sorted(RESULTS.iterdir()):
        run.log_artifact(output, "evaluate")


if __name__ == "__main__":
    exits_cleanly(main)()
