"""The report: an experiment on one page that opens anywhere, without a network and without other files."""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ducklane.errors import UserError
from ducklane.project.outputs import RESULTS
from ducklane.reporting import changes, origin
from ducklane.reporting.failures import find_failures
from ducklane.reporting.learning import draw_curves
from ducklane.reporting.results import FILM, TRAJECTORIES, Results
from ducklane.reporting.score_tables import best_model, each_seed, fixed_starts, is_comparable, long_drives
from ducklane.reporting.templating import template
from ducklane.settings import Settings
from ducklane.simulator.interface import FRAMES_PER_SECOND
from ducklane.tracking.registry import Champion

REPORT = RESULTS / "report.html"
"""Where the stage writes it."""

LARGEST_FILM = 20_000_000
"""Bytes of a film that is still part of the page."""

POSTER_S = 1.0
"""The moment of the film that is shown until it plays; seconds."""

WIDE, NARROW = (920, 340), (368, 280)
"""Sizes of the learning curves, on a desk and on a telephone: text is as large on both."""


class Film(NamedTuple):
    """The film as it is put into the page."""

    source: str
    """address with the film itself; empty if it is too large"""
    poster: str
    width: int
    height: int
    megabytes: float


def render(results: Results, settings: Settings, run: origin.Recorded, champion: Champion | None) -> str:
    """The page as HTML.

    Args:
        results: of the experiment.
        settings: of the experiment.
        run: its MLflow run.
        champion: of the registered policy; None if there is none.

    Raises:
        UserError: the film or the picture is missing or damaged.
    """
    changed = changes.from_defaults(settings)
    commit = results.origin["git_commit"]
    return template("report.html").render(
        results=results,
        settings=settings,
        run=run,
        champion=_about(champion, results),
        headline=_headline(results),
        film=_film(FILM),
        trajectories=_address("image/png", _bytes(TRAJECTORIES)),
        fixed=fixed_starts(results, champion, results.baselines),
        long=long_drives(results, champion),
        seeds=each_seed(results),
        curves=_curves(results),
        failures=find_failures(results.tiles),
        drives=_drives(results),
        changed=changed,
        links=origin.links(results, settings, run),
        packages=list(origin.packages()),
        machine=list(origin.machine()),
        commands=changes.commands(settings, commit, changed) if origin.is_repeatable(commit) else [],
        rate=FRAMES_PER_SECOND,
    )


def _headline(results: Results) -> list[tuple[str, str]]:
    """The best model's scores from the fixed starts, each with what it means."""
    _, distance, lateral, in_lane = (cell.value for cell in best_model(results))
    scores = results.scores
    return [
        (f"{scores['survived']} of {scores['episodes']}", "drives lasted to their end"),
        (f"{distance} m", "along the lane in a drive"),
        (f"{lateral} cm", "from the lane's centre"),
        (in_lane, "of the time in its lane"),
    ]


def _about(champion: Champion | None, results: Results) -> str:
    """A sentence on the champion of the registry, and whether it stands in the tables."""
    if champion is None:
        return "The registry has no champion yet."
    if champion.scores.get("model_sha256") == results.origin["weights_sha256"]:
        return f"This model is the registry's champion (version {champion.version})."
    if is_comparable(results, champion):
        return f"The registry's champion is version {champion.version}; the tables have its scores."
    unknown = "its scores are not in the store" if not champion.scores else "it was scored on another task"
    return f"The registry's champion is version {champion.version}; {unknown}."


def _drives(results: Results) -> dict[str, int]:
    """The number of drives by their name in tiles.csv."""
    laps = results.laps.get("trained", {"episodes": 0})
    return {"fixed starts": results.scores["episodes"], "laps": laps["episodes"]}


def _curves(results: Results) -> list[tuple[str, Any]]:
    """The learning curves for wide and for narrow windows, by the class that shows them there."""
    best = float(results.origin["timesteps_total"]), float(results.origin["episode_reward_mean"])
    return [
        (name, draw_curves(results.curves, best, size, described_by="curves-in-words"))
        for name, size in (("wide", WIDE), ("narrow", NARROW))
    ]


def _film(path: Path) -> Film:
    content = _bytes(path)
    frame = _frame(path)
    picture = io.BytesIO()
    Image.fromarray(frame).save(picture, "JPEG", quality=80, optimize=True)
    source = _address("video/mp4", content) if len(content) <= LARGEST_FILM else ""
    height, width = frame.shape[:2]
    return Film(source, _address("image/jpeg", picture.getvalue()), width, height, len(content) / 1e6)


def _frame(path: Path) -> NDArray[np.uint8]:
    """The frame at POSTER_S, or the last one of a shorter film."""
    try:
        reader: Any = imageio.get_reader(path, format="FFMPEG", mode="I")
        with reader:
            (*_, frame) = itertools.islice(reader, round(POSTER_S * FRAMES_PER_SECOND) + 1)
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{path}: is no film; run `dvc repro -f evaluate`") from None
    return np.asarray(frame)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; run `dvc repro evaluate` or `dvc pull` first") from None


def _address(kind: str, content: bytes) -> str:
    """An address that is the content itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
