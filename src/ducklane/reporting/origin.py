"""Where the results come from: code, settings, run, model, packages and machine."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ducklane.machine.hardware import usable_cpus, usable_memory
from ducklane.project import provenance
from ducklane.reporting.results import Results
from ducklane.settings import Settings
from ducklane.tracking.runs import Run
from ducklane.tracking.store.opening import shown_store

PACKAGES = (
    "torch",
    "ray",
    "numba",
    "numpy",
    "gymnasium",
    "duckietown-gym-daffy",
    "onnx",
    "onnxruntime",
    "mlflow",
    "dvc",
)
"""Those whose version may change a result, or what is shown of it."""


class Link(NamedTuple):
    """A link of the chain from the report to where it comes from."""

    name: str
    value: str
    note: str = ""


class Recorded(NamedTuple):
    """What the MLflow store holds about the training run."""

    run_id: str
    where: str
    """its experiment and status"""
    store: str
    """the address, without passwords"""
    tags: Mapping[str, str]
    logged_in: str = ""
    """id of the run that gets the page, if that is one nested in the training's"""


def recorded(run: Run) -> Recorded:
    """Ask the store.

    Raises:
        TrackingError: the store cannot be used.
    """
    where, tags = run.described()
    trained_in = run.nested_in
    logged_in = run.id if trained_in else ""
    return Recorded(trained_in or run.id, where.partition(",")[0], shown_store(), tags, logged_in)


def links(results: Results, settings: Settings, run: Recorded) -> list[Link]:
    """The chain: what was trained from what, and where that is recorded."""
    origin, scores = results.origin, results.scores
    chain = [
        Link("git commit", origin["git_commit"], _dirty(run.tags)),
        _experiment(run.tags.get("dvc_experiment")),
        Link("MLflow run", run.run_id, _about_run(run)),
        Link("MLflow store", run.store, run.where),
        Link("weights (SHA-256)", origin["weights_sha256"]),
        Link("policy.onnx (SHA-256)", results.exported["sha256"], results.exported["mlflow"]["model"]),
        Link("settings (SHA-256)", origin["params_digest"], _since(origin["params_digest"], settings)),
        Link("recipe (SHA-256)", scores.get("recipe", {}).get("digest", "")),
        Link("seeds", ", ".join(seed.seed for seed in results.seeds)),
    ]
    return [link for link in chain if link.value]


def _experiment(name: str | None) -> Link:
    if name is None:
        return Link("DVC experiment", "none", "trained with dvc repro or without DVC")
    return Link("DVC experiment", name, f"dvc exp apply {name} brings it back")


def _dirty(tags: Mapping[str, str]) -> str:
    return {
        "true": "the code had changes that are not in this commit",
        "false": "the code was as in this commit",
    }.get(tags.get("git_dirty", ""), "")


def _about_run(run: Recorded) -> str:
    if run.logged_in:
        return f"this page is in {run.logged_in}: it was scored with other settings"
    origin = run.tags.get("origin_run_id")
    return f"stands in for {origin}, which is in another store" if origin else ""


def _since(digest: str, settings: Settings) -> str:
    return "" if settings.digest() == digest else "of the training run; params.yaml has changed since"


def is_repeatable(commit: str) -> bool:
    """Whether the commit is known."""
    return commit != provenance.UNKNOWN


def packages() -> Iterator[Link]:
    """The versions of Python and of the packages that matter."""
    yield Link("Python", platform.python_version())
    for name in PACKAGES:
        try:
            yield Link(name, version(name))
        except PackageNotFoundError:  # a robot has fewer
            continue


def machine() -> Iterator[Link]:
    """The machine that writes the report."""
    yield Link("processor", _processor())
    yield Link("cores", str(usable_cpus()))
    yield Link("memory", f"{usable_memory() / 2**30:.0f} GiB")
    yield Link("system", _system())


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)
