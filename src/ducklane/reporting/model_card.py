"""The model card: what goes with the exported file, for those who want to drive with it.

It begins with the fields that Hugging Face's cards have.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ducklane.reporting.results import Scored
from ducklane.reporting.score_tables import SCORES, fixed_starts, long_drives
from ducklane.reporting.templating import template
from ducklane.settings import Settings
from ducklane.simulator.interface import FRAMES_PER_SECOND
from ducklane.simulator.town import map_format
from ducklane.simulator.town.maps import read_map

CARD = Path("models/model_card.md")
"""Where the export stage writes it."""

PROJECT = Path("pyproject.toml")
"""Names the licence."""

FRONT = "---\n"
"""Begins and ends the fields at the top."""

RANDOMISED = {
    "domain_rand": ("light, colours, camera and moving objects", "other light and other colours"),
    "dynamics_rand": ("the trim of the motors", "motors that pull to one side"),
    "camera_rand": (
        "the lens and the camera's pose",
        "another lens, or a camera mounted differently",
    ),
}
"""Setting of the simulator -> (what training varies with it, what the policy does not know without it)."""


def model_card(scored: Scored, settings: Settings, exported: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        scored: the exported model, with its scores if it has any.
        settings: of the experiment.
        exported: content of the check.json of the ONNX file.

    Raises:
        SettingsError: pyproject.toml or the map's file cannot be read.
    """
    world, seen = _world(scored, settings), scored.policy["observation"]
    return template("model_card.md").render(
        scored=scored,
        settings=settings,
        exported=exported,
        shape=(1, seen["frame_stack"], scored.policy["camera_height"], scored.policy["camera_width"], 3),
        licence=_licence(),
        world=world,
        varied=[varied for key, (varied, _) in RANDOMISED.items() if world[key]],
        untried=list(_untried(scored, settings, world)),
        fixed=fixed_starts(scored) if scored.scores else [],
        long=long_drives(scored),
        metrics={score.name: scored.best.values.get(score.name) for score in SCORES},
        rate=FRAMES_PER_SECOND,
    )


def without_front(card: str) -> str:
    """The card without the fields at its top, as MLflow shows Markdown."""
    return card.split(FRONT, 2)[2].lstrip()


def _world(scored: Scored, settings: Settings) -> dict[str, Any]:
    """The simulator's settings of the training, also of the best of several trials."""
    changes = scored.origin.get("changes", {})
    ours = settings.simulator.as_dict()
    return {key: changes.get(f"simulator.{key}", value) for key, value in ours.items()}


def _licence() -> str | None:
    """The licence's SPDX identifier, None if the project names none."""
    if not PROJECT.is_file():
        return None
    named = tomllib.loads(PROJECT.read_text(encoding="utf-8")).get("project", {}).get("license")
    return named if isinstance(named, str) else None


def _untried(scored: Scored, settings: Settings, world: Mapping[str, Any]) -> Iterator[str]:
    """What nobody knows of the policy, as its settings tell."""
    yield "A real Duckiebot: all of this happened in simulators."
    maps = sorted({*scored.origin["map_name"].split(", "), settings.evaluate.map_name})
    yield f"Maps other than {' and '.join(maps)}."
    things = _objects(maps)
    known = f", except for what stands on these maps ({things})" if things else ""
    yield f"Obstacles, other robots and people{known}."
    for key, (_, unknown) in RANDOMISED.items():
        if not world[key]:
            yield f"{unknown[0].upper()}{unknown[1:]}: not varied in training."
    yield f"Drives longer than {max(settings.evaluate.max_seconds, settings.evaluate.lap_seconds):g} s."


def _objects(maps: list[str]) -> str:
    """The kinds of objects on maps, beside the road or on it, and how many there are of each."""
    kinds: Counter[str] = Counter()
    for name in maps:
        objects = map_format.named(read_map(name).get("objects") or {})
        kinds.update(thing["kind"].replace("_", " ") for thing in objects.values())
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
