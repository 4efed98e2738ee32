"""How fast PPO trains, side by side: a bare torch loop on one thread, this project's RLlib, RLlib as it
comes, and the stock simulator.

`make bench-training` writes benchmarks/results/training.json and training.md. All arms run in turn in every
round, in one process, so that whatever else the machine does falls on all of them; the figures are medians
over the rounds, and ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from reports import machine, median_ratio, write_report
from rich.console import Console
from torch import Tensor, nn

from ducklane import settings as ducklane_settings
from ducklane.environment import Environment, action_space, observation_space
from ducklane.machine.hardware import this_machine
from ducklane.network import Critic, PolicyNetwork
from ducklane.settings import Settings
from ducklane.task.privileged import STATE_SIZE
from ducklane.training.learning.module import ACTIONS_KEPT, SHARDS, PolicyModule
from ducklane.training.ppo import ppo_config
from ducklane.training.sampling import Rollout, to_columns
from ducklane.training.tuning import ray_cluster

RESULTS = Path(__file__).parent / "results"
BARE, OURS, DEFAULT, STOCK = "bare torch loop", "RLlib, as used here", "RLlib, as it comes", "stock simulator"
BUSY = "{} (busy)"
"""Name of an arm while another process keeps one core busy."""
STOCK_BATCH = 256
"""Steps of an iteration in the stock simulator, which makes few a second; all else in PPO is the same."""
LONG_RUN = 2_000_000
"""Steps that the original trainer took."""


@dataclass
class Spent:
    """What one turn of an arm did, and how long it took."""

    steps: int = 0
    updates: int = 0
    """samples that went through a gradient step"""
    parts: dict[str, float] = field(default_factory=dict)
    """seconds by part: sampling, learning, and the whole"""

    def rates(self) -> dict[str, float]:
        """Steps a second of sampling and of the whole, sample-updates a second; and shares of the time."""
        sampling, learning, whole = (self.parts[part] for part in ("sampling", "learning", "whole"))
        return {
            "sampling_steps_per_s": self.steps / sampling,
            "updates_per_s": self.updates / learning,
            "end_to_end_steps_per_s": self.steps / whole,
            "sampling_share": sampling / whole,
            "learning_share": learning / whole,
        }


class BareLoop:
    """PPO as plainly as torch allows, with the same networks, simulator and settings: what RLlib adds to.

    Args:
        settings: all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, rllib = settings, settings.rllib
        torch.manual_seed(settings.simulator.seed)
        self._rng = np.random.default_rng(settings.simulator.seed)
        self._n, self._size = rllib.env_per_worker, settings.action.size
        self._env = Environment(settings).create_vector_env(self._n)
        self._policy = PolicyNetwork(settings.observation.shape, self._size, settings.network)
        self._critic = Critic(STATE_SIZE + ACTIONS_KEPT * self._size, settings.network)
        self._state_head = nn.Linear(settings.network.hidden_size, STATE_SIZE)
        networks = (self._policy, self._critic, self._state_head)
        self._parameters = [p for network in networks for p in network.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, rllib.lr)
        self._images, _ = self._env.reset(seed=settings.simulator.seed)
        self._starting = np.zeros(self._n, np.bool_)
        self._past = np.zeros((self._n, ACTIONS_KEPT * self._size), np.float32)

    def turn(self) -> Spent:
        """One iteration."""
        began = time.perf_counter()
        with torch.inference_mode():
            rollout = self._sample()
        sampled = time.perf_counter()
        # RLlib's learner, too, is given rollouts and makes its batch of them
        columns = to_columns([rollout], self._settings.rllib.gamma, self._settings.rllib.lambda_)
        updates = self._learn({name: torch.from_numpy(column) for name, column in columns.items()})
        ended = time.perf_counter()
        parts = {"sampling": sampled - began, "learning": ended - sampled, "whole": ended - began}
        return Spent(len(rollout), updates, parts)

    def close(self) -> None:
        """End its simulator."""
        self._env.close()

    def _sample(self) -> Rollout:
        steps = [self._step() for _ in range(self._settings.rllib.train_batch_size // self._n)]
        return Rollout.of(steps, self._critic(self._features(self._images), self._state()).numpy())

    def _step(self) -> dict[str, NDArray[Any]]:
        images, state, starting = self._images, self._state(), self._starting
        features = self._features(images)
        distribution = self._distribution(features)
        actions = distribution.sample()
        self._images, rewards, crashed, cut, _ = self._env.step(actions.numpy())
        self._starting = crashed | cut
        self._past = np.concatenate([actions.clip(-1, 1).numpy(), self._past[:, : -self._size]], axis=1)
        self._past[starting] = 0
        return {
            "images": images,
            "state": state.numpy(),
            "actions": actions.numpy(),
            "likely": distribution.log_prob(actions).sum(-1).numpy(),
            "values": self._critic(features, state).numpy(),
            "rewards": rewards,
            "crashed": crashed,
            "ended": self._starting,
            "sampled": ~starting,
        }

    def _state(self) -> Tensor:
        return torch.from_numpy(np.concatenate([self._env.privileged(), self._past], axis=1))

    def _features(self, images: NDArray[np.uint8]) -> Tensor:
        return self._policy.features(torch.from_numpy(images))

    def _distribution(self, features: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(
            self._policy.action_mean(features), self._policy.log_std.exp(), validate_args=False
        )

    def _learn(self, batch: dict[str, Tensor]) -> int:
        rllib, count = self._settings.rllib, len(batch["images"])
        updates = 0
        for _ in range(rllib.num_epochs):
            order = torch.from_numpy(self._rng.permutation(count))
            for first in range(0, count - rllib.minibatch_size + 1, rllib.minibatch_size):
                chosen = order[first : first + rllib.minibatch_size]
                loss = self._loss({name: column[chosen] for name, column in batch.items()})
                self._optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self._parameters, rllib.grad_clip)
                self._optimizer.step()
                updates += len(chosen)
        return updates

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        rllib = self._settings.rllib
        features = self._policy.features(batch["images"])
        ratio = (self._distribution(features).log_prob(batch["actions"]).sum(-1) - batch["likely"]).exp()
        advantages = batch[Postprocessing.ADVANTAGES]
        clipped = ratio.clamp(1 - rllib.clip_param, 1 + rllib.clip_param)
        gain = torch.min(ratio * advantages, clipped * advantages).mean()
        values = nn.functional.mse_loss(
            self._critic(features, batch["state"]), batch[Postprocessing.VALUE_TARGETS]
        )
        known = batch["state"][:, :STATE_SIZE]
        told = nn.functional.mse_loss(self._state_head(features), known)
        return rllib.vf_loss_coeff * values + rllib.state_coeff * told - gain


class PlainModule(PolicyModule):
    """The same network with a critic that judges by the image: RLlib's connectors carry nothing else."""

    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """State values, [n]."""
        if embeddings is None:
            chunks = batch[Columns.OBS].split(1024)
            return torch.cat([self.critic(self.network.features(chunk), None) for chunk in chunks])
        return embeddings

    def _values(self, batch: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return self.critic(features, None)


def default_config(settings: Settings) -> PPOConfig:
    """RLlib's own env runner, connectors and learner on the same vector environment."""
    ours = ppo_config(settings, this_machine())
    environment = Environment(settings)
    tune.register_env("default", lambda context: environment.create_vector_env(context.get("num_envs", 1)))
    network = settings.network.model_copy(update={"critic": "image"})
    rllib = settings.rllib
    return (
        PPOConfig()
        .environment(
            "default", observation_space=observation_space(settings), action_space=action_space(settings)
        )
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=rllib.env_per_worker,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .learners(num_learners=0)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=PlainModule, model_config={**network.model_dump(mode="json"), SHARDS: 1}
            )
        )
        .training(**{
            key: getattr(ours, key)
            for key in (
                "lr",
                "gamma",
                "lambda_",
                "clip_param",
                "vf_clip_param",
                "vf_loss_coeff",
                "grad_clip",
                "grad_clip_by",
                "use_kl_loss",
                "kl_coeff",
                "train_batch_size_per_learner",
                "minibatch_size",
                "num_epochs",
            )
        })
        .reporting(min_time_s_per_iteration=0)
        .callbacks(on_algorithm_init=lambda **_: torch.set_num_threads(1))
        .debugging(seed=settings.simulator.seed, log_level="ERROR")
    )  # fmt: skip


class Algorithm:
    """Trains an RLlib algorithm, iteration by iteration.

    Args:
        config: of the algorithm.
    """

    def __init__(self, config: PPOConfig) -> None:
        self._algorithm = config.build_algo()
        self._spent = Spent()
        runner, learners = self._algorithm.env_runner_group.local_env_runner, self._algorithm.learner_group
        runner.sample = partial(self._timed, "sampling", runner.sample)
        learners.update = partial(self._timed, "learning", learners.update)
        self._updates_an_iteration = (
            config.num_epochs * config.train_batch_size_per_learner // config.minibatch_size
        ) * config.minibatch_size

    def close(self) -> None:
        """End its simulators."""
        self._algorithm.stop()

    def _timed(self, part: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = work(*args, **kwargs)
        self._spent.parts[part] = self._spent.parts.get(part, 0.0) + time.perf_counter() - began
        return result

    def turn(self) -> Spent:
        """One iteration."""
        self._spent = Spent(updates=self._updates_an_iteration)
        began = time.perf_counter()
        result = self._algorithm.train()
        self._spent.parts["whole"] = time.perf_counter() - began
        self._spent.steps = int(result["env_runners"]["num_env_steps_sampled"])
        return self._spent


def stock_settings(settings: Settings) -> Settings:
    """The same task in the stock simulator, one robot."""
    return settings.model_copy(
        update={
            "simulator": settings.simulator.model_copy(update={"backend": "gym-duckietown"}),
            "rllib": settings.rllib.model_copy(update={"env_per_worker": 1, "train_batch_size": STOCK_BATCH}),
        }
    )


def measure(settings: Settings, rounds: int, console: Console) -> dict[str, list[dict[str, float]]]:
    """Rates of each arm in each round."""
    arms: dict[str, BareLoop | Algorithm] = {
        BARE: BareLoop(settings),
        OURS: Algorithm(ppo_config(settings, this_machine())),
        DEFAULT: Algorithm(default_config(settings)),
        STOCK: Algorithm(ppo_config(stock_settings(settings), this_machine())),
    }
    for arm in arms.values():
        arm.turn()  # compiles, fills caches
    found: dict[str, list[dict[str, float]]] = {}

    def turn(number: int, name: str, label: str) -> None:
        rates = arms[name].turn().rates()
        found.setdefault(label, []).append(rates)
        console.print(
            f"{number + 1}/{rounds} {label:26} {rates['sampling_steps_per_s']:>7,.0f} steps/s "
            f"{rates['updates_per_s']:>7,.0f} updates/s {rates['end_to_end_steps_per_s']:>6,.0f} in all"
        )

    names = list(arms)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            turn(number, name, name)
        with busy_core():
            for name in (BARE, OURS) if number % 2 else (OURS, BARE):
                turn(number, name, BUSY.format(name))
    for arm in arms.values():
        arm.close()
    return found


@contextmanager
def busy_core() -> Iterator[None]:
    """Within this context another process keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def ratio(found: dict[str, list[dict[str, float]]], rate: str, one: str, other: str) -> float:
    """Median over the rounds of how many times as fast `one` is as `other`."""
    return median_ratio(*([turn[rate] for turn in found[arm]] for arm in (one, other)))


def headline(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """What the project promises."""
    rate = statistics.median(turn["end_to_end_steps_per_s"] for turn in found[OURS])
    return {
        "sampling_vs_bare": round(ratio(found, "sampling_steps_per_s", OURS, BARE), 3),
        "learning_vs_bare": round(ratio(found, "updates_per_s", OURS, BARE), 3),
        "learning_vs_bare_busy": round(
            ratio(found, "updates_per_s", BUSY.format(OURS), BUSY.format(BARE)), 3
        ),
        "end_to_end_vs_stock": round(ratio(found, "end_to_end_steps_per_s", OURS, STOCK), 1),
        "minutes_for_2M_steps": round(LONG_RUN / rate / 60, 1),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    head = report["headline"]
    lines = [
        "# How fast PPO trains",
        "",
        f"`make bench-training` writes this file: medians of {report['rounds']} rounds, in each of which all "
        f"arms ran in turn, on {report['machine']['cores']} cores ({report['machine']['cpu']}).",
        "",
        f"- sampling: {head['sampling_vs_bare']:.2f} of the bare loop's",
        f"- learning: {head['learning_vs_bare']:.2f} of the bare loop's sample-updates on one thread",
        f"- learning beside a busy loop: {head['learning_vs_bare_busy']:.2f} of the bare loop's beside one",
        f"- end to end: {head['end_to_end_vs_stock']:.0f} times the stock simulator's",
        f"- 2,000,000 steps take {head['minutes_for_2M_steps']:.0f} minutes",
        "",
        "Busy: while another process kept one core busy.",
        "",
        "| arm | sampling (steps/s) | learning (sample-updates/s) | end to end (steps/s) "
        "| sampling's share | learning's share |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, arm in report["arms"].items():
        lines.append(
            f"| {name} | {arm['sampling_steps_per_s']:,.0f} | {arm['updates_per_s']:,.0f} "
            f"| {arm['end_to_end_steps_per_s']:,.0f} "
            f"| {arm['sampling_share']:.0%} | {arm['learning_share']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 9,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure, and write the results."""
    console = Console(highlight=False)
    settings = ducklane_settings.load()
    torch.set_num_threads(1)
    with ray_cluster(settings.ray, this_machine()):
        found = measure(settings, rounds, console)
    medians = {
        name: {key: round(statistics.median(turn[key] for turn in turns), 4) for key in turns[0]}
        for name, turns in found.items()
    }
    report = {
        "headline": headline(found),
        "arms": medians,
        "rounds": rounds,
        "machine": machine("torch", "ray"),
    }
    write_report(output, "training", report, table(report))
    console.print(f"{report['headline']}\n{output / 'training.md'}")


if __name__ == "__main__":
    typer.run(main)
