"""params.yaml as frozen, typed, validated settings.

`load` refuses a file that is not exactly right with a `SettingsError`: one line per problem, naming the
key, the value and what is allowed. Nothing else of the project needs to be imported, or started, to find
out that the settings are wrong.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeGuard, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ducklane.errors import UserError

PARAMS_FILE = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]

RAY_OBJECT_STORE_MINIMUM_BYTES = 78_643_200
"""Ray refuses to start with a smaller object store."""

LENS_FRAME = (640, 480)
"""(width, height) in pixels for which the stock simulator's lens distortion is calibrated."""

EXACT_FLOAT32 = 2**24
"""Integers below this are exact in float32."""


class SettingsError(UserError):
    """The settings cannot be used. Exit code 2, as for any wrong usage of a command."""

    exit_code = 2


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True
    )

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        """The fields under their names in params.yaml."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    def as_dict(self) -> dict[str, Any]:
        """The settings under the names of params.yaml, as JSON types."""
        return self.model_dump(mode="json", by_alias=True)


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


class SimulatorSettings(_Section):
    """The world. The names are those of gym-duckietown's `Simulator`."""

    backend: Literal["batched", "gym-duckietown"]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    map_name: MapNames
    max_steps: Count
    camera_width: Annotated[int, Field(ge=16, le=4096)]
    camera_height: Annotated[int, Field(ge=16, le=4096)]
    accept_start_angle_deg: Annotated[float, Field(gt=0, le=180)]
    full_transparency: bool
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
            raise _Conflict("threads", "0 leaves nothing to run on; give -1 (all cores) or at least 1")
        return self

    @model_validator(mode="after")
    def _one_map_at_a_time(self) -> Self:
        if self.backend == "gym-duckietown" and not isinstance(self.map_name, str):
            raise _Conflict(
                "map_name",
                f"{list(self.map_name)} is more than gym-duckietown loads; give one name, or set "
                "simulator.backend: batched",
            )
        return self

    @model_validator(mode="after")
    def _lens_fits(self) -> Self:
        if self.distortion and (self.camera_width, self.camera_height) != LENS_FRAME:
            raise _Conflict(
                "distortion",
                "true needs camera_width 640 and camera_height 480 (the lens is calibrated for them), not "
                f"{self.camera_width} x {self.camera_height}; set distortion to false, or that size",
            )
        return self


class RaySettings(_Section):
    """What to ask of the machine; -1 stands for all of it."""

    num_cpus: Annotated[int, Field(ge=-1, description="-1 (all CPUs) or a whole number >= 1")]
    num_gpus: Annotated[int, Field(ge=-1, description="-1 (all GPUs) or a whole number >= 0")]
    object_store_memory: Annotated[int, Field(ge=RAY_OBJECT_STORE_MINIMUM_BYTES)]

    @model_validator(mode="after")
    def _some_cpu(self) -> Self:
        if self.num_cpus == 0:
            raise _Conflict("num_cpus", "0 leaves nothing to run on; give -1 (all CPUs) or at least 1")
        return self


class RllibSettings(_Section):
    """PPO, in the words of the original trainer where it had one and RLlib's where it had none."""

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
    vf_clip_param: Positive
    vf_loss_coeff: NotNegative
    entropy_coeff: NotNegative
    state_coeff: NotNegative
    bound_coeff: NotNegative
    grad_clip: Positive
    train_batch_size: Count
    minibatch_size: Count
    num_epochs: Count
    torch_threads: Count
    restore_from: Annotated[
        str | None, Field(min_length=1, description="a folder like models/checkpoint, or null")
    ]

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.train_batch_size % self.minibatch_size:
            nearest = max(1, round(self.train_batch_size / self.minibatch_size)) * self.minibatch_size
            raise _Conflict(
                "train_batch_size",
                f"{self.train_batch_size} is not a multiple of minibatch_size {self.minibatch_size}; "
                f"the nearest that is: {nearest}",
            )
        return self


class StopSettings(_Section):
    """When training ends."""

    timesteps_total: Count


