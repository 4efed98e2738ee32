"""The batched simulator's states against the stock simulator, stepped side by side."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ducklane.simulator.interface import State
from ducklane.simulator.scenes import load_scene
from ducklane.simulator.stock.simulator import StockSimulator
from ducklane.simulator.stock_reward import stock_reward
from ducklane.simulator.town.maps import drivable_map_names, read_map
from ducklane.simulator.world.draws import integers
from ducklane.simulator.world.obstacles import valid_pose
from ducklane.simulator.world.robots import (
    new_robots,
    start_robot,
    start_robot_anywhere,
    start_world,
    step_robot,
)
from ducklane.simulator.world.things import new_things

STEPS = int(os.environ.get("DUCKLANE_PARITY_STEPS", "150"))
"""On each map; 1000 for a thorough run."""

EPISODE = 120
TOLERANCE = 1e-9
FLIPS_PER_STEP = 1e-3
"""Where two ends of a lane's piece are equally far up to rounding, either may count as the nearer."""

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_MAPS = sorted({path.stem[:-2] for path in GOLDEN.glob("*.npz")})
assert len(GOLDEN_MAPS) == 6

DRAWN = {
    "velocity": ("vel", "velocity"),
    "wait": ("pedestrian_wait_time",),
    "wiggle": ("wiggle",),
    "pattern": ("pattern",),
    "frequency": ("freq",),
    "follow_distance": ("follow_dist",),
    "gain": ("gain",),
    "trim": ("trim",),
    "wheel_radius": ("radius",),
    "wheel_distance": ("wheel_dist",),
    "width": ("robot_width",),
    "length": ("robot_length",),
}
"""What the stock simulator draws, or may draw, for its objects: our name for it and theirs."""


