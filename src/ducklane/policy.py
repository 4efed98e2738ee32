"""Policies: frames or the true lane position in, wheel commands out.

A trained network, its ONNX export and the baselines share one interface, so that one evaluator scores them
all.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ducklane.errors import PolicyError
from ducklane.network import PolicyNetwork
from ducklane.settings import ActionSettings, NetworkSettings, ObservationSettings, Settings
from ducklane.simulator.interface import FRAMES_PER_SECOND, STEP_SECONDS
from ducklane.task.action import action_mapping
from ducklane.task.observation import FrameStack, FrameTransform

POLICY_FILE = "policy.json"
WEIGHTS_FILE = "network.pt"

Commands = NDArray[np.float32]


class Observations(NamedTuple):
    """What n robots sense at one step."""

    frames: NDArray[np.uint8]
    """camera frames [n, camera_height, camera_width, 3]"""
    lane: NDArray[np.float64]
    """true (dist, angle) [n, 2] in metres and radians, positive to the right; NaN outside any lane"""


class Policy(ABC):
    """Drives n robots.

    Attributes:
        name: its name in scores and pictures.
        camera_shape: (height, width) of the frames it needs; None if it only reads the lane position, so that
            nothing has to be rendered.
        first_row: topmost row of the frames that it uses; rows above may be black.
    """

    name: str
    camera_shape: tuple[int, int] | None = None
    first_row: int = 0

    def reset(self, n: int) -> None:  # noqa: B027 - most policies keep no state
        """Forget the past: n new episodes begin."""

    @abstractmethod
    def act(self, observations: Observations) -> Commands:
        """Wheel duty (left, right) in [-1, 1], float32 [n, 2]."""


class Provenance(BaseModel):
    """Where a policy comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mlflow_run_id: str
    git_commit: str
    params_digest: str
    episode_reward_mean: float
    timesteps_total: int
    map_name: str
    seed: int
    weights_sha256: str
    recipe_digest: str = ""
    """of the settings without seed and machine; "" in models from before this was recorded"""
    code_digest: str = ""
    """of the code that trained it; "" in models from before this was recorded"""
    trial_run_id: str | None = None
    """if the policy is the best of several trials: the MLflow run of that trial, nested in `mlflow_run_id`"""
    changes: dict[str, object] = {}
    """settings in which that trial differs from those of `params_digest`"""


class Contract(BaseModel):
    """What a policy takes and gives, and when, besides sizes: what a robot must know to drive with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    color_order: Literal["RGB"] = "RGB"
    """of the channels of a frame"""
    frame_spacing_s: float = STEP_SECONDS
    """seconds from one stacked frame to the next"""
    commands_per_second: float = FRAMES_PER_SECOND
    """how often it was asked in training: once for each frame, the answer held until the next"""
    commands: str = "duty of the left and of the right wheel, each from -1 (backwards) to 1"


class PolicySpec(BaseModel):
    """The content of policy.json: all that is needed, besides the weights, to drive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_width: int
    camera_height: int
    observation: ObservationSettings
    action: ActionSettings
    network: NetworkSettings
    provenance: Provenance
    contract: Contract = Contract()
    """that of all policies, also of those from before this was recorded"""

    @classmethod
    def of(cls, settings: Settings, provenance: Provenance) -> PolicySpec:
        """Of a policy that was trained with these settings."""
        return cls(
            camera_width=settings.simulator.camera_width,
            camera_height=settings.simulator.camera_height,
            observation=settings.observation,
            action=settings.action,
            network=settings.network,
            provenance=provenance,
        )

    def build_network(self) -> PolicyNetwork:
        """A network of this shape, untrained."""
        return PolicyNetwork(self.observation.shape, self.action.size, self.network)


class TrainedPolicy(Policy):
    """The network's most likely action, deterministic."""

    name = "trained"

    def __init__(self, spec: PolicySpec, network: PolicyNetwork) -> None:
        self.spec = spec
        self.network = network.eval()
        self.camera_shape = spec.camera_height, spec.camera_width
        self.first_row = spec.observation.crop_top
        self.transform = FrameTransform(spec.observation, spec.camera_height, spec.camera_width)
        self._stack = FrameStack(spec.observation.frame_stack)
        self.mapping = action_mapping(spec.action)

    def reset(self, n: int) -> None:
        """Forget the stacked frames."""
        self._stack.clear()

    def act(self, observations: Observations) -> Commands:
        """Wheel duty for frames [n, camera_height, camera_width, 3]."""
        return self.act_on_stacks(self._stack.push(self.transform(observations.frames)))

    def act_on_stacks(self, stacks: NDArray[np.uint8]) -> Commands:
        """Wheel duty for observations as the network takes them, uint8 [n, height, width, channels]."""
        with torch.inference_mode():
            return self.mapping.to_wheels(self.network(torch.from_numpy(stacks)).numpy())


def save_policy(directory: Path, spec: PolicySpec, network: PolicyNetwork) -> None:
    """Write policy.json and the weights into one folder."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), directory / WEIGHTS_FILE)
    (directory / POLICY_FILE).write_text(spec.model_dump_json(indent=2, by_alias=True) + "\n")


def load_policy(directory: Path) -> TrainedPolicy:
    """Load what `save_policy` wrote, without running code from the files.

    Raises:
        PolicyError: a file is missing or damaged, or the weights are not those that policy.json names.
    """
    spec = read_spec(directory)
    network = spec.build_network()
    weights = directory / WEIGHTS_FILE
    try:
        network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    except FileNotFoundError:
        raise PolicyError(f"{weights}: is missing; run `dvc repro train` or `dvc pull`") from None
    except Exception:
        # torch's message is empty, or advises to load the file with weights_only=False, which runs its code
        raise PolicyError(
            f"{weights}: cannot be read: it is damaged or does not hold this network's weights; "
            "run `dvc repro train` again"
        ) from None
    if weights_digest(network) != spec.provenance.weights_sha256:
        raise PolicyError(
            f"{weights}: is not the network that {POLICY_FILE} describes; run `dvc repro train` again"
        )
    return TrainedPolicy(spec, network)


def read_spec(directory: Path) -> PolicySpec:
    """Read a policy's policy.json.

    Raises:
        PolicyError: it is missing or damaged.
    """
    path = directory / POLICY_FILE
    try:
        return PolicySpec.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f"{path}: is missing; run `dvc repro train` or `dvc pull`") from None
    except (ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise PolicyError(f"{path}: is damaged ({reason}); run `dvc repro train` again") from None


def weights_digest(network: PolicyNetwork) -> str:
    """SHA-256 of the weights themselves, independent of the file: equal networks have equal digests."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()
