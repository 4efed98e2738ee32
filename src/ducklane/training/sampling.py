"""Sampling with many robots at once: RLlib's env runner and learner connector without per-robot work.

RLlib's own runner keeps an episode object for each robot, and its connectors assemble batches from them, one
step of one robot at a time, which costs more than the simulation. Here a rollout is a handful of arrays,
[T, N], from the first observation to the loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import ENV_STEP_TIMER, RLMODULE_INFERENCE_TIMER, SAMPLE_TIMER

from ducklane.training.learning.module import ACTIONS_KEPT, PAST_ACTIONS, STATE
from ducklane.training.metrics import EPISODES, REWARD_PREFIX, Record
from ducklane.training.ray_private import environment_creator

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rollout:
    """T steps of N robots; all arrays are [T, N, ...], in order of time."""

    columns: dict[str, NDArray[Any]]
    """what the loss needs: observations, states, actions and their log-likelihoods, by RLlib's names"""
    values: Floats
    """[T + 1, N] of the states, including the one after the last step"""
    rewards: Floats
    crashed: Flags
    """the episode terminated: no value follows"""
    ended: Flags
    """the episode ended, for whatever reason: terminated or truncated"""
    sampled: Flags
    """false where a step only started the next episode: its action had no effect"""
    frame_stack: int = 1
    """frames in an observation, along its last axis"""

    @staticmethod
    def of(steps: list[dict[str, NDArray[Any]]], last_values: Floats, frame_stack: int = 1) -> Rollout:
        """Stack steps.

        Args:
            steps: arrays of each step, [N, ...]: `values`, `rewards`, `crashed`, `ended` and `sampled`; all
                others are columns.
            last_values: [N] of the states after the last step.
            frame_stack: frames in an observation.
        """
        arrays = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
        return Rollout(
            values=np.concatenate([arrays.pop("values"), last_values[None]]),
            rewards=arrays.pop("rewards").astype(np.float32),
            crashed=arrays.pop("crashed"),
            ended=arrays.pop("ended"),
            sampled=arrays.pop("sampled"),
            columns=arrays,
            frame_stack=frame_stack,
        )

    def __len__(self) -> int:
        """Environment steps."""
        return int(np.count_nonzero(self.sampled))

    def __getitem__(self, steps: slice) -> Rollout:
        """Some of the environment steps, counted robot by robot.

        Their robots come with all of their steps, of which the others do not count: advantages depend on
        what followed.
        """
        chosen = np.zeros_like(self.sampled.T)
        chosen.flat[np.flatnonzero(self.sampled.T)[steps]] = True
        robots = chosen.any(axis=1)
        return Rollout(
            columns={name: column[:, robots] for name, column in self.columns.items()},
            values=self.values[:, robots],
            rewards=self.rewards[:, robots],
            crashed=self.crashed[:, robots],
            ended=self.ended[:, robots],
            sampled=chosen.T[:, robots],
            frame_stack=self.frame_stack,
        )

    def slice(self, steps: slice, **_: Any) -> Rollout:
        """As `rollout[steps]`: RLlib asks in either way for the part of a learner."""
        return self[steps]

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: each frame once, of which observations hold several."""
        columns = dict(self.columns)
        frames = FramesOnce.of(columns.pop(Columns.OBS), self.frame_stack)
        return {**self.__dict__, "columns": columns, "frames": frames}

    def __setstate__(self, state: dict[str, Any]) -> None:
        columns = {Columns.OBS: state.pop("frames").stacks(), **state.pop("columns")}
        self.__dict__.update(state, columns=columns)


class FramesOnce(NamedTuple):
    """Stacks of frames, [T, N, height, width, channels], without the frames that an earlier stack holds."""

    newest: NDArray[np.uint8]
    """[T, N, ...] of each stack"""
    repeats: Flags
    """[T, N] whether all others are the newest ones of the preceding stacks"""
    whole: NDArray[np.uint8]
    """the stacks of which they are not, as at the beginning of an episode"""

    @staticmethod
    def of(stacks: NDArray[np.uint8], frames: int) -> FramesOnce:
        """Take stacks apart.

        Args:
            stacks: [T, N, ...].
            frames: in each stack, oldest first.
        """
        channels = stacks.shape[-1] // frames
        newest = np.ascontiguousarray(stacks[..., -channels:])
        repeats = np.ones(stacks.shape[:2], np.bool_)
        repeats[: frames - 1] = False
        for older, same in _planes(stacks, newest):
            repeats[-len(older) :] &= (older == same).all(axis=-1)
        return FramesOnce(newest, repeats, stacks[~repeats])

    def stacks(self) -> NDArray[np.uint8]:
        """The stacks as they were."""
        stacks = np.empty((*self.newest.shape[:-1], self.whole.shape[-1]), np.uint8)
        stacks[..., -self.newest.shape[-1] :] = self.newest
        for older, same in _planes(stacks, self.newest):
            older[:] = same
        stacks[~self.repeats] = self.whole
        return stacks


def _planes(
    stacks: NDArray[np.uint8], newest: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Each channel of each older frame, [t, N, pixels], and the same of the stacks whose newest frame it is.

    Channel by channel, as numpy is slow along a short last axis.
    """
    steps, robots, *_, channels = newest.shape
    of_stacks = stacks.reshape((steps, robots, -1, stacks.shape[-1]))
    of_newest = newest.reshape((steps, robots, -1, channels))
    frames = stacks.shape[-1] // channels
    for age in range(1, min(frames, steps)):
        for channel in range(channels):
            plane = of_stacks[age:, ..., (frames - 1 - age) * channels + channel]
            yield plane, of_newest[:-age, ..., channel]


