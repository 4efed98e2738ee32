"""Traces a score back to the code, settings and model behind it, and checks each step.

A model file, an MLflow run and a DVC experiment each name the others, and these names have to agree.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ducklane import settings
from ducklane.project import provenance
from ducklane.project.outputs import CHECKPOINT, RESULTS
from ducklane.project.recipe import flatten
from ducklane.project.stages import TRAIN, read_stages, sources
from ducklane.repository import git
from ducklane.tracking.findings import Lineage
from ducklane.tracking.revisions import Revision, find_revision, holder
from ducklane.tracking.runs import BEST_TRIAL, PARENT_RUN, find_run
from ducklane.tracking.store.opening import shown_store

SCORES = str(RESULTS / "evaluate/scores.json")
PARAMS = str(settings.PARAMS_FILE)

RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Recorded:
    """What the MLflow store holds about a run; empty if the run is unknown."""

    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    """its params.yaml, flattened to `section.key`"""
    digest: str | None = None
    """digest of the settings in its params.yaml"""

    @property
    def origin(self) -> str | None:
        """The run in another store that this one stands in for."""
        return self.tags.get("origin_run_id")

    @property
    def experiment(self) -> str | None:
        """The DVC experiment in which it was started."""
        return self.tags.get("dvc_experiment")


def trace(thing: str) -> Lineage:
    """Follow a model file, an MLflow run or a DVC experiment.

    Args:
        thing: path of an ONNX file or a checkpoint folder, id of a run, or name of an experiment or commit.

    Raises:
        LineageError: there is nothing of that name.
        PolicyError: the model file is damaged.
        TrackingError: the store cannot be used.
    """
    lineage = Lineage()
    revision, model = None, {}
    if Path(thing).exists():
        model = _read_model(Path(thing), thing, lineage)
        run_id = model["mlflow_run_id"]
    elif RUN_ID.fullmatch(thing):
        run_id = _experiments_run(thing, lineage)
    else:
        revision = find_revision(thing)
        run_id = str(revision.run_id)
    run = _read_run(run_id, lineage)
    revision = revision or holder(run.origin or run_id, run.experiment)
    if revision and not model:
        model = _model_in(revision, lineage)
    _check_trial(lineage, model, run)
    _compare(lineage, model, run, _scored(revision, run_id, lineage) if revision else None)
    if revision:
        _check_revision(revision, run, lineage)
    elif run.experiment:
        lineage.note(f"results: {run.experiment} no longer exists; the run has its settings")
    _check_code(lineage.links.get("code"), run.tags.get("git_dirty") == "true", revision, lineage)
    return lineage


def _read_model(path: Path, name: str, lineage: Lineage) -> dict[str, str]:
    """The provenance in a model; loading it checks its bytes."""
    if path.is_dir():
        from ducklane.policy import load_policy

        origin: Mapping[str, object] = load_policy(path).spec.provenance.model_dump()
    else:
        from ducklane.export.onnx_policy import OnnxPolicy

        origin = OnnxPolicy(path).provenance
    lineage.links |= {"model": name, "weights": str(origin["weights_sha256"])}
    lineage.check(True, "model: its bytes are those that were written")
    return {key: str(value) for key, value in origin.items() if value is not None}


def _model_in(revision: Revision, lineage: Lineage) -> dict[str, str]:
    """The model among a revision's results, from DVC's cache or its remote storage."""
    from dvc.api import DVCFileSystem

    from ducklane.policy import POLICY_FILE, WEIGHTS_FILE, PolicyError

    name = f"{CHECKPOINT} of {revision.name}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            # for a commit this shows the whole repository; DVC projects in subfolders only with subrepos
            files = DVCFileSystem(rev=revision.commit, subrepos=True)
            for file in (POLICY_FILE, WEIGHTS_FILE):
                files.get_file(f"/{git.place()}{CHECKPOINT}/{file}", str(Path(folder, file)))
        except Exception:  # DVC and its storage backends raise dozens of kinds of errors
            lineage.note(f"model: {name} is not in DVC's cache; `dvc pull` fetches it if it was pushed")
            return {}
        try:
            return _read_model(Path(folder), name, lineage)
        except PolicyError as error:
            reason = str(error).replace(f"{folder}{os.sep}", "")
            lineage.check(False, f"model: {name}: {reason}")
            return {}


def _read_run(run_id: str, lineage: Lineage) -> Recorded:
    # MLflow would show a progress bar for each file, and retry for minutes if the store is unreachable
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    lineage.links |= {"MLflow run": run_id, "MLflow store": shown_store()}
    run = find_run(run_id)
    if run is None:
        lineage.note("run: unknown to this MLflow store")
        return Recorded()
    info, tags = run.described()
    lineage.links["MLflow run"] = f"{run_id}, {info}"
    if run_elsewhere := Recorded(tags).origin:
        lineage.links["stands in for"] = f"{run_elsewhere}, a run of another store"
        return Recorded(tags)
    with tempfile.TemporaryDirectory() as folder:
        params = run.fetch(PARAMS, Path(folder))
        if params is None:
            lineage.note(f"run: holds no {PARAMS}, as it did not finish")
            return Recorded(tags)
        content: Any = settings.read_yaml(params)
        return Recorded(tags, flatten(content), _digest(params, lineage))


def _experiments_run(run_id: str, lineage: Lineage) -> str:
    """The id of a run's experiment: its parent's if it is one of several trials, else its own."""
    run = find_run(run_id)
    parent = run.described()[1].get(PARENT_RUN) if run else None
    if parent is None:
        return run_id
    lineage.links["trial"] = run_id
    return parent


def _check_trial(lineage: Lineage, model: Mapping[str, str], run: Recorded) -> None:
    """Add the trial that the model comes from, if there are several."""
    best = run.tags.get(BEST_TRIAL) or model.get("trial_run_id")
    if best is None:
        return
    if model and run.tags:
        lineage.compare("best trial", {"model": model.get("trial_run_id"), "run": best})
    trial = lineage.links.get("trial", best)
    if trial != best:
        lineage.note(f"trial: another was the best, {best}; the model comes from that one")
    lineage.links["trial"] = f"{trial}{_in_words(model) if trial == best else ''}"


def _in_words(model: Mapping[str, str]) -> str:
    return f", with {model['changes']}" if model.get("changes") else ""


def _digest(params: Path, lineage: Lineage) -> str | None:
    try:
        return settings.load(params).digest()
    except settings.SettingsError:
        lineage.note("settings: from another version of this project; check out its code and try again")
        return None


def _scored(revision: Revision, run_id: str, lineage: Lineage) -> str | None:
    """The digest of the weights that a revision's scores belong to; None if those are another run's."""
    scores = revision.json(SCORES)
    if not scores:
        return None
    if scores["mlflow"]["run_id"] != run_id:
        lineage.note(f"scores: those in {revision.name} are of another model; `dvc repro` scores this one")
        return None
    return str(scores["model_sha256"])


def _compare(lineage: Lineage, model: Mapping[str, str], run: Recorded, scored: str | None) -> None:
    """Check that the model, its run and its scores agree."""
    for what, key, tag, others in (
        ("weights", "weights_sha256", "model_sha256", {"scores": scored}),
        ("settings", "params_digest", "params_digest", {"run's params.yaml": run.digest}),
        ("code", "git_commit", "git_commit", {}),
    ):
        claims: dict[str, str | None] = {source: value for source, value in others.items() if value}
        if run.tags and not run.origin:
            claims = {"run": run.tags.get(tag), **claims}
        if model:
            claims = {"model": model.get(key), **claims}
        lineage.compare(what, claims)
        if value := run.tags.get(tag) or model.get(key):
            lineage.links.setdefault(what, value)


def _check_revision(revision: Revision, run: Recorded, lineage: Lineage) -> None:
    """Check that the settings committed with the results are those of the run."""
    lineage.links["results"] = revision.commit
    if experiment := revision.experiment or run.experiment:
        lineage.links["DVC experiment"] = experiment
    if run.tags and revision.experiment not in (None, run.experiment):
        origin = f"the experiment {run.experiment}" if run.experiment else "no experiment"
        lineage.note(f"run: was started in {origin}; {revision.experiment} took over its model")
    if not run.params:
        return
    here = flatten(revision.yaml(PARAMS))
    changed = sorted(key for key in here.keys() | run.params.keys() if here.get(key) != run.params.get(key))
    if not changed:
        lineage.check(True, f"settings: {revision.name} holds the run's {PARAMS}")
    trained = read_stages(revision.yaml(git.PIPELINE))[TRAIN]
    for key in changed:
        what = f"settings: {key} is {run.params.get(key)} in the run, {here.get(key)} in {revision.name}"
        # settings that do not affect training may differ, to score or export its model again
        if trained.depends_on(key):
            lineage.check(False, what)
        else:
            lineage.note(what)


def _check_code(commit: str | None, dirty: bool, revision: Revision | None, lineage: Lineage) -> None:
    """Check that the code can be checked out."""
    if commit in (None, provenance.UNKNOWN):
        lineage.note("code: its commit is unknown")
        return
    here = bool(git.ask("cat-file", "-t", commit))
    if not here and git.is_shallow(git.project_folder()):
        lineage.note("code: its commit is not in this shallow clone; git fetch --unshallow brings it")
    else:
        lineage.check(here, "code: its commit is in this repository")
    if dirty:
        lineage.note(f"code: had changes that are not in its commit{_kept(commit, revision)}")


def _kept(commit: str, revision: Revision | None) -> str:
    if revision is None:
        return ""
    listed = [git.PIPELINE, *sources(read_stages(revision.yaml(git.PIPELINE)))]
    if git.ask("diff", "--name-only", commit, revision.commit, "--", *listed):
        return f"; {revision.name} holds those to files that git knew"
    return ""
