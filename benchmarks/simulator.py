"""How fast the two simulators are, side by side, and how close their pictures.

`make bench-simulator` writes benchmarks/results/simulator.json, simulator.md and parity_worst.png. All arms
run in turn in every round, so that whatever else the machine does falls on all of them; the figures are
medians over the rounds, and ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import imageio.v3 as imageio
import numpy as np
import typer
from numpy.typing import NDArray
from reports import machine, median_ratio, write_report
from rich.console import Console
from rich.table import Table

from ducklane import settings as ducklane_settings
from ducklane.environment import TaskVectorEnv, image_blocks
from ducklane.evaluation.parity import MAPS, SAME_DB, Compared, compare, side_by_side
from ducklane.kernel import kernel
from ducklane.project.outputs import replacing
from ducklane.settings import ObservationSettings, Settings, SimulatorSettings, TaskSettings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.camera import ground, render
from ducklane.simulator.camera.sampling import GROUPS, SAMPLES
from ducklane.simulator.stepping import World
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.town.road import TILE_TEXELS
from ducklane.simulator.world import robots
from ducklane.task.observation import FrameTransform

RESULTS = Path(__file__).parent / "results"
STOCK, STOCK_FASTEST = "stock 640x480", "stock 84x84"
STOCK_SHARE = 2
"""How many times as long stock arms run: they make few steps a second."""
ROBOTS = 64
"""Of the arms that are compared with one another, and of the breakdown."""
TASK = f"task default loop_empty N={ROBOTS} threads=2"
SIZES = {"40x40": (40, 40), "160x120": (160, 120), "320x240": (320, 240)}
"""(width, height) of images, beside the two that all arms have."""

SPREAD_STEPS = 100
"""Driven before the time is taken: robots that have all just started end no episode for a while."""

Step = Callable[[], int]
"""Make one step of all robots; gives how many steps that is, without those that only began an episode."""


@dataclass(frozen=True)
class Arm:
    """One thing to be timed."""

    name: str
    make: Callable[[int], AbstractContextManager[Step]]
    """from a seed"""


def image_of(width: int, height: int) -> ObservationSettings:
    """The whole frame, averaged to that many pixels, in colour."""
    return ObservationSettings(
        crop_top=0, crop_bottom=0, width=width, height=height, color="rgb", frame_stack=1
    )


@contextmanager
def stock(world: SimulatorSettings, observation: ObservationSettings | None, seed: int) -> Iterator[Step]:
    """gym-duckietown, one robot, its frame averaged to the observation, or left as it is."""
    simulator = StockSimulator(world)
    transform = observation and FrameTransform(observation, world.camera_height, world.camera_width)
    commands = forward_commands(1, seed)

    def see(frame: NDArray[np.uint8]) -> None:
        if transform:
            transform(frame)

    def step() -> int:
        frame, _, terminated, truncated, _ = simulator.step(next(commands)[0])
        see(frame)
        if terminated or truncated:
            see(simulator.reset()[0])
        return 1

    simulator.reset(seed=seed)
    _spread(simulator, step)
    yield step
    simulator.close()


@contextmanager
def batched(
    world: SimulatorSettings, observation: ObservationSettings, n: int, threads: int, seed: int
) -> Iterator[Step]:
    """The batched simulator alone, which draws frames of the observation's size, in colour."""
    simulator = BatchedSimulator(world, n, image_blocks(observation, world), threads)
    yield from _vector_steps(simulator, simulator, seed)


@contextmanager
def task(settings: TaskSettings, n: int, threads: int, seed: int) -> Iterator[Step]:
    """The task: the settings' observation, gray and stacked, action and reward."""
    env = TaskVectorEnv(settings, n, threads)
    yield from _vector_steps(env, env.simulator, seed)


def _vector_steps(
    env: TaskVectorEnv | BatchedSimulator, simulator: BatchedSimulator, seed: int
) -> Iterator[Step]:
    n, beginning = env.num_envs, 0
    commands = forward_commands(n, seed)

    def step() -> int:
        nonlocal beginning
        _, _, terminated, truncated, _ = env.step(next(commands))
        stepped = n - beginning
        # in the next step they begin an episode, which takes time and is no step
        beginning = int(np.count_nonzero(terminated | truncated))
        return stepped

    env.reset(seed=seed)
    _spread(simulator, step)
    yield step
    env.close()


def _spread(simulator: StockSimulator | BatchedSimulator, step: Step) -> None:
    simulator.camera_on = False
    for _ in range(SPREAD_STEPS):
        step()
    simulator.camera_on = True


