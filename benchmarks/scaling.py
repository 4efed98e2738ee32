"""How long an iteration of training takes on more cores and nodes: a model of measured parts.

`make bench-scaling` writes benchmarks/results/scaling.json and scaling.md. In every round all parts are
measured, and every arm, a real training run, makes an iteration; figures are medians over the rounds. What
the model says of these arms is compared with them; of larger machines there is only what it says.
"""

from __future__ import annotations

import os
import pickle
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import ray
import torch
import typer
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from reports import machine, write_report
from rich.console import Console

from ducklane import settings as ducklane_settings
from ducklane.machine.hardware import Machine
from ducklane.settings import RllibSettings, Settings
from ducklane.training.ppo import ppo_config
from ducklane.training.sampling import RolloutsToBatch, VectorEnvRunner
from ducklane.training.tuning import ray_cluster

RESULTS = Path(__file__).parent / "results"
NODES = Machine(32, 0)
"""What Ray is told that two nodes have together: room for the processes of all arms, which take turns."""
SMALL = 64
"""Samples of the smaller minibatch: what an update costs for each sample, and what it costs in any case."""
GIGABIT = 1e9 / 8
GPU_UPDATE_S = 0.0025
"""Assumed, as there is no GPU here: 300 kernels in an update, 8 us each to launch; their arithmetic, 1.3
GFLOP, is a tenth of that."""


@dataclass(frozen=True)
class Layout:
    """Who samples and who learns, where."""

    workers: int = 0
    learners: int = 0
    shards: int = 2
    cores: int = 2
    """of a node"""
    nodes: int = 1
    bytes_per_s: float | None = None
    """between nodes; None: as measured between two on this machine"""
    gpu: bool = False
    times: int = 1
    """as large a batch and minibatches as the settings'"""


ARMS = {
    "one process": Layout(),
    "two workers": Layout(workers=2),
    "two workers on two nodes": Layout(workers=2, nodes=2),
    "two learners": Layout(learners=2),
}
LARGER = {
    "8 cores, as shipped": Layout(cores=8),
    "8 cores: 8 workers, 8 shards": Layout(workers=8, shards=8, cores=8),
    "64 cores: 64 workers, 8 shards": Layout(workers=64, shards=8, cores=64),
    "64 cores: 32 workers, 8 learners of 4 shards": Layout(workers=32, learners=8, shards=4, cores=64),
    "8 cores and a GPU: 8 workers": Layout(workers=8, cores=8, gpu=True),
    "8 nodes of 8 cores, 10 Gbit/s: 32 workers, 8 learners of 4 shards": Layout(32, 8, 4, 8, 8, 10 * GIGABIT),
    "the same, with 8 times the batch and minibatch": Layout(32, 8, 4, 8, 8, 10 * GIGABIT, times=8),
}


