"""The sections of params.yaml as frozen, typed, validated settings.

Every key's meaning, unit and default are in params.yaml, and from there in docs/parameters.md; here are its
type, its range, and the checks within a section.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)

from ducklane.settings.base import Conflict, Count, Fraction, NotNegative, Positive, Section
from ducklane.settings.search_space import as_sections, read_search_space

RAY_OBJECT_STORE_MINIMUM_BYTES = 78_643_200
"""Ray refuses to start with a smaller object store."""

LENS_FRAME = (640, 480)
"""(width, height) in pixels for which the stock simulator's lens distortion is calibrated."""


def _map_names(value: object) -> str | tuple[str, ...]:
    """One name, or a list of names as a tuple."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) and n for n in names):
        raise ValueError("neither a name nor a list of names")
    return value if isinstance(value, str) else tuple(names)


MapNames = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_map_names),
    Field(description="the name of a map, or a list of names"),
]


class SimulatorSettings(Section):
    """The world. The names are those of gym-duckietown's `Simulator`."""

    backend: Literal["batched", "gym-duckietown"]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    map_name: MapNames
    max_steps: Count
    camera_width: Annotated[int, Field(ge=16, le=4096)]
    camera_height: Annotated[int, Field(ge=16, le=4096)]
    accept_start_angle_deg: Annotated[float, Field(gt=0, le=180)]
    full_transparency: bool
    fidelity: Literal["fast", "exact"]
    distortion: bool
    domain_rand: bool
    dynamics_rand: bool
    camera_rand: bool
    threads: Annotated[int, Field(ge=-1, description="-1 (all cores) or a whole number >= 1")]

    @property
    def map_names(self) -> tuple[str, ...]:
        """One name or several, as a tuple."""
        return (self.map_name,) if isinstance(self.map_name, str) else self.map_name

    @model_validator(mode="after")
    def _some_thread(self) -> Self:
        if self.threads == 0:
            raise Conflict("threads", "0 leaves no core to run on; give -1 (all cores) or at least 1")
        return self

    @model_validator(mode="after")
    def _one_map_at_a_time(self) -> Self:
        if self.backend == "gym-duckietown" and not isinstance(self.map_name, str):
            raise Conflict(
                "map_name",
                f"{list(self.map_name)} is more than gym-duckietown can load; give one name, or set "
                "simulator.backend: batched",
            )
        return self

    @model_validator(mode="after")
    def _stock_is_exact(self) -> Self:
        if self.backend == "gym-duckietown" and self.fidelity == "exact":
            raise Conflict(
                "fidelity",
                "exact is of the batched simulator, and gym-duckietown's pictures are exact as they are; set "
                "fidelity to fast, or simulator.backend: batched",
            )
        return self

    @model_validator(mode="after")
    def _lens_fits(self) -> Self:
        if self.distortion and (self.camera_width, self.camera_height) != LENS_FRAME:
            raise Conflict(
                "distortion",
                "true needs camera_width 640 and camera_height 480 (the lens is calibrated for them), not "
                f"{self.camera_width} x {self.camera_height}; set distortion to false, or that size",
            )
        return self


class RaySettings(Section):
    """The resources to use of the machine; -1 stands for all of them."""

    num_cpus: Annotated[int, Field(ge=-1, description="-1 (all CPUs) or a whole number >= 1")]
    num_gpus: Annotated[int, Field(ge=-1, description="-1 (all GPUs) or a whole number >= 0")]
    object_store_memory: Annotated[int, Field(ge=RAY_OBJECT_STORE_MINIMUM_BYTES)]

    @model_validator(mode="after")
    def _some_cpu(self) -> Self:
        if self.num_cpus == 0:
            raise Conflict("num_cpus", "0 leaves no CPU to run on; give -1 (all CPUs) or at least 1")
        return self


class RllibSettings(Section):
    """PPO. Names are those of the original trainer where it had one, else RLlib's."""

    env: Annotated[str, Field(min_length=1)]
    framework: Literal["torch"]
    num_gpus: Fraction
    num_workers: Annotated[int, Field(ge=-1, description="-1 (as many as fit) or a whole number >= 0")]
    gpu_per_worker: Fraction
    env_per_worker: Count
    lr: Annotated[float, Field(gt=0, le=1)]
    lr_end: Annotated[float, Field(ge=0, le=1)]
    std_end: Positive
    gamma: Fraction
    lambda_: Annotated[Fraction, Field(alias="lambda")]
    clip_param: Positive
    vf_clip_param: Annotated[Positive | None, Field(description="a number > 0, or null")]
    vf_loss_coeff: NotNegative
    entropy_coeff: NotNegative
    state_coeff: NotNegative
    bound_coeff: NotNegative
    grad_clip: Positive
    train_batch_size: Count
    minibatch_size: Count
    num_epochs: Count
    num_learners: Annotated[int, Field(ge=0)]
    learner_shards: Count
    restore_from: Annotated[
        str | None, Field(min_length=1, description="a folder like models/checkpoint, or null")
    ]

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.train_batch_size % self.minibatch_size:
            nearest = max(1, round(self.train_batch_size / self.minibatch_size)) * self.minibatch_size
            raise Conflict(
                "train_batch_size",
                f"{self.train_batch_size} is not a multiple of minibatch_size {self.minibatch_size}; "
                f"the nearest that is: {nearest}",
            )
        return self

    @property
    def learners(self) -> int:
        """Processes that learn, the trainer's included where it learns itself; at least 1."""
        return max(1, self.num_learners)

    @model_validator(mode="after")
    def _learners_share_minibatches(self) -> Self:
        if self.minibatch_size % self.learners:
            fewer = next(n for n in range(self.learners, 0, -1) if self.minibatch_size % n == 0)
            raise Conflict(
                "num_learners",
                f"{self.num_learners} learners do not share minibatch_size {self.minibatch_size} evenly; "
                f"give {fewer}",
            )
        return self

    @model_validator(mode="after")
    def _shards_hold_samples(self) -> Self:
        samples = self.minibatch_size // self.learners
        if self.learner_shards > samples:
            each = f" for each of the {self.learners} learners (num_learners)" if self.learners > 1 else ""
            raise Conflict(
                "learner_shards",
                f"{self.learner_shards} is more than minibatch_size {samples}{each}; give at most that",
            )
        return self


