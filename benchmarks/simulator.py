"""How fast the two simulators are, side by side, and how close their pictures.

`make bench-simulator` writes benchmarks/results/simulator.json, simulator.md and parity_worst.png. All arms
run in turn in every round, so that whatever else the machine does falls on all of them; the figures are
medians over the rounds, and ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import imageio.v3 as imageio
import numpy as np
import typer
from rich.console import Console

from ducklane import settings as ducklane_settings
from ducklane.environment import image_blocks
from ducklane.evaluation.parity import MAPS, Compared, compare, side_by_side
from ducklane.outputs import replacing, write_json
from ducklane.settings import ObservationSettings, Settings, SimulatorSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.reference import ReferenceSimulator
from ducklane.task.observation import FrameTransform

RESULTS = Path(__file__).parent / "results"
STOCK, STOCK_FASTEST = "stock 640x480", "stock 84x84"
MUST = "batched 84x84 loop_empty N=64 threads=2"
SAME_DB = 60.0
"""Stands for equal pictures in a mean."""

Step = Callable[[], int]
"""Make one step of all robots; gives how many steps that is."""


@dataclass(frozen=True)
class Arm:
    """One thing to be timed."""

    name: str
    make: Callable[[], Step]


def square(side: int) -> ObservationSettings:
    """The whole frame, averaged to side x side pixels, in colour."""
    return ObservationSettings(crop_top=0, crop_bottom=0, width=side, height=side, color="rgb", frame_stack=1)


def stock(world: SimulatorSettings, observation: ObservationSettings) -> Step:
    """gym-duckietown, one robot, its frame averaged to the observation."""
    simulator = ReferenceSimulator(world)
    transform = FrameTransform(observation, world.camera_height, world.camera_width)
    commands = forward_commands(1)
    simulator.reset(seed=0)

    def step() -> int:
        frame, _, terminated, truncated, _ = simulator.step(next(commands)[0])
        transform(frame)
        if terminated or truncated:
            simulator.reset()
        return 1

    return step


def batched(world: SimulatorSettings, observation: ObservationSettings, n: int, threads: int) -> Step:
    """The batched simulator, which draws the observation itself."""
    simulator = BatchedSimulator(world, n, image_blocks(observation, world), threads)
    commands = forward_commands(n)
    simulator.reset(seed=0)

    def step() -> int:
        simulator.step(next(commands))
        return n

    return step


def forward_commands(n: int) -> Iterator[np.ndarray]:
    """Random driving of n robots, mostly forward, the same for each arm."""
    rng = np.random.default_rng(0)
    drawn = np.clip(rng.normal(0.4, 0.3, (256, n, 2)), -1, 1)
    while True:
        yield from drawn


def arms(settings: Settings, quick: bool) -> list[Arm]:
    """All that the table compares."""
    camera = {"map_name": "loop_empty", "domain_rand": False, "dynamics_rand": False, "camera_rand": False}
    world = settings.simulator.model_copy(update=camera)
    small = world.model_copy(update={"camera_width": 84, "camera_height": 84, "distortion": False})
    images = {"84x84": square(84), "default": settings.observation.model_copy(update={"frame_stack": 1})}
    worlds = {
        "loop_empty": world,
        "loop_obstacles": world.model_copy(update={"map_name": "loop_obstacles"}),
        "domain_rand": world.model_copy(update={"domain_rand": True}),
    }
    found = [
        Arm(STOCK, lambda: stock(world, square(84))),
        Arm(STOCK_FASTEST, lambda: stock(small, square(84))),
    ]
    for image, observation in images.items():
        for place, chosen in worlds.items():
            for n in (1, 16, 64, 256):
                for threads in (1, 2):
                    if threads <= n and (not quick or (n == 64 and threads == 2 and image == "84x84")):
                        name = f"batched {image} {place} N={n} threads={threads}"
                        found.append(_batched_arm(name, chosen, observation, n, threads))
    if not quick:
        for side in (42, 160, 320):
            name = f"batched {side}x{side} loop_empty N=64 threads=2"
            found.append(_batched_arm(name, world, square(side), 64, 2))
    return found


def _batched_arm(
    name: str, world: SimulatorSettings, observation: ObservationSettings, n: int, threads: int
) -> Arm:
    return Arm(name, lambda: batched(world, observation, n, threads))


def timed(step: Step, seconds: float) -> float:
    """Steps per second over about that long."""
    step()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        count += step()
    return count / elapsed


def speeds(all_arms: list[Arm], rounds: int, seconds: float, console: Console) -> dict[str, list[float]]:
    """Steps per second of each arm in each round."""
    ready = {arm.name: arm.make() for arm in all_arms}
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        turned = all_arms[number % len(all_arms) :] + all_arms[: number % len(all_arms)]
        for arm in turned:
            budget = 3 * seconds if arm.name.startswith("stock") else seconds
            found[arm.name].append(timed(ready[arm.name], budget))
        console.print(f"round {number + 1}/{rounds} done")
    return found


def ratio(found: dict[str, list[float]], one: str, other: str) -> float:
    """Median over the rounds of how many times as fast `one` is as `other`."""
    return statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))


def pictures(settings: Settings, poses: int) -> tuple[dict[str, Any], list[Compared]]:
    """Parity of both observations, by map, and the 8 pairs of 84x84 that differ most."""
    tables: dict[str, Any] = {}
    worst: list[Compared] = []
    default = settings.observation.model_copy(update={"frame_stack": 1})
    for image, observation in (("84x84", square(84)), ("default", default)):
        pairs = list(compare(settings.simulator, observation, MAPS, poses))
        by_map = {name: [pair for pair in pairs if pair.map_name == name] for name in MAPS}
        tables[image] = {name: _parity(of_map) for name, of_map in by_map.items()} | {"all": _parity(pairs)}
        if image == "84x84":
            worst = sorted(pairs, key=lambda pair: pair.psnr_db)[:8]
    return tables, worst


def _parity(pairs: list[Compared]) -> dict[str, float]:
    psnr = [min(SAME_DB, pair.psnr_db) for pair in pairs]
    ssim = [pair.ssim for pair in pairs]
    return {
        "poses": len(pairs),
        "psnr_mean_db": round(statistics.mean(psnr), 2),
        "psnr_worst_db": round(min(psnr), 2),
        "ssim_mean": round(statistics.mean(ssim), 4),
    }


_START = r"""
import json, re, sys, time
from pathlib import Path
sys.path.insert(0, "benchmarks")
from simulator import square
from ducklane.environment import image_blocks
import numpy as np
from ducklane import settings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.scene import load_scene
world = settings.load(Path("params.yaml")).simulator.model_copy(update={"map_name": "loop_empty"})
load_scene(("loop_empty",))
simulator = BatchedSimulator(world, 256, image_blocks(square(84), world), 2)
start = time.perf_counter()
simulator.reset(seed=0)
simulator.step(np.zeros((256, 2)))
seconds = time.perf_counter() - start
for _ in range(5):
    simulator.step(np.zeros((256, 2)))
