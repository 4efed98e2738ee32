"""Export the trained policy as ONNX, check it on a real drive, log and register it in MLflow."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklane.errors import UserError, exits_cleanly
from ducklane.project.outputs import CHECKPOINT, EXPORTED, VARIANTS, replacing, together, write_json
from ducklane.reporting.results import EXPORT_CHECK, SCORES, read_json, read_scored
from ducklane.settings import Settings, load
from ducklane.simulator.town.maps import check_maps

if TYPE_CHECKING:
    from ducklane.evaluation.evaluator import Evaluator
    from ducklane.policy import TrainedPolicy
    from ducklane.reporting.results import Scored
    from ducklane.tracking.runs import Run

MEASURED = ("max_abs_difference", "latency_ms", "onnx_bytes")


def main() -> None:
    """Refuse invalid settings before anything heavy is loaded; then export."""
    settings = load()
    check_maps(settings)
    _export(settings)


def _export(settings: Settings) -> None:
    # imported here: torch takes seconds to load
    from ducklane.policy import load_policy

    policy = load_policy(CHECKPOINT)
    origin = policy.spec.provenance
    # imported here: a missing model is refused before OpenGL is loaded
    from ducklane.evaluation.evaluator import Evaluator

    with Evaluator(settings) as evaluator:
        # imported here: MLflow takes seconds to load, in which the other processes start
        from ducklane.tracking.runs import continued_run

        with continued_run(origin.mlflow_run_id, settings, "export") as run:
            _register(settings, evaluator, policy, run)


def _register(settings: Settings, evaluator: Evaluator, policy: TrainedPolicy, run: Run) -> None:
    """Write the ONNX file, log and register it, and print the result."""
    # imported here: MLflow takes seconds to load
    from ducklane.reporting.model_card import CARD

    registered, origin = settings.export.registered_model_name, policy.spec.provenance
    scored = read_scored()
    with together():
        with ExitStack() as drafts:
            draft, *others = (
                drafts.enter_context(replacing(path)) for path in (EXPORTED, *VARIANTS.values())
            )
            check = _write_models(settings, evaluator, policy, [draft, *others])
            frames_shape = (policy.spec.observation.frame_stack, *_camera(policy))
            trained_in = origin.trial_run_id or origin.mlflow_run_id
            model = run.log_policy(
                draft, registered_name=registered, frames_shape=frames_shape, trained_in=trained_in
            )
        ids = {"run_id": run.nested_in or run.id}
        ids |= {"logged_in": run.id} if run.nested_in else {}
        check |= {"mlflow": {**ids, "model": model}}
        write_json(EXPORT_CHECK, check)
        _write_card(settings, scored, check)
    measured = {f"export/{name}": check[name] for name in MEASURED}
    run.log_metrics(measured, step=origin.timesteps_total)
    for output in (EXPORT_CHECK, CARD):
        run.log_artifact(output, "export")
    decision = _judge(model, registered, origin.weights_sha256)
    print(
        f"{EXPORTED}: {check['onnx_bytes']} bytes, {check['latency_ms']} ms a frame, differs from torch by "
        f"at most {check['max_abs_difference']:.1e} on {check['frames']} frames; registered as {model}"
    )
    print(decision)


def _write_card(settings: Settings, scored: Scored, check: dict[str, Any]) -> None:
    """Write the model card, and show it in the registry."""
    from ducklane.reporting.model_card import CARD, model_card, without_front
    from ducklane.tracking.registry import describe

    card = model_card(scored, settings, check)
    with replacing(CARD) as draft:
        draft.write_text(card, encoding="utf-8")
    _, name, version = check["mlflow"]["model"].split("/")
    describe(name, version, without_front(card))


def _judge(model: str, name: str, weights_sha256: str) -> str:
    """Give the policy its scores, and make it the champion if it drives best; the decision in one line."""
    from ducklane.tracking.logged.models import add_scores
    from ducklane.tracking.registry import crown
    from ducklane.tracking.runs import find_run

    scores = read_json(SCORES, "evaluate")
    if scores.get("model_sha256") != weights_sha256:
        return f"champion stays: {SCORES} is of another model; run `dvc repro`"
    ids = scores.get("mlflow", {})
    if (scored_in := ids.get("scored_in", ids.get("run_id"))) and find_run(scored_in):
        add_scores(model, scored_in)
    gate = scores["gate"]
    if not gate["must"]:
        return "champion stays: the gate was not passed"
    distances = (gate[f"distance_m_{bound}"] for bound in ("median", "low", "high"))
    return crown(name, model.rpartition("/")[2], *distances)


def _camera(policy: TrainedPolicy) -> tuple[int, int, int]:
    return policy.spec.camera_height, policy.spec.camera_width, 3


def _write_models(
    settings: Settings, evaluator: Evaluator, policy: TrainedPolicy, paths: list[Path]
) -> dict[str, Any]:
    """Write the ONNX file and its variants, and refuse them unless their commands match the network's."""
    # imported here: ONNX takes seconds to load
    from ducklane.export.onnx_file import check_onnx, export_onnx

    export_onnx(policy, paths[0], settings.export.opset)
    for path, variant in zip(paths[1:], VARIANTS, strict=True):
        export_onnx(policy, path, settings.export.opset, variant)
    print(f"{EXPORTED} is written; comparing it with torch on a drive ...", flush=True)
    check, *others = check_onnx(evaluator, policy, paths, settings.export.check_frames)
    for each, name in zip((check, *others), (EXPORTED, *VARIANTS.values()), strict=True):
        if each["max_abs_difference"] > settings.export.tolerance:
            raise UserError(
                f"export.tolerance: {name} and torch differ by {each['max_abs_difference']:.1e}, more than "
                f"{settings.export.tolerance}; nothing was written; try another export.opset"
            )
    return check | {"variants": dict(zip(VARIANTS, others, strict=True))}


if __name__ == "__main__":
    exits_cleanly(main)()