def forward_commands(n: int, seed: int) -> Iterator[NDArray[Any]]:
    """Random driving of n robots, (n, 2) wheel duty, mostly forward; the same distribution in each arm."""
    rng = np.random.default_rng(seed)
    drawn = np.clip(rng.normal(0.4, 0.3, (256, n, 2)), -1, 1)
    while True:
        yield from drawn


def arms(settings: Settings, quick: bool) -> list[Arm]:
    """All that the table compares, or only what the headline needs."""
    world = _plain(settings, "loop_empty")
    small = world.model_copy(update={"camera_width": 84, "camera_height": 84, "distortion": False})
    return [
        Arm(STOCK, partial(stock, world, image_of(84, 84))),
        Arm(STOCK_FASTEST, partial(stock, small, None)),
        *(_headline_arms(settings) if quick else _all_batched_arms(settings)),
    ]


def _plain(settings: Settings, map_name: str) -> SimulatorSettings:
    fixed = {"domain_rand": False, "dynamics_rand": False, "camera_rand": False}
    return settings.simulator.model_copy(update={**fixed, "map_name": map_name})


def _worlds(settings: Settings) -> dict[str, SimulatorSettings]:
    empty = _plain(settings, "loop_empty")
    return {
        "loop_empty": empty,
        "loop_obstacles": _plain(settings, "loop_obstacles"),
        "domain_rand": empty.model_copy(update={"domain_rand": True}),
    }


def _headline_arms(settings: Settings) -> list[Arm]:
    bare = [
        _batched_arm("84x84", place, world, image_of(84, 84), ROBOTS, 2)
        for place, world in _worlds(settings).items()
    ]
    empty = _plain(settings, "loop_empty")
    default = _batched_arm("default", "loop_empty", empty, settings.observation, ROBOTS, 2)
    return [*bare, default, *_other_headline_arms(settings)]


def _other_headline_arms(settings: Settings) -> list[Arm]:
    """Those of the headline that are not combinations of an image, a place, robots and threads."""
    crowded, empty = _plain(settings, "udem1"), _plain(settings, "loop_empty")
    # the wheels themselves are the action, so that robots drive as in the other arms
    driven = {"simulator": empty, "action": settings.action.model_copy(update={"type": "wheels"})}
    return [
        _batched_arm("84x84", "udem1", crowded, image_of(84, 84), ROBOTS, 2),
        Arm(TASK, partial(task, settings.model_copy(update=driven), ROBOTS, 2)),
    ]


def _all_batched_arms(settings: Settings) -> list[Arm]:
    images = {
        "84x84": image_of(84, 84),
        "default": settings.observation.model_copy(update={"frame_stack": 1}),
    }
    found = [
        _batched_arm(image, place, world, observation, n, threads)
        for image, observation in images.items()
        for place, world in _worlds(settings).items()
        for n in (1, 16, 64, 256)
        for threads in (1, 2)
        if threads <= n
    ]
    for image, (width, height) in SIZES.items():
        world = _plain(settings, "loop_empty")
        found.append(_batched_arm(image, "loop_empty", world, image_of(width, height), ROBOTS, 1))
    found.append(_batched_arm("84x84", "udem1", _plain(settings, "udem1"), image_of(84, 84), ROBOTS, 1))
    return [*found, *_other_headline_arms(settings)]


def _batched_arm(
    image: str, place: str, world: SimulatorSettings, observation: ObservationSettings, n: int, threads: int
) -> Arm:
    return Arm(_batched_name(image, place, n, threads), partial(batched, world, observation, n, threads))


def _batched_name(image: str, place: str, n: int, threads: int) -> str:
    return f"batched {image} {place} N={n} threads={threads}"


def timed(step: Step, seconds: float) -> float:
    """Steps per second over about that long."""
    step()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        count += step()
    return count / elapsed


