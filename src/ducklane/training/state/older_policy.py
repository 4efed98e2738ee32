"""The older policy that a training run starts from (`rllib.restore_from`), if it fits the settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ducklane.policy import PolicySpec, read_spec
from ducklane.project.inputs import RESTORE_FROM, OlderPolicyError, check_older_policy
from ducklane.settings import Settings
from ducklane.training.state.saved import ALGORITHM, SavedCheckpoint, read_checkpoint


def origin(settings: Settings) -> SavedCheckpoint | None:
    """The checkpoint to start from, None to start from scratch.

    Raises:
        OlderPolicyError: it is missing or damaged, does not fit the settings, or is already at the last step.
    """
    if settings.rllib.restore_from is None:
        return None
    check_older_policy(settings)
    folder = Path(settings.rllib.restore_from)
    # resolved: a trial has a working directory of its own
    saved = read_checkpoint((folder / ALGORITHM).resolve())
    if saved is None:
        raise OlderPolicyError(
            f"{RESTORE_FROM}: {folder / ALGORITHM}: is missing or damaged; give a complete checkpoint"
        )
    if differences := list(_differences(read_spec(folder), settings)):
        raise OlderPolicyError(*(f"{RESTORE_FROM}: {folder}: {difference}" for difference in differences))
    total = settings.tune.stop.timesteps_total
    if saved.timesteps >= total:
        raise OlderPolicyError(
            f"{RESTORE_FROM}: {folder}: is already at {saved.timesteps} steps, and tune.stop.timesteps_total "
            f"is {total}; give more than {saved.timesteps}"
        )
    if problem := settings.nothing_saved(saved.timesteps, int(saved.metrics.get("training_iteration", 0))):
        raise OlderPolicyError(f"tune.checkpoint_freq: {problem}")
    return replace(saved, is_older_policy=True)


def _differences(spec: PolicySpec, settings: Settings) -> Iterator[str]:
    """Settings that a trained network fixes, its observation, action and architecture, where they differ."""
    trained = {
        "simulator": {"camera_width": spec.camera_width, "camera_height": spec.camera_height},
        **{name: getattr(spec, name).model_dump() for name in ("observation", "action", "network")},
    }
    trained["network"].pop("initial_std")
    current = settings.model_dump()
    for section, keys in trained.items():
        for key, value in keys.items():
            if value != current[section][key]:
                yield (
                    f"was trained with {section}.{key} {value}, not {current[section][key]}; "
                    f"give {section}.{key} {value}"
                )