# not getrusage: that begins with the memory of the process that forked this one
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({"seconds": seconds, "mb": int(peak[1]) / 1000}))
"""


def starts() -> dict[str, float]:
    """Seconds of the first reset and step, compiled anew and from the cache; and memory, N = 256."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        cold, warm = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", _START],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for _ in range(2)
        )
    return {
        "compile_cold_s": round(cold["seconds"], 1),
        "compile_cached_s": round(warm["seconds"], 2),
        "memory_mb": round(warm["mb"]),
    }


def where_time_goes(settings: Settings) -> dict[str, float]:
    """Microseconds a frame of 84 x 84 on loop_empty, one thread, by part; and the floor."""
    import breakdown

    world = settings.simulator.model_copy(update={"map_name": "loop_empty", "domain_rand": False})
    return breakdown.parts(world, image_blocks(square(84), world))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "numba": importlib.metadata.version("numba"),
        "git_commit": commit.stdout.strip(),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    head = report["headline"]
    lines = [
        "# The two simulators, measured",
        "",
        "`make bench-simulator` writes this file. Steps of physics, reward, end and observation under random",
        f"driving; medians over {report['rounds']} rounds, all arms in turn, on {report['machine']['cpu']}, "
        f"{report['machine']['cores']} cores.",
        "",
        "| figure | value | wanted |",
        "| --- | ---: | --- |",
        f"| batched, 84x84, loop_empty, 64 robots, 2 threads / stock as users run it | "
        f"{head['ratio_vs_stock']:.0f}x | must 300x, goal 1000x |",
        f"| the same / stock at its fastest | {head['ratio_vs_stock_fastest']:.0f}x | |",
        f"| time on loop_obstacles / loop_empty | {head['objects_cost']:.2f} | at most 2 |",
        f"| time with domain_rand / without | {head['domain_rand_cost']:.2f} | at most 1.3 |",
        f"| pictures: mean PSNR, 84x84 | {head['psnr_mean_db']:.1f} dB | must 36, goal 40 |",
        f"| pictures: worst PSNR, 84x84 | {head['psnr_worst_db']:.1f} dB | at least 28 |",
        f"| pictures: mean SSIM, 84x84 | {head['ssim_mean']:.3f} | at least 0.97 |",
    ]
    for name, value in report["start"].items():
        lines.append(f"| {name} | {value:g} | {_WANTED[name]} |")
    lines += ["", "| arm | steps/s | quartiles |", "| --- | ---: | ---: |"]
    for name, values in report["steps_per_s"].items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        lines.append(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} |")
    lines += ["", "| part of a frame, 84x84, loop_empty, one thread | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.1f} |" for name, value in report["us_per_frame"].items()]
    for image, by_map in report["parity"].items():
        lines += ["", f"| pictures, {image} | poses | mean dB | worst dB | mean SSIM |"]
        lines += ["| --- | ---: | ---: | ---: | ---: |"]
        for name, row in by_map.items():
            lines.append(
                f"| {name} | {row['poses']} | {row['psnr_mean_db']} | {row['psnr_worst_db']} | "
                f"{row['ssim_mean']} |"
            )
    return "\n".join(lines) + "\n"


