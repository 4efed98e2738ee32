"""Tune the proportional controller, so that a trained policy is compared with a good one.

`make tune-controller` searches at random, then around the best, in the batched simulator, on the gate's task,
and writes benchmarks/results/controller.json: the best gains and what they reach. The defaults of
`ProportionalController` are these, rounded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from ducklane import settings as ducklane_settings
from ducklane.baselines import Gains, ProportionalController
from ducklane.evaluation.episodes import evaluation_simulator, evaluation_starts
from ducklane.evaluation.evaluator import scored
from ducklane.evaluation.gate import GOAL, gate
from ducklane.evaluation.laps import drive_all
from ducklane.evaluation.scores.lane_map import LaneMap
from ducklane.project.outputs import write_json
from ducklane.settings import Settings
from ducklane.simulator.batch import BatchedSimulator
from ducklane.simulator.single import SingleSimulator

RESULTS = Path(__file__).parent / "results"
LEAST = Gains(distance_gain=1.0, angle_gain=0.5, duty=0.4, slowdown=0.0, least_duty=0.1)
LARGEST = Gains(distance_gain=16.0, angle_gain=4.0, duty=1.0, slowdown=2.0, least_duty=0.5)
TRIED = 40
"""Gains in each round."""
NEW = 8
"""Of them, drawn anew; the others lie around the best."""
SPREAD, SHRINKS = 0.35, 0.8
"""How far around the best, as a share, and by how much less from round to round."""
LATERAL_WEIGHT, LANE_WEIGHT = 200.0, 30.0
"""Metres of distance that a metre off centre, or the whole time out of the lane, is worth beyond the goal."""


class Trials:
    """Drives many controllers at once from the fixed starts.

    Args:
        settings: all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._world = evaluation_simulator(settings).model_copy(update={"backend": "batched"})
        self._lane_map = LaneMap(settings.evaluate.map_name)
        simulator = SingleSimulator(self._world)
        self._starts = evaluation_starts(simulator, settings.evaluate)
        simulator.close()

    def gates(self, gains: NDArray[np.float64]) -> list[dict[str, Any]]:
        """`gate` of each of (n, 5) gains."""
        starts, n = self._starts, len(self._starts)
        controller = ProportionalController()
        controller.gains = Gains(*np.repeat(gains, n, axis=0).T)
        simulator = BatchedSimulator(self._world, n * len(gains))
        simulator.camera_on = False
        episodes = drive_all(simulator, controller, np.tile(starts, (len(gains), 1)))
        simulator.close()
        scores = scored(controller.name, episodes, self._lane_map).scores
        return [gate(self._settings, scores[k : k + n]) for k in range(0, len(scores), n)]


def worth(found: dict[str, Any]) -> float:
    """Distance in metres, less what is missing to the goal's closeness to the lane; all must survive."""
    if found["survived"] < found["episodes"]:
        return float(found["survived"] - found["episodes"]) - 100.0
    off = max(0.0, found["lateral_m_mean"] - GOAL.lateral_m)
    out = max(0.0, GOAL.in_lane_share - found["in_lane_share"])
    return float(found["distance_m_median"] - LATERAL_WEIGHT * off - LANE_WEIGHT * out)


def search(trials: Trials, rounds: int, console: Console) -> tuple[Gains, dict[str, Any]]:
    """The best gains, and their gate."""
    rng = np.random.default_rng(0)
    least, largest = np.array(LEAST), np.array(LARGEST)
    candidates = rng.uniform(least, largest, (TRIED, len(least)))
    best, reached = candidates[0], None
    for number in range(rounds):
        gates = trials.gates(candidates)
        leader = int(np.argmax([worth(found) for found in gates]))
        if reached is None or worth(gates[leader]) > worth(reached):
            best, reached = candidates[leader], gates[leader]
        console.print(f"{number + 1}/{rounds}  {worth(reached):6.3f}  {np.round(best, 3)}")
        around = best * (1 + rng.normal(0, SPREAD * SHRINKS**number, (TRIED - NEW, len(best))))
        anew = rng.uniform(least, largest, (NEW, len(best)))
        candidates = np.clip(np.concatenate([anew, around]), least, largest)
    assert reached is not None
    return Gains(*best.tolist()), reached


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the search.")] = 16,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Search, and write the results."""
    console = Console(highlight=False)
    trials = Trials(ducklane_settings.load())
    gains, reached = search(trials, rounds, console)
    write_json(output / "controller.json", {"gains": gains._asdict(), "gate": reached})
    console.print(f"{gains}\n{reached}")


if __name__ == "__main__":
    typer.run(main)