SEARCHED = ("simulator", "rllib", "observation", "action", "reward", "network")
"""Sections in which trials of one training may differ."""

SHARED = (
    "rllib.env",
    "rllib.framework",
    "rllib.num_gpus",
    "rllib.num_workers",
    "rllib.gpu_per_worker",
    "rllib.restore_from",
)
"""Keys of these sections in which they may not: they belong to the machine, or to the training as a whole."""

DISTRIBUTIONS = {
    "grid": "a list: each value in turn",
    "choice": "a list: one of the values",
    "uniform": "[low, high]: any number between",
    "loguniform": "[low, high], both > 0: any number between, each power of ten as likely",
    "randint": "[low, high]: a whole number from low to high",
}
"""Name -> what it takes and gives."""


def _search_space(value: object) -> dict[str, tuple[str, tuple[object, ...]]]:
    """{"rllib": {"lr": {"grid": [0.1, 0.2]}}} as {"rllib.lr": ("grid", (0.1, 0.2))}."""
    if not isinstance(value, dict):
        raise ValueError("not a section")
    return {
        f"{section}.{key}": _distribution(f"{section}.{key}", given)
        for section, keys in value.items()
        for key, given in _keys_of(section, keys).items()
    }


def _as_sections(space: Mapping[str, tuple[str, tuple[object, ...]]]) -> dict[str, dict[str, object]]:
    """As params.yaml has it."""
    sections: dict[str, dict[str, object]] = {}
    for key, (kind, values) in space.items():
        section, name = key.split(".", 1)
        sections.setdefault(section, {})[name] = {kind: list(values)}
    return sections


def _keys_of(section: object, keys: object) -> dict[str, object]:
    if section not in SEARCHED or not isinstance(keys, dict):
        raise _Conflict(str(section), f"is no section of settings to vary; those are {', '.join(SEARCHED)}")
    return keys


def _distribution(key: str, given: object) -> tuple[str, tuple[object, ...]]:
    section, name = key.split(".", 1)
    if key in SHARED or name not in _keys_within(Settings.model_fields[section]):
        why = "cannot differ between trials" if key in SHARED else f"is no setting; {_nearest(section, name)}"
        raise _Conflict(key, why)
    kinds = ", ".join(DISTRIBUTIONS)
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in DISTRIBUTIONS:
        raise _Conflict(key, f"got {shown(given)}; give one of {kinds}, as in grid: [1, 2]")
    ((kind, values),) = given.items()
    if not _fits(kind, values):
        raise _Conflict(f"{key}.{kind}", f"got {shown(values)}; give {DISTRIBUTIONS[kind]}")
    return kind, tuple(values)


def _nearest(section: str, name: str) -> str:
    return _advice_on([section], name)[1]


def _fits(kind: str, values: object) -> bool:
    if not isinstance(values, list | tuple) or not values:
        return False
    if kind in {"grid", "choice"}:
        return True
    numbers = int if kind == "randint" else (int, float)
    if len(values) != 2 or not all(isinstance(v, numbers) and not isinstance(v, bool) for v in values):
        return False
    low, high = values
    return low < high and (kind != "loguniform" or low > 0)


class AshaSettings(_Section):
    """When ASHA, Tune's successive halving, stops a trial."""

    grace_period: Count
    reduction_factor: Annotated[float, Field(gt=1, le=100)]


