"""Score the baselines that a trained policy is compared with; they depend on no training run."""

from __future__ import annotations

from ducklane.errors import exits_cleanly
from ducklane.project.outputs import RESULTS, replacing, together, write_json
from ducklane.settings import load
from ducklane.simulator.town.maps import check_maps

SCORED = RESULTS / "baselines"


def main() -> None:
    """Drive each baseline from the fixed starts."""
    settings = load()
    check_maps(settings)
    # imported here: OpenGL and torch take seconds to load
    from ducklane.baselines import baselines
    from ducklane.evaluation.evaluator import Evaluator, write_episodes
    from ducklane.evaluation.gate import gate
    from ducklane.evaluation.pictures import save_trajectories
    from ducklane.evaluation.table import print_table

    with Evaluator(settings) as evaluator:
        evaluations = [evaluator.evaluate(policy) for policy in baselines()]
        map_image = evaluator.simulator.map_image()
    summaries = {
        evaluation.policy: {**evaluation.summary(), "gate": gate(settings, evaluation.scores)}
        for evaluation in evaluations
    }
    with together():
        write_json(SCORED / "scores.json", summaries)
        with replacing(SCORED / "episodes.csv") as draft:
            write_episodes(draft, [("", evaluation) for evaluation in evaluations])
        controller = evaluations[0]
        with replacing(SCORED / f"{controller.policy}.png") as draft:
            save_trajectories(draft, map_image, controller.episodes)
    print_table(summaries)


if __name__ == "__main__":
    exits_cleanly(main)()
