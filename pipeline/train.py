"""Train PPO by params.yaml; write the best checkpoint, a summary and the learning curve."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ducklane import provenance, settings
from ducklane.errors import exits_cleanly
from ducklane.machine import this_machine
from ducklane.outputs import replacing, write_json
from ducklane.settings import Settings
from ducklane.simulator.maps import check_maps

if TYPE_CHECKING:
    from ducklane.policy import Provenance
    from ducklane.tracking import Run
    from ducklane.training.learning_curve import LearningCurve
    from ducklane.training.tuning import Training

CHECKPOINT = Path("models/checkpoint")
ALGORITHM = "algorithm"
RESULTS = Path("results/train")
STORAGE = Path("runs/train")


def main() -> None:
    """Refuse what cannot work before anything starts or is written; then train."""
    chosen = settings.load()
    if settings.cluster_address() is None:  # what a cluster has is known once it is joined
        settings.check_machine(chosen, this_machine())
    check_maps(chosen)
    for earlier in (CHECKPOINT, RESULTS, STORAGE):
        shutil.rmtree(earlier, ignore_errors=True)
    _train(chosen)
    shutil.rmtree(STORAGE)


def _train(chosen: Settings) -> None:
    # imported here: Ray, torch and MLflow take seconds to load
    from ducklane import tracking
    from ducklane.training.learning_curve import LearningCurve
    from ducklane.training.mlflow_callback import ExperimentLogger
    from ducklane.training.progress import TrainingProgress
    from ducklane.training.tuning import train

    curve, progress = LearningCurve(), TrainingProgress(chosen.tune.stop.timesteps_total)
    with tracking.new_run(chosen) as run:
        print(f"MLflow run {run.id} in {tracking.store_uri()}", flush=True)
        started = time.monotonic()
        with progress:
            training = train(chosen, this_machine(), STORAGE, [ExperimentLogger(run), curve, progress])
        _write_outputs(chosen, run, training, curve, wall_s=time.monotonic() - started)


def _write_outputs(
    chosen: Settings, run: Run, training: Training, curve: LearningCurve, wall_s: float
) -> None:
    origin = _write_checkpoint(chosen, run, training)
    summary = {
        "episode_reward_mean": training.best["episode_reward_mean"],
        "timesteps_total": int(training.last["timesteps_total"]),
        "env_steps_per_s": round(training.last["timesteps_total"] / training.last["time/total_s"], 2),
        "wall_s": round(wall_s, 1),
        "mlflow": {"run_id": run.id},
    }
    write_json(RESULTS / "summary.json", summary)
    with replacing(RESULTS / "learning_curve.csv") as draft:
        curve.write(draft)
    run.set_tags({"model_sha256": origin.weights_sha256})
    run.log_artifact(Path("params.yaml"))
    for name in ("summary.json", "learning_curve.csv"):
        run.log_artifact(RESULTS / name, "train")
    print(
        f"best checkpoint: episode_reward_mean {origin.episode_reward_mean:.1f} "
        f"at {origin.timesteps_total} steps -> {CHECKPOINT}"
    )


def _write_checkpoint(chosen: Settings, run: Run, training: Training) -> Provenance:
    """Put the network and policy.json beside RLlib's own state, to drive from and to train on from."""
    from ducklane.policy import PolicySpec, Provenance, save_policy, weights_digest
    from ducklane.training.tuning import load_network

    network = load_network(training.checkpoint)
    origin = Provenance(
        mlflow_run_id=run.id,
        git_commit=provenance.git_commit(),
        params_digest=chosen.digest(),
        episode_reward_mean=training.best["episode_reward_mean"],
        timesteps_total=int(training.best["timesteps_total"]),
        map_name=", ".join(chosen.simulator.map_names),
        seed=chosen.simulator.seed,
        weights_sha256=weights_digest(network),
    )
    spec = PolicySpec(
        camera_width=chosen.simulator.camera_width,
        camera_height=chosen.simulator.camera_height,
        observation=chosen.observation,
        action=chosen.action,
        network=chosen.network,
        provenance=origin,
    )
    with replacing(CHECKPOINT) as draft:
        save_policy(draft, spec, network)
        shutil.copytree(training.checkpoint, draft / ALGORITHM)
    return origin


if __name__ == "__main__":
    exits_cleanly(main)()