class TuneSettings(_Section):
    """What Ray Tune runs and keeps, and when it stops."""

    stop: StopSettings
    num_samples: Annotated[int, Field(ge=1, le=1000)]
    search_space: Annotated[
        dict[str, tuple[str, tuple[Any, ...]]],
        BeforeValidator(_search_space),
        PlainSerializer(_as_sections),
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
            raise _Conflict(
                "asha.grace_period",
                f"{self.asha.grace_period} is more than stop.timesteps_total {self.stop.timesteps_total}; "
                "give at most that",
            )
        return self


class ObservationSettings(_Section):
    """What the policy sees: crop, area-average, stack."""

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


class ActionSettings(_Section):
    """What the policy does."""

    type: Literal["wheels", "velocity_steering", "steering"]

    @property
    def size(self) -> int:
        """Numbers in one action."""
        return 1 if self.type == "steering" else 2


class RewardSettings(_Section):
    """What the agent is paid."""

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


class NetworkSettings(_Section):
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
        """(height, width) after each convolution, none padded; a size below 1 means that it does not fit."""
        sizes = []
        for _, kernel, stride in self.conv_filters:
            height = (height - kernel) // stride + 1
            width = (width - kernel) // stride + 1
            sizes.append((height, width))
        return sizes


class EvaluateSettings(_Section):
    """How a policy is scored."""

    map_name: Annotated[str, Field(min_length=1)]
    episodes: Annotated[int, Field(ge=1, le=1000)]
    max_seconds: Annotated[float, Field(gt=0, le=3600)]
    start_angle_deg: Annotated[float, Field(ge=0, le=90)]
    lap_starts: Annotated[int, Field(ge=1, le=1000)]
    lap_seconds: Annotated[float, Field(gt=0, le=3600)]
    video_seconds: Annotated[float, Field(gt=0, le=600)]


class ExportSettings(_Section):
    """The ONNX file."""

    check_frames: Annotated[int, Field(ge=500)]
    tolerance: Positive
    opset: Annotated[int, Field(ge=18, le=23)]
    registered_model_name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]+$", description="a name of letters, digits, '.', '_' and '-'")
    ]


class MlflowSettings(_Section):
    """Where runs are recorded."""

    experiment_name: Annotated[str, Field(min_length=1)]


