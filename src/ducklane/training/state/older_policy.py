"""An older policy that a training begins with (`rllib.restore_from`), if it fits the settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ducklane.policy import PolicySpec, read_spec
from ducklane.project.inputs import RESTORE_FROM, OlderPolicyError, check_older_policy
from ducklane.settings import Settings
from ducklane.training.state.saved import ALGORITHM, SavedCheckpoint, read_checkpoint


def origin(settings: Settings) -> SavedCheckpoint | None:
    """The checkpoint to begin with, None to begin with nothing.

    Raises:
        OlderPolicyError: it is not there, is damaged, does not fit the settings, or has had all the steps.
    """
    if settings.rllib.restore_from is None:
        return None
    check_older_policy(settings)
    folder = Path(settings.rllib.restore_from)
    # resolved: a trial has a working directory of its own
    saved = read_checkpoint((folder / ALGORITHM).resolve())
    if saved is None:
        raise OlderPolicyError(
            f"{RESTORE_FROM}: {folder / ALGORITHM}: is missing or damaged; give a whole checkpoint"
        )
    if differences := list(_differences(read_spec(folder), settings)):
        raise OlderPolicyError(*(f"{RESTORE_FROM}: {folder}: {difference}" for difference in differences))
    total = settings.tune.stop.timesteps_total
    if saved.timesteps >= total:
        raise OlderPolicyError(
            f"{RESTORE_FROM}: {folder}: has had {saved.timesteps} steps, and tune.stop.timesteps_total is "
            f"{total}; give more than {saved.timesteps}"
        )
    if problem := settings.nothing_saved(saved.timesteps, int(saved.metrics.get("training_iteration", 0))):
        raise OlderPolicyError(f"tune.checkpoint_freq: {problem}")
    return saved


def _differences(spec: PolicySpec, settings: Settings) -> Iterator[str]:
    """What a network cannot change any more: what it sees, what it does and how it is built."""
    had = {
        "simulator": {"camera_width": spec.camera_width, "camera_height": spec.camera_height},
        **{name: getattr(spec, name).model_dump() for name in ("observation", "action", "network")},
    }
    had["network"].pop("initial_std")
    wanted = settings.model_dump()
    for section, keys in had.items():
        for key, value in keys.items():
            if value != wanted[section][key]:
                yield (
                    f"was trained with {section}.{key} {value}, not {wanted[section][key]}; "
                    f"give {section}.{key} {value}"
                )
