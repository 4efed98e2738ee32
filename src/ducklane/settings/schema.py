"""The whole of params.yaml, and what must fit together across its sections."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Self

from pydantic import (
    model_validator,
)

from ducklane.settings.section import Conflict, Section
from ducklane.settings.sections import (
    ActionSettings,
    EvaluateSettings,
    ExportSettings,
    MlflowSettings,
    NetworkSettings,
    ObservationSettings,
    RaySettings,
    RewardSettings,
    RllibSettings,
    SimulatorSettings,
    TuneSettings,
)

EXACT_FLOAT32 = 2**24
"""Integers below this are exact in float32."""


class Settings(Section):
    """The whole of params.yaml."""

    simulator: SimulatorSettings
    ray: RaySettings
    rllib: RllibSettings
    tune: TuneSettings
    observation: ObservationSettings
    action: ActionSettings
    reward: RewardSettings
    network: NetworkSettings
    evaluate: EvaluateSettings
    export: ExportSettings
    mlflow: MlflowSettings

    @model_validator(mode="after")
    def _observation_fits_camera(self) -> Self:
        seen, camera = self.observation, self.simulator
        rows = camera.camera_height - seen.crop_top - seen.crop_bottom
        if rows < 1:
            raise Conflict(
                "observation.crop_top",
                f"{seen.crop_top} + crop_bottom {seen.crop_bottom} leave no row of the "
                f"{camera.camera_height} that the camera has; crop less than {camera.camera_height} in all",
            )
        for key, wanted, had in (("height", seen.height, rows), ("width", seen.width, camera.camera_width)):
            if wanted > had:
                raise Conflict(
                    f"observation.{key}",
                    f"{wanted} is more than the {had} pixels that the cropped camera image has; "
                    f"give at most {had}",
                )
        _check_exact_average(seen, rows, camera.camera_width)
        return self

    @model_validator(mode="after")
    def _detours_can_be_known(self) -> Self:
        if self.reward.detour_margin_m and self.simulator.backend != "batched":
            raise Conflict(
                "reward.detour_margin_m",
                f"{self.reward.detour_margin_m:g} is beyond gym-duckietown, which knows no way around "
                "objects; give 0, or set simulator.backend: batched",
            )
        return self

    @model_validator(mode="after")
    def _network_fits_observation(self) -> Self:
        sizes = self.network.map_sizes(self.observation.height, self.observation.width)
        for layer, (height, width) in enumerate(sizes):
            if height < 1 or width < 1:
                seen = self.observation
                raise Conflict(
                    "network.conv_filters",
                    f"layer {layer + 1}, {list(self.network.conv_filters[layer])}, is larger than what "
                    f"reaches it from an observation of {seen.height} x {seen.width}; "
                    "use a smaller kernel, smaller strides or fewer layers",
                )
        return self

    @model_validator(mode="after")
    def _something_is_saved(self) -> Self:
        # of a training that goes on from an older policy it depends on how far that came
        if self.rllib.restore_from is None and (problem := self.nothing_saved()):
            raise Conflict("tune.checkpoint_freq", problem)
        return self

    def nothing_saved(self, timesteps: int = 0, iteration: int = 0) -> str | None:
        """Why a training may end without a checkpoint, and the cure; None if it saves one for certain.

        Args:
            timesteps: that an older policy was trained for.
            iteration: that this policy came to.
        """
        tune, steps = self.tune, self.tune.stop.timesteps_total
        left = math.ceil((steps - timesteps) / self._most_steps_an_iteration())
        if tune.checkpoint_at_end or tune.checkpoint_freq - iteration % tune.checkpoint_freq <= left:
            return None
        return (
            f"{tune.checkpoint_freq} may save nothing: from {timesteps} to {steps} steps "
            f"(stop.timesteps_total), {self.rllib.train_batch_size} an iteration (rllib.train_batch_size), "
            f"there may be only {left} iterations, and checkpoint_at_end is false; give at most {left}, or "
            "set checkpoint_at_end: true"
        )

    def _most_steps_an_iteration(self) -> int:
        # robots that begin anew wait for a step, and the others of their process go on meanwhile
        rllib = self.rllib
        workers = (
            rllib.train_batch_size // rllib.env_per_worker if rllib.num_workers == -1 else rllib.num_workers
        )
        return rllib.train_batch_size + max(1, workers) * (rllib.env_per_worker - 1)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of all the settings: equal settings have equal digests."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _check_exact_average(seen: ObservationSettings, rows: int, columns: int) -> None:
    # The average is a sum of integers over integer weights. While the sum is exact in float32 it is the
    # same number in numpy, torch and ONNX Runtime, whatever the order of the additions.
    weight_sum = (rows // math.gcd(rows, seen.height)) * (columns // math.gcd(columns, seen.width))
    if 2 * weight_sum * 255 >= EXACT_FLOAT32:
        raise Conflict(
            "observation.height",
            f"{seen.height} x {seen.width} cannot be averaged exactly from {rows} x {columns}; "
            f"choose a height that shares a factor with {rows} and a width that shares one with {columns}",
        )