class Episodes:
    """The returns and lengths of N robots' episodes.

    Args:
        n: number of robots.
    """

    def __init__(self, n: int) -> None:
        self._returns = np.zeros(n)
        self._lengths = np.zeros(n, np.int64)
        self._finished: list[Record] = []

    def add(self, rewards: NDArray[Any], sampled: Flags, ended: Flags, infos: dict[str, Any]) -> None:
        """Count one step of all robots; at the end of episodes, infos hold the sums of reward components."""
        self._returns += rewards
        self._lengths += sampled
        if not ended.any():
            return
        columns = {"return": self._returns[ended], "len": self._lengths[ended]}
        for name, sums in infos["episode_reward"].items():
            if not name.startswith("_"):
                columns[f"{REWARD_PREFIX}{name}"] = sums[ended]
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        self._finished += [dict(zip(columns, map(float, row), strict=True)) for row in rows]
        self._returns[ended] = self._lengths[ended] = 0

    def take_finished(self) -> list[Record]:
        """Those that have finished since the last call, in order."""
        finished, self._finished = self._finished, []
        return finished


class VectorEnvRunner(SingleAgentEnvRunner):  # type: ignore[misc]
    """Steps one vector environment of N robots and returns rollouts, values included.

    The environment starts a robot's next episode in the step after the previous one ended
    (`AutoresetMode.NEXT_STEP`), and its `privileged()` gives the true states.
    """

    env: Any = None

    def make_env(self) -> None:
        """Create the environment that is registered under the config's name, and start to drive.

        The first steps compile the simulator's kernels; done here, that does not count as sampling time.
        """
        if self.env is not None:
            self.env.close()
        create = environment_creator(self.config.env)
        self.num_envs = self.config.num_envs_per_env_runner
        self.env = create({**self.config.env_config, "num_envs": self.num_envs})
        self._begin()
        self._inputs()

    def sample(self, *, num_timesteps: int | None = None, **_: Any) -> list[Rollout]:
        """Drive all robots for at least `num_timesteps` steps in total; by default its share of a batch."""
        min_steps = num_timesteps or self.num_envs * self.config.get_rollout_fragment_length(
            self.worker_index
        )
        with self.metrics.log_time(SAMPLE_TIMER), torch.inference_mode():
            rollout = self._roll_out(min_steps)
        finished = self._episodes.take_finished()
        self._increase_sampled_metrics(len(rollout), len(finished))
        for record in finished:
            self.metrics.log_value(EPISODES, record, reduce="item_series")
        return [rollout]

    def begin_again(self, steps: int) -> None:
        """Start new episodes with other random numbers than at the beginning.

        Args:
            steps: environment steps after which training resumes. The same number gives the same results.
        """
        if self.config.seed is not None:
            torch.manual_seed(derived_seed(self.config.seed, self.worker_index or 0, steps))
        self._begin(steps)

    def _begin(self, *resumed: int) -> None:
        seed = None
        if self.config.seed is not None:
            seed = derived_seed(self.config.seed, self.worker_index or 0, *resumed)
        self._observations, _ = self.env.reset(seed=seed)
        self._starting = np.zeros(self.num_envs, np.bool_)
        no_action = np.zeros((self.num_envs, *self.env.single_action_space.shape), np.float32)
        self._past_actions = deque([no_action] * ACTIONS_KEPT, maxlen=ACTIONS_KEPT)
        self._episodes = Episodes(self.num_envs)

    def _roll_out(self, min_steps: int) -> Rollout:
        steps: list[dict[str, NDArray[Any]]] = []
        sampled = 0
        while sampled < min_steps:
            steps.append(self._step())
            sampled += int(np.count_nonzero(steps[-1]["sampled"]))
        last_values = self._forward(self._inputs())[Columns.VF_PREDS].numpy(force=True)
        observation = self.config.env_config["settings"]["observation"]
        return Rollout.of(steps, last_values, observation["frame_stack"])

    def _step(self) -> dict[str, NDArray[Any]]:
        """Step all robots; return the step's arrays, [N, ...] each."""
        inputs, starting = self._inputs(), self._starting
        with self.metrics.log_time(RLMODULE_INFERENCE_TIMER):
            outputs = self._forward(inputs)
        distribution = self.module.get_exploration_action_dist_cls().from_logits(
            outputs[Columns.ACTION_DIST_INPUTS]
        )
        sampled_actions = distribution.sample()
        actions = sampled_actions.numpy(force=True)
        with self.metrics.log_time(ENV_STEP_TIMER):
            self._observations, rewards, crashed, truncated, infos = self.env.step(actions)
        ended = crashed | truncated
        self._remember(actions, starting)
        self._episodes.add(rewards, ~starting, ended, infos)
        self._starting = ended
        return {
            **inputs,
            Columns.ACTIONS: actions,
            Columns.ACTION_DIST_INPUTS: outputs[Columns.ACTION_DIST_INPUTS].numpy(force=True),
            Columns.ACTION_LOGP: distribution.logp(sampled_actions).numpy(force=True),
            "values": outputs[Columns.VF_PREDS].numpy(force=True),
            "rewards": rewards,
            "crashed": crashed,
            "ended": ended,
            "sampled": ~starting,
        }

    def _inputs(self) -> dict[str, NDArray[Any]]:
        return {
            Columns.OBS: self._observations,
            STATE: self.env.privileged(),
            PAST_ACTIONS: np.concatenate(self._past_actions, axis=-1),
        }

    def _forward(self, inputs: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
        tensors = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
        outputs: dict[str, torch.Tensor] = self.module.forward_exploration(tensors)
        return outputs

    def _remember(self, actions: Floats, starting: Flags) -> None:
        self._past_actions.appendleft(np.clip(actions, -1, 1))
        if starting.any():
            # new arrays: the current ones are part of the rollout
            self._past_actions.extend([np.where(starting[:, None], 0, past) for past in self._past_actions])


def derived_seed(*entropy: int) -> int:
    """A seed from several numbers; hashed, as seeds of neighbouring workers would differ by only one."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] // 2)


class RolloutsToBatch(ConnectorV2):  # type: ignore[misc]
    """RLlib's learner connector: computes advantages (GAE) and joins all steps of all robots to one batch.

    Args:
        gamma: discount per step.
        lambda_: GAE's trade-off between bias and variance.
        device: of the learner.

    References:
        Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation (2016).
    """

    def __init__(self, *args: Any, gamma: float, lambda_: float, device: str = "cpu", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gamma, self._lambda, self._device = gamma, lambda_, device

    def __call__(self, *, episodes: list[Rollout], **_: Any) -> dict[str, Any]:
        """The batch of the policy's module, tensors on the learner's device."""
        columns = to_columns(episodes, self._gamma, self._lambda)
        batch = {name: torch.from_numpy(column).to(self._device) for name, column in columns.items()}
        return {DEFAULT_MODULE_ID: batch}


def to_columns(rollouts: list[Rollout], gamma: float, lambda_: float) -> dict[str, NDArray[Any]]:
    """The columns of all sampled steps, [n, ...] each, with advantages and value targets."""
    advantages = [gae(rollout, gamma, lambda_) for rollout in rollouts]
    columns = {
        name: _sampled(rollouts, [rollout.columns[name] for rollout in rollouts])
        for name in rollouts[0].columns
    }
    columns[Postprocessing.VALUE_TARGETS] = _sampled(
        rollouts, [a + r.values[:-1] for a, r in zip(advantages, rollouts, strict=True)]
    )
    columns[Postprocessing.ADVANTAGES] = _standardized(_sampled(rollouts, advantages))
    return columns


def gae(rollout: Rollout, gamma: float, lambda_: float) -> Floats:
    """Generalized advantage estimates, [T, N]: what each action was worth beyond the value of its state.

    delta_t = r_t + gamma V(s_t+1) - V(s_t), and A_t = delta_t + gamma lambda A_t+1 within an episode.

    After an episode that was cut off by its time limit, the value of the last state is bootstrapped; after a
    crash it is 0.
    """
    next_values = np.where(rollout.crashed, 0, rollout.values[1:])
    deltas = (rollout.rewards + gamma * next_values - rollout.values[:-1]).astype(np.float32)
    decay = (gamma * lambda_ * ~rollout.ended).astype(np.float32)
    advantages = np.zeros_like(deltas)
    later = np.zeros_like(deltas[0])
    for t in reversed(range(len(deltas))):
        later = deltas[t] + decay[t] * later
        advantages[t] = later
    return advantages


def _sampled(rollouts: list[Rollout], arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """[n, ...] of all sampled steps of [T, N, ...] arrays, one a rollout."""
    return np.concatenate([array[rollout.sampled] for rollout, array in zip(rollouts, arrays, strict=True)])


def _standardized(advantages: Floats) -> Floats:
    # the floor of 1e-4 is that of RLlib's own connector
    standardized: Floats = (advantages - advantages.mean()) / max(1e-4, float(advantages.std()))
    return standardized