class ObservationSettings(Section):
    """What the policy sees: camera frames, cropped, area-averaged and stacked."""

    crop_top: Annotated[int, Field(ge=0)]
    crop_bottom: Annotated[int, Field(ge=0)]
    width: Count
    height: Count
    color: Literal["rgb", "gray"]
    frame_stack: Annotated[int, Field(ge=1, le=8)]

    @property
    def channels(self) -> int:
        """Channels of one frame."""
        return 3 if self.color == "rgb" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels * frame_stack) of an observation."""
        return self.height, self.width, self.channels * self.frame_stack


class ActionSettings(Section):
    """What the policy controls."""

    type: Literal["wheels", "velocity_steering", "steering"]

    @property
    def size(self) -> int:
        """Numbers in one action."""
        return 1 if self.type == "steering" else 2


class RewardSettings(Section):
    """The reward per step."""

    type: Literal["lane_progress", "stock"]
    progress_weight: Positive
    lane_width_m: Positive
    lateral_weight: NotNegative
    crash_penalty: Annotated[float, Field(ge=0, le=100)]
    detour_margin_m: Annotated[float, Field(ge=0, le=0.2)]


def _as_tuples(rows: object) -> object:
    # YAML has lists; frozen settings hold tuples
    if not isinstance(rows, list):
        return rows
    return tuple(tuple(row) if isinstance(row, list) else row for row in rows)


ConvFilter = tuple[Count, Count, Count]


class NetworkSettings(Section):
    """The policy and value network."""

    conv_filters: Annotated[
        tuple[ConvFilter, ...],
        BeforeValidator(_as_tuples),
        Field(min_length=1, description="a list of [channels, kernel, stride], each a whole number >= 1"),
    ]
    hidden_size: Count
    initial_std: Positive
    critic: Literal["privileged", "image"]
    critic_hidden_size: Count

    def map_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(height, width) after each convolution, without padding; below 1 where the kernel does not fit."""
        sizes = []
        for _, kernel, stride in self.conv_filters:
            height = (height - kernel) // stride + 1
            width = (width - kernel) // stride + 1
            sizes.append((height, width))
        return sizes


SEARCHED: dict[str, type[Section]] = {
    "simulator": SimulatorSettings,
    "rllib": RllibSettings,
    "observation": ObservationSettings,
    "action": ActionSettings,
    "reward": RewardSettings,
    "network": NetworkSettings,
}
"""Sections that trials of one training run may vary."""


class StopSettings(Section):
    """When training ends."""

    timesteps_total: Count


class AshaSettings(Section):
    """When ASHA, Tune's successive halving, stops a trial."""

    grace_period: Count
    reduction_factor: Annotated[float, Field(gt=1, le=100)]


class TuneSettings(Section):
    """What Ray Tune runs and keeps, and when it stops."""

    stop: StopSettings
    num_samples: Annotated[int, Field(ge=1, le=1000)]
    search_space: Annotated[
        dict[str, tuple[str, tuple[Any, ...]]],
        BeforeValidator(lambda value: read_search_space(value, SEARCHED)),
        PlainSerializer(as_sections),
        Field(description="{} or, by section and key, grid, choice, uniform, loguniform or randint"),
    ]
    scheduler: Literal["fifo", "asha"]
    asha: AshaSettings
    checkpoint_freq: Count
    checkpoint_at_end: bool
    keep_checkpoints_num: Count
    checkpoint_score_attr: Literal["episode_reward_mean", "episode_len_mean"]
    trial_name_creator: Literal["trainable_name", "trial_id"]
    restart_behavior: Literal["resume", "restart"]

    @model_validator(mode="after")
    def _grace_ends(self) -> Self:
        if self.scheduler == "asha" and self.asha.grace_period > self.stop.timesteps_total:
            raise Conflict(
                "asha.grace_period",
                f"{self.asha.grace_period} is more than stop.timesteps_total {self.stop.timesteps_total}; "
                "give at most that",
            )
        return self


class EvaluateSettings(Section):
    """How a policy is scored."""

    map_name: Annotated[str, Field(min_length=1)]
    episodes: Annotated[int, Field(ge=1, le=1000)]
    max_seconds: Annotated[float, Field(gt=0, le=3600)]
    start_angle_deg: Annotated[float, Field(ge=0, le=90)]
    lap_starts: Annotated[int, Field(ge=1, le=1000)]
    lap_seconds: Annotated[float, Field(gt=0, le=3600)]
    video_seconds: Annotated[float, Field(gt=0, le=600)]


class ExportSettings(Section):
    """The ONNX file."""

    check_frames: Annotated[int, Field(ge=500)]
    tolerance: Positive
    opset: Annotated[int, Field(ge=13, le=23)]
    registered_model_name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]+$", description="a name of letters, digits, '.', '_' and '-'")
    ]


class MlflowSettings(Section):
    """Where runs are recorded."""

    experiment_name: Annotated[str, Field(min_length=1)]
