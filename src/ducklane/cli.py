"""The `ducklane` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ducklane import settings
from ducklane.errors import exits_cleanly
from ducklane.project.outputs import replacing
from ducklane.simulator.town.maps import check_map, tell

if TYPE_CHECKING:
    from ducklane.policy import Policy

app = typer.Typer(
    help="Look after and try out a Duckiebot that learns to drive in its lane.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def doctor() -> None:
    """Say what this machine has, and what is missing, with the cure; exit with 1 if anything is."""
    from ducklane.doctor import run

    raise typer.Exit(0 if run() else 1)


@app.command()
def drive(
    model: Annotated[Path, typer.Option(help="An ONNX file, or a checkpoint folder.")] = Path(
        "models/policy.onnx"
    ),
    map_name: Annotated[str, typer.Option("--map", help="The map; default: evaluate.map_name.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of the drive.")] = 15.0,
    start: Annotated[int, typer.Option(min=0, help="Which of the fixed starts to begin at.")] = 0,
    all_starts: Annotated[bool, typer.Option("--all", help="Drive from every fixed start.")] = False,
    video: Annotated[Path, typer.Option(help="Where the video goes.")] = Path("results/drive/drive.mp4"),
) -> None:
    """Drive a policy in the stock simulator and film its first drive."""
    chosen = settings.load()
    changed = {
        "map_name": map_name or chosen.evaluate.map_name,
        "max_seconds": seconds,
        "episodes": max(chosen.evaluate.episodes, start + 1),
    }
    chosen = chosen.model_copy(update={"evaluate": chosen.evaluate.model_copy(update=changed)})
    check_map(chosen.evaluate.map_name, "--map" if map_name else "evaluate.map_name")
    tell(chosen.evaluate.map_name)
    # imported here: torch and OpenGL take seconds to load
    from ducklane.evaluation.evaluator import Evaluator
    from ducklane.evaluation.gate import gate, verdict
    from ducklane.evaluation.pictures import DriveVideo
    from ducklane.evaluation.table import print_table

    policy = _load(model)
    with Evaluator(chosen) as evaluator, replacing(video) as draft:
        starts = evaluator.starts if all_starts else [evaluator.starts[start]]
        with DriveVideo(draft, evaluator.simulator.map_image(), max_seconds=seconds) as film:
            evaluation = evaluator.evaluate(policy, film.add, starts)
    print_table({policy.name: evaluation.summary()})
    if all_starts:
        print(verdict(gate(chosen.evaluate, evaluation.scores)))
    print(f"filmed in {video}")


@app.command()
def lineage(
    thing: Annotated[
        str, typer.Argument(help="A model file, an MLflow run's id, a DVC experiment's name or a commit.")
    ],
) -> None:
    """Print what made a model or a score, and check it; exit with 1 if anything disagrees."""
    from ducklane.tracking.findings import show
    from ducklane.tracking.lineage import trace

    found = trace(thing)
    show(found)
    raise typer.Exit(0 if found.agrees else 1)


def _load(model: Path) -> Policy:
    if model.is_dir():
        from ducklane.policy import load_policy

        return load_policy(model)
    from ducklane.export.onnx_policy import OnnxPolicy

    return OnnxPolicy(model)


@exits_cleanly
def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