_WANTED = {
    "compile_cold_s": "under 30 s",
    "compile_cached_s": "under 3 s",
    "memory_mb": "under 1000 MB with 256 robots",
}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each arm runs.")] = 5,
    seconds: Annotated[
        float, typer.Option(help="For each arm and round; stock arms take three times as long.")
    ] = 0.7,
    poses: Annotated[int, typer.Option(min=1, help="On each map, for the pictures.")] = 24,
    quick: Annotated[bool, typer.Option(help="Only the arms of the headline.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure, and write the results."""
    console = Console()
    settings = ducklane_settings.load(ducklane_settings.PARAMS_FILE)
    found = speeds(arms(settings, quick), rounds, seconds, console)
    console.print("comparing pictures")
    parity, worst = pictures(settings, poses)
    console.print("first calls and parts")
    batched_name = MUST.replace("loop_empty", "{}")
    report = {
        "headline": {
            "ratio_vs_stock": round(ratio(found, MUST, STOCK), 1),
            "ratio_vs_stock_fastest": round(ratio(found, MUST, STOCK_FASTEST), 1),
            "objects_cost": round(ratio(found, MUST, batched_name.format("loop_obstacles")), 3),
            "domain_rand_cost": round(ratio(found, MUST, batched_name.format("domain_rand")), 3),
            **{key: parity["84x84"]["all"][key] for key in ("psnr_mean_db", "psnr_worst_db", "ssim_mean")},
        },
        "start": starts(),
        "steps_per_s": {name: [round(value, 1) for value in values] for name, values in found.items()},
        "us_per_frame": where_time_goes(settings),
        "parity": parity,
        "rounds": rounds,
        "machine": machine(),
    }
    write_json(output / "simulator.json", report)
    with replacing(output / "simulator.md") as draft:
        draft.write_text(table(report))
    with replacing(output / "parity_worst.png") as draft:
        imageio.imwrite(draft, side_by_side(worst))
    for name, value in report["headline"].items():
        console.print(f"{name:24} {value:>10}")


if __name__ == "__main__":
    typer.run(main)