class Settings(_Section):
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
            raise _Conflict(
                "observation.crop_top",
                f"{seen.crop_top} + crop_bottom {seen.crop_bottom} leave no row of the "
                f"{camera.camera_height} that the camera has; crop less than {camera.camera_height} in all",
            )
        for key, wanted, had in (("height", seen.height, rows), ("width", seen.width, camera.camera_width)):
            if wanted > had:
                raise _Conflict(
                    f"observation.{key}",
                    f"{wanted} is more than the {had} pixels that the cropped camera image has; "
                    f"give at most {had}",
                )
        _check_exact_average(seen, rows, camera.camera_width)
        return self

    @model_validator(mode="after")
    def _detours_can_be_known(self) -> Self:
        if self.reward.detour_margin_m and self.simulator.backend != "batched":
            raise _Conflict(
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
                raise _Conflict(
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
            raise _Conflict("tune.checkpoint_freq", problem)
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


class _Conflict(ValueError):
    """Keys that are fine alone and cannot stand together."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def _check_exact_average(seen: ObservationSettings, rows: int, columns: int) -> None:
    # The average is a sum of integers over integer weights. While the sum is exact in float32 it is the
    # same number in numpy, torch and ONNX Runtime, whatever the order of the additions.
    weight_sum = (rows // math.gcd(rows, seen.height)) * (columns // math.gcd(columns, seen.width))
    if 2 * weight_sum * 255 >= EXACT_FLOAT32:
        raise _Conflict(
            "observation.height",
            f"{seen.height} x {seen.width} cannot be averaged exactly from {rows} x {columns}; "
            f"choose a height that shares a factor with {rows} and a width that shares one with {columns}",
        )


def load(path: Path = PARAMS_FILE) -> Settings:
    """Read and validate a settings file.

    Raises:
        SettingsError: the file is missing, is not YAML, or any key in it is wrong.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds {shown(content)}"
        raise SettingsError(f"{path}: {found}; give the sections {', '.join(Settings.model_fields)}")
    try:
        return Settings.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError(*(f"{path}: {problem}" for problem in problems(error))) from None


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        SettingsError: the file is missing or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; run this at the repository's root") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give a readable file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
    try:
        return YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        problem = str(error.problem).split(" with value")[0].removeprefix("found ")
        raise SettingsError(f"{path}:{_line(error)}: {problem}; keep one of the two") from None
    except MarkedYAMLError as error:
        problem = _one_line(error.problem)
        cure = "use spaces, not tabs" if r"'\t'" in problem else "mend it"
        raise SettingsError(f"{path}:{_line(error)}: is not YAML ({problem}); {cure}") from None
    except (YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: is not YAML ({_one_line(error)}); mend it") from None
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply; make it flatter") from None


def _line(error: MarkedYAMLError) -> int | str:
    return error.problem_mark.line + 1 if error.problem_mark else "?"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def problems(error: ValidationError) -> list[str]:
    """One line per problem: the key, its value, and what is allowed."""
    lines: dict[str, str] = {}
    misspelt = set()
    for detail in error.errors():
        if detail["type"] in {"extra_forbidden", "invalid_key"}:
            *section, unknown = detail["loc"]
            likely, advice = _advice_on(section, str(unknown))
            lines[dotted(detail["loc"])] = f"unknown key; {advice}"
            misspelt.add(dotted((*section, likely)))
    for detail in error.errors():
        if detail["type"] not in {"extra_forbidden", "invalid_key"}:
            key, problem = _describe(detail)
            # a misspelt key is one problem, not an unknown one and a missing one
            if not (detail["type"] == "missing" and key in misspelt):
                lines.setdefault(key, problem)
    return [f"{key}: {problem}" for key, problem in lines.items()]


def dotted(location: Iterable[object]) -> str:
    """The place of a key in a YAML file, as one line."""
    return ".".join(str(part) if str(part).isprintable() else repr(part) for part in location)


def _section_at(location: Iterable[object]) -> type[_Section]:
    section: Any = Settings
    for part in location:
        section = section.keys()[part].annotation
    found: type[_Section] = section
    return found


def _advice_on(location: list[Any], unknown: str) -> tuple[str, str]:
    """The key that was probably meant, or "", and the advice to use it."""
    known = list(_section_at(location).keys())
    if close := difflib.get_close_matches(unknown, known, n=1, cutoff=0.6):
        return close[0], f"did you mean {close[0]}?"
    homes = [name for name, field in Settings.keys().items() if unknown in _keys_within(field)]
    if homes:
        return "", f"it belongs to {' or '.join(homes)}"
    return "", f"known are {', '.join(known)}"


def _keys_within(field: FieldInfo) -> dict[str, FieldInfo]:
    return field.annotation.keys() if is_section(field.annotation) else {}


def is_section(kind: Any) -> TypeGuard[type[_Section]]:
    """Whether a field's type is a section of params.yaml."""
    return isinstance(kind, type) and issubclass(kind, _Section)


def _describe(detail: ErrorDetails) -> tuple[str, str]:
    """(key, problem) of one of pydantic's findings, except an unknown key."""
    location = detail["loc"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, _Conflict):
        return dotted((*location, cause.key)), str(cause)
    # inside a list the key of params.yaml is the list's
    names = list(itertools.takewhile(lambda part: isinstance(part, str), location))
    wanted = allowed(_section_at(names[:-1]).keys()[str(names[-1])])
    if detail["type"] == "missing" and len(names) == len(location):
        return dotted(names), f"is missing; give {wanted}"
    return dotted(names), f"got {shown(detail['input'])}; give {wanted}"


def allowed(field: FieldInfo) -> str:
    """What a key may hold, in words."""
    kind: Any = field.annotation
    if field.description:
        return field.description
    if is_section(kind):
        return f"a section with {', '.join(kind.keys())}"
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}" if others else str(last)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text, not empty"}
    return f"{words[kind]} {' and '.join(_bounds(field))}".rstrip()


def _bounds(field: FieldInfo) -> list[str]:
    words = []
    for bound in field.metadata:
        match bound:
            case Gt():
                words.append(f"> {bound.gt}")
            case Ge():
                words.append(f">= {bound.ge}")
            case Lt():
                words.append(f"< {bound.lt}")
            case Le():
                words.append(f"<= {bound.le}")
    return words


def shown(value: object) -> str:
    """A value as a YAML file writes it, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    text = str(list(value) if isinstance(value, tuple) else value)
    text = repr(text) if isinstance(value, str) else text
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"the text {text}" if isinstance(value, str) else text