def speeds(all_arms: list[Arm], rounds: int, seconds: float, console: Console) -> dict[str, list[float]]:
    """Steps per second of each arm in each round."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        shift = number * len(all_arms) // rounds
        for arm in all_arms[shift:] + all_arms[:shift]:
            budget = STOCK_SHARE * seconds if arm.name.startswith("stock") else seconds
            # made anew for each turn: those with many robots are too large to keep them all
            with arm.make(number) as step:
                found[arm.name].append(timed(step, budget))
            console.print(f"{number + 1}/{rounds}  {arm.name:48} {found[arm.name][-1]:>10,.0f} steps/s")
    return {arm.name: found[arm.name] for arm in all_arms}


def ratio(found: dict[str, list[float]], one: str, other: str) -> float:
    """Median over the rounds of how many times as fast `one` is as `other`."""
    return median_ratio(found[one], found[other])


def pictures(settings: Settings, maps: list[str], poses: int) -> tuple[dict[str, Any], list[Compared]]:
    """Parity of both observations, by map, and the 8 pairs of 84x84 that differ most."""
    tables: dict[str, Any] = {}
    worst: list[Compared] = []
    default = settings.observation.model_copy(update={"frame_stack": 1})
    for image, observation in (("84x84", image_of(84, 84)), ("default", default)):
        pairs = list(compare(settings.simulator, observation, maps, poses))
        by_map = {name: [pair for pair in pairs if pair.map_name == name] for name in maps}
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
sys.path.insert(0, sys.argv[1])
from simulator import image_of
import numpy as np
from ducklane import settings
from ducklane.environment import image_blocks
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.scenes import load_scene
world = settings.load(Path(sys.argv[2])).simulator.model_copy(update={"map_name": "loop_empty"})
load_scene(("loop_empty",))
start = time.perf_counter()
simulator = BatchedSimulator(world, 256, image_blocks(image_of(84, 84), world), 2)
simulator.reset(seed=0)
simulator.step(np.zeros((256, 2)))
seconds = time.perf_counter() - start
for _ in range(5):
    simulator.step(np.zeros((256, 2)))
# not getrusage: that begins with the memory of the process that forked this one
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({"seconds": seconds, "mb": int(peak[1]) * 1024 / 1e6}))
"""