class Twins:
    """The stock simulator and a robot of the batched one, on the same map."""

    def __init__(self, stock: StockSimulator) -> None:
        self.stock = stock
        self.upstream = stock._upstream
        stock.camera_on = False
        settings = stock.settings
        self.layout = load_scene(settings.map_names).layout
        self.things = new_things(1, self.layout)
        self.robots = new_robots(
            [0],
            seed=settings.seed,
            max_steps=settings.max_steps,
            max_start_angle_deg=settings.accept_start_angle_deg,
            domain_rand=settings.domain_rand,
        )
        start_world(self.layout, self.things, self.robots, 0)
        for k in range(len(self.upstream.objects)):
            self.copy_draws(k)

    def copy_draws(self, k: int) -> None:
        """Give our object the numbers that theirs has drawn."""
        thing = self.upstream.objects[k]
        for ours, theirs in DRAWN.items():
            for name in theirs:
                if hasattr(thing, name):
                    getattr(self.things, ours)[0, k] = np.asarray(getattr(thing, name)).item()

    def reset(self, pose) -> None:
        self.stock.reset(options={"pose": pose})
        start_robot(self.layout, self.things, self.robots, 0, *pose)

    def step(self, action) -> tuple[float, bool, bool]:
        _, paid, terminated, truncated, _ = self.stock.step(action)
        step_robot(self.layout, self.things, self.robots, 0, *map(float, action))
        return paid, terminated, truncated

    def valid(self, pose, safety_factor: float = 1.0) -> tuple[bool, bool]:
        """Our answer and theirs."""
        ours = valid_pose(self.layout, self.things, 0, 0, *pose, safety_factor)
        return ours, self.stock.valid_pose(*pose, safety_factor)

    @property
    def ours(self) -> State:
        return State(*(getattr(self.robots, name)[0].item() for name in State._fields))

    @property
    def theirs(self) -> State:
        return self.stock.state

    def our_end(self) -> tuple[bool, bool]:
        """(terminated, truncated)."""
        full_length = self.robots.step[0] >= self.stock.settings.max_steps
        return not self.ours.valid, bool(full_length and self.ours.valid)

    def our_pay(self) -> float:
        crashed, truncated = self.our_end()
        paid = stock_reward(
            lane_dist=self.ours.lane_dist,
            lane_dot=self.ours.lane_dot,
            proximity=self.ours.proximity,
            crashed=crashed,
            truncated=truncated,
        )
        return float(sum(paid.values()))

    def random_pose(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """A pose to start at; on the way, poses at which a robot cannot start are compared."""
        while True:
            tile = self.upstream.drivable_tiles[rng.integers(len(self.upstream.drivable_tiles))]
            x, z = (np.array(tile["coords"]) + rng.uniform(0, 1, 2)) * self.stock.tile_size
            pose = float(x), float(z), float(rng.uniform(-7, 7))
            factor = float(rng.uniform(1, 1.3))
            ours, theirs = self.valid(pose, factor)
            assert ours == theirs, (pose, factor)
            if all(self.valid(pose)):
                return pose


class Differences:
    """The worst of them so far."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = {}
        self.steps = self.flips = self.resets = 0

    def compare(self, ours: State, theirs: State) -> None:
        """Only the fields of the lane may differ, and only where a tie is broken the other way."""
        self.steps += 1
        assert ours.valid == theirs.valid, (ours, theirs)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs)), (ours, theirs)
        gaps = {name: abs(getattr(ours, name) - getattr(theirs, name)) for name in State._fields}
        lane = {name: gaps.pop(name) for name in ("lane_dist", "lane_angle", "lane_dot")}
        assert max(gaps.values()) <= TOLERANCE, gaps
        if max(lane.values()) > TOLERANCE:
            self.flips += 1
        else:
            gaps |= lane
        for name, gap in gaps.items():
            if gap == gap:
                self.worst[name] = max(self.worst.get(name, 0.0), gap)


def drive(twins: Twins, steps: int, rng: np.random.Generator) -> Differences:
    """Episodes in turn of noise and of noisy lane keeping, from random poses."""
    differences = Differences()
    calm, done = False, True
    drift = np.zeros(2)
    for _ in range(steps):
        if done:
            calm = not calm
            twins.reset(twins.random_pose(rng))
            differences.resets += 1
            differences.compare(twins.ours, twins.theirs)
        drift = 0.95 * drift + rng.normal(0, 0.1, 2)
        action = lane_keeping(twins.theirs) + drift if calm else rng.uniform(-1.2, 1.2, 2)
        paid, terminated, truncated = twins.step(action)
        flips = differences.flips
        differences.compare(twins.ours, twins.theirs)
        assert twins.our_end() == (terminated, truncated)
        if differences.flips == flips:
            gap = abs(twins.our_pay() - paid)
            assert gap <= TOLERANCE
            differences.worst["reward"] = max(differences.worst.get("reward", 0.0), gap)
        done = terminated or truncated
    return differences


def lane_keeping(state: State) -> np.ndarray:
    off = 4 * np.nan_to_num(state.lane_dist) + np.nan_to_num(state.lane_angle)
    return np.array([0.5 - 0.4 * off, 0.5 + 0.4 * off])


@pytest.mark.parametrize("map_name", drivable_map_names())
def test_states_and_rewards_match_the_stock_simulator(make_simulator, record_property, map_name):
    twins = Twins(make_simulator(map_name=map_name, max_steps=EPISODE))
    differences = drive(twins, STEPS, np.random.default_rng(len(map_name)))
    record_property("differences", differences.worst)
    print(map_name, vars(differences))
    assert differences.flips <= FLIPS_PER_STEP * differences.steps


@pytest.mark.parametrize("map_name", GOLDEN_MAPS)
def test_recorded_episodes_are_reproduced(make_simulator, assert_recorded, map_name):
    twins = Twins(make_simulator(map_name=map_name))
    for episode in (0, 1):
        recorded = np.load(GOLDEN / f"{map_name}-{episode}.npz")
        x, _, z = recorded["start_pos"]
        start_robot(twins.layout, twins.things, twins.robots, 0, x, z, float(recorded["start_angle"]))
        steps = []
        for left, right in recorded["action"].tolist():
            step_robot(twins.layout, twins.things, twins.robots, 0, left, right)
            steps.append((*twins.ours, twins.our_pay(), any(twins.our_end())))
        assert_recorded(np.array(steps, dtype=float), recorded)


def test_maps_in_a_shared_layout_keep_their_behaviour(make_simulator):
    maps = ("small_loop", "udem1", "MOOC_modcon", "loop_obstacles")
    stocks = [make_simulator(map_name=name) for name in maps]
    layout = load_scene(maps).layout
    things = new_things(len(stocks), layout)
    robots = new_robots(range(len(stocks)), seed=1, max_steps=100, max_start_angle_deg=40)
    for i, stock in enumerate(stocks):
        start_world(layout, things, robots, i)
        assert start_robot_anywhere(layout, things, robots, i)
        stock.camera_on = False
        stock.reset(options={"pose": (robots.x[i], robots.z[i], robots.angle[i])})
        for action in np.random.default_rng(i).uniform(0, 1, (30, 2)):
            step_robot(layout, things, robots, i, *action)
            stock.step(action)
            ours = [getattr(robots, name)[i] for name in State._fields]
            np.testing.assert_allclose(ours, stock.state, rtol=0, atol=TOLERANCE)
            if not stock.state.valid:
                break


# --- what moves --------------------------------------------------------------------------------------------


def check_things(twins: Twins) -> float:
    """The worst difference."""
    worst = 0.0
    for k, thing in enumerate(twins.upstream.objects):
        pairs = [
            (twins.things.position[0, k], thing.pos),
            (twins.things.angle[0, k], thing.angle),
            (twins.things.y_rot[0, k], thing.y_rot),
            (twins.things.corners[0, k], thing.obj_corners),
            (twins.things.visible[0, k], thing.visible),
            *(
                (getattr(twins.things, ours)[0, k], getattr(thing, theirs))
                for ours, theirs in [
                    ("pattern", "pattern"),
                    ("active", "pedestrian_active"),
                    ("wait", "pedestrian_wait_time"),
                    ("velocity", "vel"),
                ]
                if hasattr(thing, theirs) and thing.kind != "checkerboard"
            ),
        ]
        gaps = [np.max(np.abs(np.asarray(ours, float) - np.asarray(theirs, float))) for ours, theirs in pairs]
        assert max(gaps) <= TOLERANCE, (k, thing.kind, gaps)
        worst = max(worst, *gaps)
    return worst


def stay(twins: Twins, steps: int) -> tuple[float, float, int]:
    """Let time pass in the world; wherever an episode ends, the robot is moved elsewhere.

    Returns:
        the worst difference, how far anything came, how often a light changed.
    """
    rng = np.random.default_rng(3)
    twins.reset(twins.random_pose(rng))
    start, pattern = twins.things.position.copy(), twins.things.pattern.copy()
    worst, differences, farthest, changes = check_things(twins), Differences(), 0.0, 0
    for _ in range(steps):
        ends = twins.step((0.0, 0.0))[1:]
        assert twins.our_end() == ends
        worst = max(worst, check_things(twins))
        differences.compare(twins.ours, twins.theirs)
        farthest = max(farthest, np.abs(twins.things.position - start).max())
        changes += int((twins.things.pattern != pattern).sum())
        pattern = twins.things.pattern.copy()
        if any(ends):
            twins.reset(twins.random_pose(rng))
    return worst, farthest, changes


@pytest.mark.parametrize(
    ("map_name", "domain_rand", "steps"),
    [
        ("loop_dyn_duckiebots", False, 1200),
        ("loop_dyn_duckiebots", True, 200),
        ("loop_pedestrians", False, 700),
        ("4way", False, 700),
        ("4way", True, 700),
    ],
)
def test_objects_move_as_in_the_stock_simulator(make_simulator, map_name, domain_rand, steps):
    twins = Twins(make_simulator(map_name=map_name, domain_rand=domain_rand, max_steps=10 * EPISODE))
    copy_visibility_at_resets(twins)
    worst, farthest, changes = stay(twins, steps)
    print(map_name, domain_rand, worst, farthest, changes)
    assert changes >= 3 if map_name == "4way" else farthest > 0.02


def test_varied_duckies_walk_as_in_the_stock_simulator(make_simulator):
    twins = Twins(make_simulator(map_name="loop_pedestrians", domain_rand=True, max_steps=EPISODE))
    copy_visibility_at_resets(twins)
    rng = np.random.default_rng(3)
    twins.reset(twins.random_pose(rng))
    duckies = [k for k, thing in enumerate(twins.upstream.objects) if not thing.static]
    turns = 0
    for _ in range(1500):
        walking = [twins.upstream.objects[k].pedestrian_active for k in duckies]
        ends = twins.step((0.0, 0.0))[1:]
        for k, walked in zip(duckies, walking, strict=True):
            if walked and not twins.upstream.objects[k].pedestrian_active:
                turns += 1
                assert not twins.things.active[0, k]
                assert 3 <= twins.things.wait[0, k] < 20
                assert np.sign(twins.things.velocity[0, k]) == np.sign(twins.upstream.objects[k].vel)
                twins.copy_draws(k)
        check_things(twins)
        if any(ends):
            twins.reset(twins.random_pose(rng))
    assert turns >= 4


def copy_visibility_at_resets(twins: Twins) -> None:
    reset = twins.reset

    def adapted(pose) -> None:
        reset(pose)
        twins.things.visible[0] = [thing.visible for thing in twins.upstream.objects]

    twins.reset = adapted


def test_checkerboards_move_as_in_the_stock_simulator(make_simulator, tmp_path):
    board = {"kind": "checkerboard", "pos": [1.2, 2.4], "rotate": 20, "height": 0.3, "static": False}
    path = tmp_path / "board.yaml"
    path.write_text(json.dumps({**read_map("small_loop"), "objects": [board]}), encoding="utf-8")
    twins = Twins(make_simulator(map_name=str(path), max_steps=10_000))
    start = twins.things.position.copy()
    rng = np.random.default_rng(5)
    twins.reset(twins.random_pose(rng))
    farthest = np.zeros(3)
    for _ in range(500):
        assert not any(twins.step((0.0, 0.0))[1:])
        check_things(twins)
        Differences().compare(twins.ours, twins.theirs)
        farthest = np.maximum(farthest, np.abs(twins.things.position - start)[0, 0])
    assert (farthest > 0.06).all()


def test_collisions_with_moving_objects_match_the_stock_simulator(make_simulator):
    """Poses around moving objects, some of whose boxes stay behind or turn against their axes."""
    rng = np.random.default_rng(0)
    for map_name in ("loop_dyn_duckiebots", "loop_pedestrians"):
        twins = Twins(make_simulator(map_name=map_name, max_steps=10_000))
        twins.reset(twins.random_pose(rng))
        moving = [k for k, thing in enumerate(twins.upstream.objects) if not thing.static]
        seen = []
        for step in range(400):
            twins.step((0.0, 0.0))
            x, _, z = twins.things.position[0, moving[step % len(moving)]]
            for dx, dz, angle in rng.uniform(-0.3, 0.3, (4, 3)) * (1, 1, 15):
                ours, theirs = twins.valid((x + dx, z + dz, angle))
                assert ours == theirs
                seen.append(ours)
        assert 0.03 < np.mean(seen) < 0.97


# --- random starts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("map_name", ["udem1", "small_loop", "straight_road", "MOOC_modcon"])
def test_random_starts_are_distributed_as_in_the_stock_simulator(make_simulator, map_name):
    twins = Twins(make_simulator(map_name=map_name, accept_start_angle_deg=30))
    ours, theirs = [], []
    for _ in range(400):
        assert start_robot_anywhere(twins.layout, twins.things, twins.robots, 0)
        start = twins.ours
        assert twins.stock.valid_pose(*start[:3], safety_factor=1.3) or map_name == "MOOC_modcon"
        assert not twins.upstream._inconvenient_spawn(np.array([start.x, 0.0, start.z]))
        assert abs(start.lane_angle) < np.radians(30)
        assert start[3:6] == (0, 0, 0)
        ours.append(place(twins, start))
        if len(ours) % 2:  # theirs take their time
            twins.stock.reset()
            theirs.append(place(twins, twins.theirs))
    for column in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        assert_alike(*column)


def place(twins: Twins, start: State) -> tuple[int, float, float, float]:
    """(tile, turn, x and z within the tile)."""
    x, z = start.x / twins.stock.tile_size, start.z / twins.stock.tile_size
    return int(z) * twins.stock.grid_width + int(x), start.lane_angle, x % 1, z % 1


def assert_alike(ours, theirs) -> None:
    """A two-sample Kolmogorov-Smirnov test at about one in ten thousand."""
    ours, theirs = np.sort(ours), np.sort(theirs)
    points = np.concatenate([ours, theirs])
    gaps = [np.searchsorted(sample, points, side="right") / len(sample) for sample in (ours, theirs)]
    limit = 2.2 * np.sqrt(1 / len(ours) + 1 / len(theirs))
    assert np.max(np.abs(gaps[0] - gaps[1])) < limit


def test_a_missing_start_is_reported(make_simulator):
    twins = Twins(make_simulator())
    twins.robots.max_start_angle_deg[0] = 1e-12
    twins.reset(twins.random_pose(np.random.default_rng(0)))
    before = twins.ours
    assert not start_robot_anywhere(twins.layout, twins.things, twins.robots, 0)
    assert twins.ours == before


def test_optional_objects_are_seen_in_half_of_all_episodes(make_simulator):
    twins = Twins(make_simulator(map_name="udem1", domain_rand=True))
    seen = []
    for _ in range(300):
        start_robot(twins.layout, twins.things, twins.robots, 0, 1.0, 1.0, 0.0)
        seen.append(twins.things.visible[0].copy())
    optional = twins.layout.objects["optional"][0]
    assert np.mean(seen, axis=0)[~optional].min() == 1
    assert np.all(np.abs(np.mean(seen, axis=0)[optional] - 0.5) < 0.12)


def test_robots_draw_independently_of_each_other():
    """What a robot draws does not depend on which other robots there are."""
    layout = load_scene(("loop_pedestrians",)).layout

    def starts(n: int, order: list[int]) -> list[State]:
        things = new_things(n, layout)
        robots = new_robots([0] * n, seed=7, max_steps=10, max_start_angle_deg=40, domain_rand=True)
        for i in order:
            start_world(layout, things, robots, i)
            start_robot_anywhere(layout, things, robots, i)
        return [State(*(getattr(robots, name)[i].item() for name in State._fields)) for i in range(n)]

    few, many = starts(3, [0, 1, 2]), starts(9, [8, 2, 7, 0, 1, 3, 4, 5, 6])
    assert few == many[:3]
    assert len(set(many)) == 9


def test_streams_differ_by_seed_and_robot(make_simulator):
    one, other = (new_robots([0, 0], seed=s, max_steps=5, max_start_angle_deg=40).streams for s in (1, 2))
    draws = [[integers(stream, 0, 10**9) for _ in range(5)] for stream in (*one, *other)]
    assert len({tuple(draw) for draw in draws}) == 4
