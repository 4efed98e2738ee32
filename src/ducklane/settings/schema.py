"""The whole of params.yaml, and the checks across its sections."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Self

from pydantic import model_validator

from ducklane.settings.base import Conflict, Section
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


class TaskSettings(Section):
    """The world and the task in it: what a simulated environment needs, and nothing of training."""

    simulator: SimulatorSettings
    observation: ObservationSettings
    action: ActionSettings
    reward: RewardSettings

    @model_validator(mode="after")
    def _observation_fits_camera(self) -> Self:
        observation, camera = self.observation, self.simulator
        rows = camera.camera_height - observation.crop_top - observation.crop_bottom
        if rows < 1:
            raise Conflict(
                "observation.crop_top",
                f"{observation.crop_top} + crop_bottom {observation.crop_bottom} leave none of "
                f"the {camera.camera_height} rows of the camera image; crop fewer than "
                f"{camera.camera_height} in total",
            )
        for key, size, available in (
            ("height", observation.height, rows),
            ("width", observation.width, camera.camera_width),
        ):
            if size > available:
                raise Conflict(
                    f"observation.{key}",
                    f"{size} is more than the {available} pixels that the cropped camera image has; "
                    f"give at most {available}",
                )
        _check_exact_average(observation, rows, camera.camera_width)
        return self

    @model_validator(mode="after")
    def _detours_are_supported(self) -> Self:
        if self.reward.detour_margin_m and self.simulator.backend != "batched":
            raise Conflict(
                "reward.detour_margin_m",
                f"{self.reward.detour_margin_m:g} needs detours around objects, which gym-duckietown "
                "does not support; give 0, or set simulator.backend: batched",
            )
        return self


class Settings(TaskSettings):
    """The whole of params.yaml."""

    ray: RaySettings
    rllib: RllibSettings
    tune: TuneSettings
    network: NetworkSettings
    evaluate: EvaluateSettings
    export: ExportSettings
    mlflow: MlflowSettings

    @model_validator(mode="after")
    def _network_fits_observation(self) -> Self:
        sizes = self.network.map_sizes(self.observation.height, self.observation.width)
        for layer, (height, width) in enumerate(sizes):
            if height < 1 or width < 1:
                observation = self.observation
                raise Conflict(
                    "network.conv_filters",
                    f"layer {layer + 1}, {list(self.network.conv_filters[layer])}, is larger than its "
                    f"input for an observation of {observation.height} x {observation.width}; "
                    "use a smaller kernel, smaller strides or fewer layers",
                )
        return self

    @model_validator(mode="after")
    def _something_is_saved(self) -> Self:
        # with an older policy this depends on its steps; older_policy.py checks that
        if self.rllib.restore_from is None and (problem := self.nothing_saved()):
            raise Conflict("tune.checkpoint_freq", problem)
        return self

    def nothing_saved(self, timesteps: int = 0, iteration: int = 0) -> str | None:
        """Why a training run may end without a checkpoint, and the cure; None if it certainly saves one.

        Args:
            timesteps: steps that an older policy was trained for.
            iteration: iterations that it was trained for.
        """
        tune, steps = self.tune, self.tune.stop.timesteps_total
        remaining = math.ceil((steps - timesteps) / self._most_steps_an_iteration())
        if tune.checkpoint_at_end or tune.checkpoint_freq - iteration % tune.checkpoint_freq <= remaining:
            return None
        return (
            f"{tune.checkpoint_freq} may save nothing: from {timesteps} to {steps} steps "
            f"(stop.timesteps_total), {self.rllib.train_batch_size} an iteration (rllib.train_batch_size), "
            f"there may be only {remaining} iterations, and checkpoint_at_end is false; "
            f"give at most {remaining}, or set checkpoint_at_end: true"
        )

    def _most_steps_an_iteration(self) -> int:
        # a robot that starts an episode skips a step, while the others of its process are stepped on
        rllib = self.rllib
        workers = (
            rllib.train_batch_size // rllib.env_per_worker if rllib.num_workers == -1 else rllib.num_workers
        )
        return rllib.train_batch_size + max(1, workers) * (rllib.env_per_worker - 1)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of all settings: equal settings have equal digests."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _check_exact_average(observation: ObservationSettings, rows: int, columns: int) -> None:
    # The average is a sum of integers divided by an integer weight. As long as the sum is exact in float32,
    # it is the same in numpy, torch and ONNX Runtime, whatever the order of the additions.
    weight_sum = (rows // math.gcd(rows, observation.height)) * (
        columns // math.gcd(columns, observation.width)
    )
    if 2 * weight_sum * 255 >= EXACT_FLOAT32:
        raise Conflict(
            "observation.height",
            f"{observation.height} x {observation.width} cannot be averaged exactly from {rows} x {columns}; "
            f"choose a height that shares a factor with {rows} and a width that shares one with {columns}",
        )