def starts() -> dict[str, float]:
    """Seconds to make a simulator, reset and step, compiled anew and from the cache; and memory, N = 256."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        # the first also fills the cache for the second
        cold, cached = _start(environment), _start(environment)
    return {
        "compile_cold_s": round(cold["seconds"], 1),
        "compile_cached_s": round(cached["seconds"], 2),
        "memory_cold_mb": round(cold["mb"]),
        "memory_mb": round(cached["mb"]),
    }


def _start(environment: dict[str, str]) -> dict[str, float]:
    arguments = [str(Path(__file__).parent), str(ducklane_settings.PARAMS_FILE)]
    done = subprocess.run(
        [sys.executable, "-c", _START, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


FIND, READ, SHADE = range(3)
"""Stages of drawing the ground; each is timed with those before it."""
REPEATS = 25


@kernel
def _ground_stages(world: World, last: int) -> None:
    """The first stages of draw_ground, for all robots."""
    cameras, places = world.cameras, world.robots
    chunk, rays, road, lamp = cameras.chunk, cameras.rays, world.scene.road, cameras.conditions
    for i in range(places.x.shape[0]):
        m, x, z, angle, first, begin = places.map_index[i], places.x[i], places.z[i], places.angle[i], 0, 0
        for group in range(GROUPS):
            level, count = group // len(SAMPLES), SAMPLES[group % len(SAMPLES)]
            side, end = TILE_TEXELS >> level, rays.group_end[0, group]
            gaze, in_group = ground._gaze(x, z, angle, side, side / road.tile_size[m]), end - first
            for start in range(first, end, ground.CHUNK):
                size = min(ground.CHUNK, end - start)
                for n in range(count):
                    at = begin + n * in_group + start - first
                    ahead, right = rays.ahead[0, at : at + size], rays.right[0, at : at + size]
                    ground._find(road, m, level, gaze, ahead, right, n * size, chunk, 0)
                if last >= READ:
                    ground._add(road, m, level, count, size, chunk, 0)
                if last >= SHADE:
                    sky, light = rays.sky[0, start : start + size], cameras.lit[i, start : start + size]
                    ground._shade(count, sky, light, chunk.sums[0], lamp, i, chunk.colors[0])
            begin, first = begin + count * in_group, end


@kernel
def _grounds(world: World) -> None:
    cameras, places = world.cameras, world.robots
    rays, road, lamp, chunk = cameras.rays, world.scene.road, cameras.conditions, cameras.chunk
    for i in range(places.x.shape[0]):
        m, x, z, angle, lit = places.map_index[i], places.x[i], places.z[i], places.angle[i], cameras.lit[i]
        ground.draw_ground(road, m, rays, 0, x, z, angle, lit, lamp, i, chunk, 0)


@kernel
def _frames(world: World, image: NDArray[np.uint8]) -> None:
    for i in range(world.robots.x.shape[0]):
        render.draw_frame(world.scene, world.robots, world.things, world.cameras, i, 0, image)


@kernel
def _drive(world: World, commands: NDArray[np.float64]) -> None:
    for i in range(world.robots.x.shape[0]):
        left, right = commands[i, 0], commands[i, 1]
        robots.step_robot(world.scene.layout, world.things, world.robots, i, left, right)


def parts(world: SimulatorSettings, observation: ObservationSettings) -> dict[str, float]:
    """Microseconds for each part of a frame, one thread; and a copy of the frame as the floor.

    The camera must be the same for all robots: no domain_rand and no camera_rand.
    """
    looking, driving, stepping = (
        BatchedSimulator(world, ROBOTS, image_blocks(observation, world), threads=1) for _ in range(3)
    )
    for simulator in (looking, driving, stepping):
        simulator.reset(seed=0)
    height, width, _ = looking.image_shape
    image = np.zeros((height * width, 3), np.uint8)
    frames = np.zeros((ROBOTS, height, width, 3), np.uint8)
    copied = np.ones_like(frames)
    commands = forward_commands(ROBOTS, 0)
    least = _least_microseconds({
        "find": lambda: _ground_stages(looking._world, FIND),
        "read": lambda: _ground_stages(looking._world, READ),
        "shade": lambda: _ground_stages(looking._world, SHADE),
        "ground": lambda: _grounds(looking._world),
        "frame": lambda: _frames(looking._world, image),
        "drive": lambda: _drive(driving._world, next(commands)),
        "copy": lambda: np.copyto(copied, frames),
        "step": lambda: stepping.step(next(commands)),
    })  # fmt: skip
    found = {
        "finding texels": least["find"],
        "reading them": least["read"] - least["find"],
        "light, colours": least["shade"] - least["read"],
        "putting pixels into place, sky": least["ground"] - least["shade"],
        "objects, writing": least["frame"] - least["ground"],
        "physics, lane, collisions": least["drive"],
    }
    found["the rest"] = least["step"] - sum(found.values())
    found["a step in all"] = least["step"]
    found["floor: a copy of the frame"] = least["copy"]
    for simulator in (looking, driving, stepping):
        simulator.close()
    return {name: round(value, 2) for name, value in found.items()}


def _least_microseconds(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The least time of each, a robot, taken in turn: whatever else the machine does only adds to it."""
    least = dict.fromkeys(works, float("inf"))
    for repeat in range(REPEATS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if repeat > 0:  # the first compiles
                least[name] = min(least[name], (time.perf_counter() - start) / ROBOTS * 1e6)
    return least


def where_time_goes(settings: Settings, quick: bool) -> dict[str, dict[str, float]]:
    """Microseconds for each part of a frame, by image and map; the first alone if quick."""
    chosen = [("84x84", (84, 84), "loop_empty")]
    if not quick:
        chosen += [(image, size, "loop_empty") for image, size in SIZES.items()]
        chosen += [("84x84", (84, 84), place) for place in ("loop_obstacles", "udem1")]
    return {
        f"{image} {place}": parts(_plain(settings, place), image_of(*size)) for image, size, place in chosen
    }


def growth(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Microseconds a step of one robot, one thread, over robots, pixels and objects; empty where not run."""
    named = {
        "robots": {str(n): _batched_name("84x84", "loop_empty", n, 1) for n in (1, 16, 64, 256)},
        "pixels": {
            image: _batched_name(image, "loop_empty", ROBOTS, 1) for image in ("40x40", "84x84", *SIZES)
        },
        "objects": {
            place: _batched_name("84x84", place, ROBOTS, 1)
            for place in ("loop_empty", "loop_obstacles", "udem1")
        },
    }
    return {
        over: {
            key: round(1e6 / statistics.median(found[name]), 1) for key, name in of.items() if name in found
        }
        for over, of in named.items()
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
        f"| time on udem1 / loop_empty | {head['udem1_cost']:.2f} | at most 3 |",
        f"| time with domain_rand / without | {head['domain_rand_cost']:.2f} | at most 1.3 |",
        f"| time of the task, gray and stacked / bare frames of its size | "
        f"{head['default_observation_cost']:.2f} | at most 1.1 |",
        f"| pictures: mean PSNR, 84x84 | {head['psnr_mean_db']:.1f} dB | must 36, goal 40 |",
        f"| pictures: worst PSNR, 84x84 | {head['psnr_worst_db']:.1f} dB | at least 28 |",
        f"| pictures: mean SSIM, 84x84 | {head['ssim_mean']:.3f} | at least 0.97 |",
    ]
    for name, value in report["start"].items():
        lines.append(f"| {name} | {value:g} | {_WANTED[name]} |")
    lines += ["", "| arm | steps/s | quartiles |", "| --- | ---: | ---: |"]
    for name, speed in report["steps_per_s"].items():
        low, high = speed["quartiles"]
        lines.append(f"| {name} | {speed['median']:,.0f} | {low:,.0f} to {high:,.0f} |")
    lines += _by_column("µs a frame, 64 robots, one thread", report["us_per_frame"], 1)
    for over, row in report["growth"].items():
        if row:
            lines += _by_column(f"growth with {over}, one thread", {"µs a step": row}, 1)
    for image, by_map in report["parity"].items():
        lines += ["", f"| pictures, {image} | poses | mean dB | worst dB | mean SSIM |"]
        lines += ["| --- | ---: | ---: | ---: | ---: |"]
        for name, row in by_map.items():
            lines.append(
                f"| {name} | {row['poses']} | {row['psnr_mean_db']} | {row['psnr_worst_db']} | "
                f"{row['ssim_mean']} |"
            )
    return "\n".join(lines) + "\n"


def _by_column(title: str, columns: dict[str, dict[str, float]], digits: int) -> list[str]:
    rows = next(iter(columns.values()))
    return [
        "",
        f"| {title} | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
        *(
            f"| {row} | {' | '.join(f'{column[row]:.{digits}f}' for column in columns.values())} |"
            for row in rows
        ),
    ]


_WANTED = {
    "compile_cold_s": "under 30 s",
    "compile_cached_s": "under 3 s",
    "memory_cold_mb": "",
    "memory_mb": "under 1000 MB with 256 robots",
}


def headline(found: dict[str, list[float]], parity: dict[str, Any]) -> dict[str, float]:
    """The figures that have targets."""
    ours, objects, varied, crowded = (
        _batched_name("84x84", place, ROBOTS, 2)
        for place in ("loop_empty", "loop_obstacles", "domain_rand", "udem1")
    )
    bare = _batched_name("default", "loop_empty", ROBOTS, 2)
    return {
        "ratio_vs_stock": round(ratio(found, ours, STOCK), 1),
        "ratio_vs_stock_fastest": round(ratio(found, ours, STOCK_FASTEST), 1),
        "objects_cost": round(ratio(found, ours, objects), 3),
        "udem1_cost": round(ratio(found, ours, crowded), 3),
        "domain_rand_cost": round(ratio(found, ours, varied), 3),
        "default_observation_cost": round(ratio(found, bare, TASK), 3),
        **{key: parity["84x84"]["all"][key] for key in ("psnr_mean_db", "psnr_worst_db", "ssim_mean")},
    }


def _summary(values: list[float]) -> dict[str, Any]:
    low, middle, high = (round(float(value), 1) for value in np.percentile(values, [25, 50, 75]))
    return {"median": middle, "quartiles": [low, high], "rounds": [round(value, 1) for value in values]}


def _print(report: dict[str, Any], console: Console) -> None:
    shown = Table(width=min(80, console.width))
    shown.add_column("arm")
    shown.add_column("steps/s", justify="right")
    shown.add_column("quartiles", justify="right")
    for name, speed in report["steps_per_s"].items():
        low, high = speed["quartiles"]
        shown.add_row(name, f"{speed['median']:,.0f}", f"{low:,.0f} to {high:,.0f}")
    console.print(shown)
    for name, value in {**report["headline"], **report["start"]}.items():
        console.print(f"{name:24} {value:>10}")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each arm runs.")] = 5,
    seconds: Annotated[
        float, typer.Option(help="For each arm and round; stock arms take twice as long.")
    ] = 1,
    poses: Annotated[int, typer.Option(min=2, help="On each map, for the pictures.")] = 24,
    maps: Annotated[list[str], typer.Option("--map", help="For the pictures; may be repeated.")] = list(MAPS),  # noqa: B006 - typer's
    quick: Annotated[bool, typer.Option(help="Only the arms of the headline.")] = False,
    first_calls: Annotated[bool, typer.Option(help="Also measure compilation and memory.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure, and write the results."""
    console = Console(highlight=False)
    settings = ducklane_settings.load(ducklane_settings.PARAMS_FILE)
    found = speeds(arms(settings, quick), rounds, seconds, console)
    console.print("comparing pictures")
    parity, worst = pictures(settings, maps, poses)
    console.print("parts of a frame, first calls")
    report = {
        "headline": headline(found, parity),
        "start": starts() if first_calls else {},
        "steps_per_s": {name: _summary(values) for name, values in found.items()},
        "us_per_frame": where_time_goes(settings, quick),
        "growth": growth(found),
        "parity": parity,
        "rounds": rounds,
        "machine": machine("numpy", "numba"),
    }
    write_report(output, "simulator", report, table(report))
    with replacing(output / "parity_worst.png") as draft:
        imageio.imwrite(draft, side_by_side(worst))
    _print(report, console)


if __name__ == "__main__":
    typer.run(main)
