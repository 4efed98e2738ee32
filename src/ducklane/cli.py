"""The subcommands of `ducklane`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ducklane.errors import UserError
from ducklane.project.outputs import replacing, together, write_json
from ducklane.settings import load
from ducklane.simulator.town.maps import check_map, tell

if TYPE_CHECKING:
    from ducklane.policy import Policy

app = typer.Typer(
    help="Check the set-up, and try out and trace policies that drive a Duckiebot in its lane.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def doctor() -> None:
    """Show what this machine has and what is missing, with the cure; exit with 1 if anything is missing."""
    from ducklane.doctor import run

    raise typer.Exit(0 if run() else 1)


@app.command()
def drive(
    model: Annotated[Path, typer.Option(help="An ONNX file, or a checkpoint folder.")] = Path(
        "models/policy.onnx"
    ),
    map_name: Annotated[str, typer.Option("--map", help="The map; default: evaluate.map_name.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of the drive.")] = 15.0,
    start: Annotated[int, typer.Option(min=0, help="Number of the fixed start to begin at, from 0.")] = 0,
    all_starts: Annotated[bool, typer.Option("--all", help="Drive from every fixed start.")] = False,
    video: Annotated[Path, typer.Option(help="File for the video.")] = Path("results/drive/drive.mp4"),
) -> None:
    """Drive a policy in the stock simulator and film its first drive."""
    settings = load()
    changed = {
        "map_name": map_name or settings.evaluate.map_name,
        "max_seconds": seconds,
        "episodes": max(settings.evaluate.episodes, start + 1),
    }
    settings = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update=changed)})
    check_map(settings.evaluate.map_name, "--map" if map_name else "evaluate.map_name")
    tell(settings.evaluate.map_name)
    # imported here: torch and OpenGL take seconds to load
    from ducklane.evaluation.evaluator import Evaluator
    from ducklane.evaluation.gate import gate, verdict
    from ducklane.evaluation.pictures import DriveVideo
    from ducklane.evaluation.table import print_table

    policy = _load(model)
    with Evaluator(settings) as evaluator, replacing(video) as draft:
        starts = evaluator.starts if all_starts else [evaluator.starts[start]]
        with DriveVideo(draft, evaluator.simulator.map_image(), max_seconds=seconds) as film:
            evaluation = evaluator.evaluate(policy, film.add, starts)
    print_table({policy.name: evaluation.summary()})
    if all_starts:
        print(verdict(gate(settings, evaluation.scores)))
    print(f"filmed in {video}")


@app.command()
def agent(
    model: Annotated[Path, typer.Option(help="An ONNX file.")] = Path("models/policy.onnx"),
    scale: Annotated[float, typer.Option(min=0.05, max=1, help="Factor of its commands.")] = 1.0,
) -> None:
    """Drive a robot, or in the AI Driving Olympics: speak AIDO's protocol over fifos or standard streams."""
    # imported here: without torch, which takes seconds to load
    from ducklane.robot.agent import run

    run(model, scale)


@app.command()
def probe(
    folder: Annotated[Path, typer.Argument(help="Pictures of a real camera.")],
    labels: Annotated[Path, typer.Option(help="A CSV file: file, label (left, straight or right).")] = Path(
        "benchmarks/real_images.csv"
    ),
    model: Annotated[Path, typer.Option(help="An ONNX file, or a checkpoint folder.")] = Path(
        "models/policy.onnx"
    ),
    figures: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path(
        "results/probe/probe.json"
    ),
    sheet: Annotated[Path, typer.Option(help="File for the pictures with the commands.")] = Path(
        "results/probe/sheet.jpg"
    ),
) -> None:
    """Show a policy real pictures, and compare its turns with labels by eye."""
    # imported here: torch takes seconds to load
    from ducklane.robot import probe as probing
    from ducklane.robot.sheet import save_sheet

    shown = probing.show(_load(model), folder, probing.read_labels(labels))
    with together():
        write_json(figures, probing.as_dict(shown, model))
        with replacing(sheet) as draft:
            save_sheet(draft, folder, shown)
    probing.print_table(shown)
    print(f"figures in {figures}, pictures in {sheet}")


@app.command()
def aido(
    scenarios: Annotated[
        list[Path] | None, typer.Argument(metavar="SCENARIO...", help="Scenario files, or folders with some.")
    ] = None,
    model: Annotated[Path, typer.Option(help="An ONNX file.")] = Path("models/policy.onnx"),
    scale: Annotated[float, typer.Option(min=0.05, max=1, help="Factor of its commands.")] = 1.0,
    sample: Annotated[str, typer.Option(help="Make scenarios like those of a challenge: LF or LFI.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the scenarios that --sample makes.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.05, max=3600, help="Longest drive.")] = 60.0,
    jobs: Annotated[int, typer.Option(min=1, help="Drives at a time, two processes each.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for scores and pictures.")] = Path("results/aido"),
    record: Annotated[Path | None, typer.Option(help="Folder for the drives as .npz files.")] = None,
    frames: Annotated[bool, typer.Option(help="Record the camera's frames, too: 100 MB a minute.")] = False,
    drive: Annotated[bool, typer.Option(help="--no-drive: only make the scenarios.")] = True,
) -> None:
    """Drive a policy in the AI Driving Olympics' own simulator node, and score it by the official rules."""
    from ducklane.robot.judge.command import chosen_scenarios, drive_and_tell

    chosen = chosen_scenarios(scenarios or [], sample, seed, out)
    if drive:
        drive_and_tell(
            chosen,
            model,
            scale=scale,
            seconds=seconds,
            jobs=jobs,
            out=out,
            records=record,
            frames=frames,
        )


@app.command()
def lineage(
    thing: Annotated[
        str, typer.Argument(help="A model file, an MLflow run's id, a DVC experiment's name or a commit.")
    ],
) -> None:
    """Show the code, settings and runs behind a model or a score; exit with 1 if anything disagrees."""
    from ducklane.tracking.findings import show
    from ducklane.tracking.lineage import trace

    result = trace(thing)
    show(result)
    raise typer.Exit(0 if result.agrees else 1)


@app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A DVC experiment's name, a commit, an MLflow run's id or a recipe's digest (8 digits are "
            "enough); several joined by commas are pooled.",
        ),
    ],
    others: Annotated[list[str], typer.Argument(metavar="B...", help="Compared with A, each by itself.")],
    figures: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
) -> None:
    """Show how recipes differ over their seeds, and how sure that is; exit with 2 if they do not compare."""
    from ducklane.comparing import comparison
    from ducklane.comparing.table import show

    compared = comparison.compare([first, *others])
    show(compared)
    if figures:
        try:
            write_json(figures, comparison.as_dict(compared))
        except OSError as error:
            raise UserError(f"--json {figures}: {error.strerror}; give another path") from None


def _load(model: Path) -> Policy:
    if model.is_dir():
        from ducklane.policy import load_policy

        return load_policy(model)
    from ducklane.export.onnx_policy import OnnxPolicy

    return OnnxPolicy(model)