def predict(parts: Mapping[str, float], layout: Layout, rllib: RllibSettings) -> dict[str, float]:
    """Seconds of an iteration by part.

    Args:
        parts: medians of what `Parts.measure` measures.
        layout: who does what.
        rllib: the sizes of batches.
    """
    steps, minibatch = rllib.train_batch_size * layout.times, rllib.minibatch_size * layout.times
    updates = rllib.num_epochs * (steps // minibatch)
    workers, learners = layout.workers, max(1, layout.learners)
    wire = layout.bytes_per_s or parts["wire_bytes_per_s"]
    bytes_of_batch = parts["bytes_per_step"] * steps
    away = 1 - 1 / layout.nodes
    # a learner's shards share the cores of its node with those of its neighbours
    at_once = min(layout.shards, max(1, layout.cores * (layout.nodes if learners > 1 else 1) // learners))
    samples = minibatch / learners
    if layout.gpu:
        update = GPU_UPDATE_S
    else:
        # cores that learn at the same time slow one another down, as two were seen to do
        sample = parts["sample_update_s" if at_once * learners == 1 else "sample_update_beside_s"]
        update = parts["update_s"] + sample * samples / at_once
    found = {
        # the simulator's threads share the cores where there are no workers; the network is on one
        "sampling": parts["sample_1_thread_s"] * steps / workers
        if workers
        else parts["forward_s"] * steps + parts["simulate_s"] * steps / layout.cores,
        "shipping": 0.0,
        "batch": parts["connector_s"] * steps / learners,
        "learning": update * updates,
        "gradients": 0.0,
        "weights": 0.0,
    }
    if workers:
        found["shipping"] += parts["pack_s"] * steps / workers + parts["unpack_s"] * steps
        found["shipping"] += parts["call_s"] + parts["call_more_s"] * workers + bytes_of_batch * away / wire
        found["weights"] = parts["weights_s"] + parts["weights_bytes"] * (layout.nodes - 1) / wire
    if learners > 1:
        # the trainer hands on what it got
        found["shipping"] += parts["pack_s"] * steps + parts["unpack_s"] * steps / learners
        found["shipping"] += bytes_of_batch * away / wire
        # a ring: each learner sends and receives twice what it holds, whatever their number, in steps
        sums = parts["all_reduce_s"] * (learners - 1)
        if layout.nodes > 1 and layout.bytes_per_s:
            sums += 2 * parts["weights_bytes"] / wire
        found["gradients"] = sums * updates
        found["weights"] = max(found["weights"], parts["weights_s"])
    return found


class Parts:
    """The parts of an iteration, each by itself in this process.

    Args:
        settings: all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runners = {
            threads: VectorEnvRunner(config=config_of(settings, Layout(workers=workers)), worker_index=1)
            for threads, workers in ((1, 2), (2, 0))
        }
        self._learners = {
            shards: config_of(settings, Layout(shards=shards)).build_learner(env=None, spaces=None)
            for shards in (1, 2)
        }
        for learner in self._learners.values():
            learner.build()
        self._connector = RolloutsToBatch(gamma=settings.rllib.gamma, lambda_=settings.rllib.lambda_)
        self._far = ray.remote(FarAway).options(num_cpus=1, resources={"second": 1}).remote()
        port = free_port()
        self._pair = [ray.remote(Averaging).options(num_cpus=1).remote(rank, port) for rank in (0, 1)]

    def measure(self) -> dict[str, float]:
        """Seconds, by part: of a step, an update, a call; and bytes."""
        one, both = (timed(self._runners[threads].sample) for threads in (1, 2))
        (rollout,) = one[1]
        steps = len(rollout)
        pack, message = timed(lambda: in_band(rollout))
        unpack, arrived = timed(lambda: pickle.loads(message))
        connector, batch = timed(lambda: self._connector(episodes=[arrived]))
        simulated = 2 * (one[0] / steps - both[0] / len(both[1][0]))
        state = self._learners[1].get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]
        weights = {COMPONENT_RL_MODULE: state}
        return {
            "sample_1_thread_s": one[0] / steps,
            "simulate_s": simulated,
            "forward_s": one[0] / steps - simulated,
            "pack_s": pack / steps,
            "unpack_s": unpack / steps,
            "bytes_per_step": len(message) / steps,
            "connector_s": connector / steps,
            **self._updates(batch[DEFAULT_MODULE_ID]),
            "weights_s": timed(lambda: self._bring(weights))[0],
            "weights_bytes": sum(array.nbytes for array in state[DEFAULT_MODULE_ID].values()),
            **self._calls(),
        }

    def _updates(self, columns: dict[str, Any]) -> dict[str, float]:
        size, (steps,) = self._settings.rllib.minibatch_size, {len(column) for column in columns.values()}

        def update(shards: int, minibatch: int) -> float:
            seconds, _ = timed(
                lambda: self._learners[shards].update(
                    batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, steps),
                    timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0},
                    num_epochs=1,
                    num_total_minibatches=steps // minibatch,
                    minibatch_size=minibatch,
                )
            )
            return seconds / (steps // minibatch)

        whole, small, halves = update(1, size), update(1, SMALL), update(2, size)
        slope = (whole - small) / (size - SMALL)
        fixed = whole - slope * size
        return {
            "sample_update_s": slope,
            "sample_update_beside_s": (halves - fixed) / (size / 2),
            "update_s": fixed,
        }

    def _bring(self, weights: Any) -> None:
        self._runners[1].set_state(ray.get(ray.put(weights)))

    def _calls(self) -> dict[str, float]:
        call, _ = timed(lambda: ray.get(self._far.nothing.remote()))
        several, _ = timed(lambda: ray.get([self._far.nothing.remote() for _ in range(16)]))
        wire, array = timed(lambda: ray.get(self._far.bytes.remote(2**24)))
        sums = ray.get([one.average.remote(94_000) for one in self._pair])
        return {
            "call_s": call,
            "call_more_s": max(0.0, several - call) / 15,
            "wire_bytes_per_s": array.nbytes / wire,
            "all_reduce_s": max(sums),
        }


class FarAway:
    """On the second node."""

    def nothing(self) -> None:
        """What a call costs."""

    def bytes(self, count: int) -> Any:
        """This many, from this node's store to the caller's."""
        return np.ones(count, np.uint8)


class Averaging:
    """One of two processes that average gradients, as RLlib's learners do.

    Args:
        rank: 0 or 1.
        port: at which they meet.
    """

    def __init__(self, rank: int, port: int) -> None:
        torch.set_num_threads(1)
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
        )

    def average(self, count: int, times: int = 20) -> float:
        """Seconds to add so many floats."""
        gradients = torch.ones(count)
        torch.distributed.barrier()
        began = time.perf_counter()
        for _ in range(times):
            torch.distributed.all_reduce(gradients)
        return (time.perf_counter() - began) / times


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and the result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def in_band(thing: Any) -> bytes:
    """As Ray's store holds it."""
    return pickle.dumps(thing, protocol=5)


def config_of(settings: Settings, layout: Layout) -> PPOConfig:
    """Training in a layout on this machine."""
    rllib = settings.rllib.model_copy(
        update={
            "num_workers": layout.workers,
            "num_learners": layout.learners,
            "learner_shards": layout.shards,
        }
    )
    config = ppo_config(settings.model_copy(update={"rllib": rllib}), NODES)
    if layout.nodes > 1:
        # each node has one
        config.env_runners(custom_resources_per_env_runner={"seat": 1})
    return config


@contextmanager
def two_nodes(settings: Settings) -> Iterator[None]:
    """Ray on two nodes, both on this machine, each with its own store."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": NODES.cpus - 4, "resources": {"seat": 1}, "include_dashboard": False},
    )
    cluster.add_node(num_cpus=4, resources={"seat": 1, "second": 1})
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        with ray_cluster(settings.ray, NODES):
            yield
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


def measure(settings: Settings, rounds: int, console: Console) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of the parts, and of the seconds of an iteration of each arm."""
    parts = Parts(settings)
    arms = {name: config_of(settings, layout).build_algo() for name, layout in ARMS.items()}
    found: dict[str, list[float]] = {}
    # the first round compiles and fills caches
    for number in range(rounds + 1):
        measured = parts.measure()
        measured |= {name: timed(algorithm.train)[0] for name, algorithm in arms.items()}
        for name, value in measured.items() if number else ():
            found.setdefault(name, []).append(value)
        shown = ", ".join(f"{name} {measured[name]:.2f} s" for name in arms)
        console.print(f"{number}/{rounds} {shown}")
    for algorithm in arms.values():
        algorithm.stop()
    medians = {name: statistics.median(values) for name, values in found.items()}
    return medians, {name: medians.pop(name) for name in arms}


def described(parts: Mapping[str, float], layout: Layout, rllib: RllibSettings) -> dict[str, Any]:
    """A prediction with what it adds up to, and what it is that takes longest."""
    seconds = predict(parts, layout, rllib)
    whole = sum(seconds.values())
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "iteration_s": round(whole, 4),
        "steps_per_s": round(rllib.train_batch_size * layout.times / whole),
        "limit": max(seconds, key=lambda name: seconds[name]),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    names = list(next(iter(report["arms"].values()))["seconds"])
    lines = [
        "# What an iteration of training is made of",
        "",
        f"`make bench-scaling` writes this file: medians of {report['rounds']} rounds on "
        f"{report['machine']['cores']} cores ({report['machine']['cpu']}). Parts in milliseconds; the first "
        "four rows were also measured, the others are only what the model says.",
        "",
        f"| | {' | '.join(names)} | whole | measured | steps/s | limit |",
        f"| --- | {'---: | ' * (len(names) + 3)}--- |",
    ]
    for name, row in {**report["arms"], **report["larger"]}.items():
        cells = [f"{row['seconds'][part] * 1000:,.0f}" for part in names]
        measured = f"{row['measured_s'] * 1000:,.0f}" if "measured_s" in row else ""
        lines.append(
            f"| {name} | {' | '.join(cells)} | {row['iteration_s'] * 1000:,.0f} | {measured} "
            f"| {row['steps_per_s']:,} | {row['limit']} |"
        )
    return "\n".join(lines) + "\n"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure, predict, and write the results."""
    console = Console(highlight=False)
    settings = ducklane_settings.load()
    torch.set_num_threads(1)
    with two_nodes(settings):
        parts, iterations = measure(settings, rounds, console)
    report = {
        "arms": {
            name: {
                **described(parts, layout, settings.rllib),
                "measured_s": round(iterations[name], 4),
            }
            for name, layout in ARMS.items()
        },
        "larger": {name: described(parts, layout, settings.rllib) for name, layout in LARGER.items()},
        "parts": {name: float(f"{value:.4g}") for name, value in parts.items()},
        "assumed": {"gpu_update_s": GPU_UPDATE_S},
        "rounds": rounds,
        "machine": machine("torch", "ray"),
    }
    write_report(output, "scaling", report, table(report))
    console.print(f"{output / 'scaling.md'}")


if __name__ == "__main__":
    typer.run(main)
