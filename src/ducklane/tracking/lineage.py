"""Traces a score back to the code, settings and model behind it, and checks each step.

A model file, an MLflow run and a DVC experiment each name the others, and these names have to agree.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ducklane import settings
from ducklane.errors import PolicyError
from ducklane.project import provenance
from ducklane.project.outputs import CHECKPOINT, RESULTS
from ducklane.project.recipe import flatten
from ducklane.project.stages import TRAIN, read_stages, sources
from ducklane.repository import git
from ducklane.tracking.findings import NOTE, OK, WRONG, Lineage
from ducklane.tracking.revisions import Revision, find_revision, holder
from ducklane.tracking.runs import BEST_TRIAL, PARENT_RUN, RUN_ID, STAGE, find_run
from ducklane.tracking.store.opening import answer_quickly, shown_store

PARAMS = str(settings.PARAMS_FILE)
SCORES = str(RESULTS / "evaluate/scores.json")

STANDS_FOR, EXPERIMENT = "origin_run_id", "dvc_experiment"
"""Tags of a run: the run of another store that it stands in for, and the DVC experiment that started it."""

Facts = Mapping[str, str]
"""What a source tells: a model's provenance, a run's tags, the scores."""


def trace(thing: str) -> Lineage:
    """Follow a model file, an MLflow run or a DVC experiment.

    Args:
        thing: path of an ONNX file or a checkpoint folder, id of a run, or name of an experiment or commit.

    Raises:
        LineageError: there is nothing of that name.
        PolicyError: the model file is damaged.
        TrackingError: the store cannot be used.
    """
    answer_quickly()
    lineage = Lineage()
    revision: Revision | None = None
    model: Facts = {}
    if Path(thing).exists():
        model = _read_model(Path(thing), thing, lineage)
        run_id = model["mlflow_run_id"]
    elif RUN_ID.fullmatch(thing):
        run_id = thing
        nested = found.described()[1] if (found := find_run(thing)) else {}
        if parent := nested.get(PARENT_RUN):
            run_id, lineage.links["scored in" if STAGE in nested else "trial"] = parent, thing
    else:
        revision = find_revision(thing)
        run_id = str(revision.run_id)
    tags, params, digest = _read_run(run_id, lineage)
    revision = revision or holder(tags.get(STANDS_FOR, run_id), tags.get(EXPERIMENT))
    if revision and not model:
        model = _model_in(revision, lineage)
    _check_trial(lineage, model, tags)
    scores = _scores(revision, run_id, lineage) if revision else {}
    _compare(lineage, model, tags, scores, {"params_digest": digest} if digest else {})
    if revision:
        _check_revision(lineage, revision, tags, params)
    elif EXPERIMENT in tags:
        lineage.add(NOTE, f"results: {tags[EXPERIMENT]} no longer exists; the run has its settings")
    _check_code(lineage, tags, revision)
    return lineage


def _read_model(path: Path, name: str, lineage: Lineage) -> Facts:
    """The provenance in a model; loading it checks its bytes."""
    if path.is_dir():
        from ducklane.policy import load_policy

        origin: Mapping[str, object] = load_policy(path).spec.provenance.model_dump()
    else:
        from ducklane.export.onnx_policy import OnnxPolicy

        origin = OnnxPolicy(path).provenance
    lineage.links |= {"model": name, "weights": str(origin["weights_sha256"])}
    lineage.add(OK, "model: its bytes are those that were written")
    facts = {key: str(value) for key, value in origin.items() if value not in (None, {})}
    return facts | {"model_sha256": facts["weights_sha256"]}  # as runs and scores call it


def _model_in(revision: Revision, lineage: Lineage) -> Facts:
    """The model among a revision's results, from DVC's cache or its remote storage."""
    from dvc.api import DVCFileSystem

    from ducklane.policy import POLICY_FILE, WEIGHTS_FILE

    name = f"{CHECKPOINT} of {revision.name}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            # for a commit this shows the whole repository; DVC projects in subfolders only with subrepos
            files = DVCFileSystem(rev=revision.commit, subrepos=True)
            for file in (POLICY_FILE, WEIGHTS_FILE):
                files.get_file(f"/{git.place()}{CHECKPOINT}/{file}", str(Path(folder, file)))
        except Exception:  # DVC and its storage backends raise dozens of kinds of errors
            lineage.add(NOTE, f"model: {name} is not in DVC's cache; `dvc pull` fetches it if it was pushed")
            return {}
        try:
            return _read_model(Path(folder), name, lineage)
        except PolicyError as error:
            lineage.add(WRONG, f"model: {name}: {str(error).replace(f'{folder}{os.sep}', '')}")
            return {}


def _read_run(run_id: str, lineage: Lineage) -> tuple[Facts, dict[str, object], str | None]:
    """A run's tags, its params.yaml flattened to `section.key`, and the digest of these settings."""
    lineage.links |= {"MLflow run": run_id, "MLflow store": shown_store()}
    run = find_run(run_id)
    if run is None:
        lineage.add(NOTE, "run: unknown to this MLflow store")
        return {}, {}, None
    info, tags = run.described()
    lineage.links["MLflow run"] = f"{run_id}, {info}"
    if run_elsewhere := tags.get(STANDS_FOR):
        lineage.links["stands in for"] = f"{run_elsewhere}, a run of another store"
        return tags, {}, None
    with tempfile.TemporaryDirectory() as folder:
        file = run.fetch(PARAMS, Path(folder))
        if file is None:
            lineage.add(NOTE, f"run: holds no {PARAMS}, as it did not finish")
            return tags, {}, None
        content: Any = settings.read_yaml(file)
        try:
            digest = settings.load(file).digest()
        except settings.SettingsError:
            cure = "check out its code and try again"
            lineage.add(NOTE, f"settings: from another version of this project; {cure}")
            digest = None
    return tags, flatten(content), digest


def _check_trial(lineage: Lineage, model: Facts, tags: Facts) -> None:
    """Add the trial that the model comes from, if there are several."""
    best = tags.get(BEST_TRIAL) or model.get("trial_run_id")
    if best is None:
        return
    if model and tags:
        lineage.compare("best trial", {"model": model.get("trial_run_id"), "run": best})
    if lineage.links.setdefault("trial", best) != best:
        lineage.add(NOTE, f"trial: another was the best, {best}; the model comes from that one")
    elif changes := model.get("changes"):
        lineage.links["trial"] += f", with {changes}"


def _scores(revision: Revision, run_id: str, lineage: Lineage) -> Facts:
    """The scores in a revision, unless they are another run's."""
    scores: dict[str, Any] = revision.read(SCORES)
    if scores and scores["mlflow"]["run_id"] != run_id:
        cure = "`dvc repro` scores this one"
        lineage.add(NOTE, f"scores: those in {revision.name} are of another model; {cure}")
        return {}
    return scores


def _compare(lineage: Lineage, model: Facts, tags: Facts, scores: Facts, params: Facts) -> None:
    """Check that the model, its run and its scores agree; what is unknown has no facts."""
    told = {"model": model, "run": {} if STANDS_FOR in tags else tags}
    for what, key, others in (
        ("weights", "model_sha256", {"scores": scores}),
        ("settings", "params_digest", {"run's params.yaml": params}),
        ("code", "git_commit", {}),
    ):
        all_told = told | others
        lineage.compare(what, {name: facts.get(key) for name, facts in all_told.items() if facts})
        if value := tags.get(key) or model.get(key):
            lineage.links.setdefault(what, value)


def _check_revision(lineage: Lineage, revision: Revision, tags: Facts, params: Mapping[str, object]) -> None:
    """Check that the settings committed with the results are those of the run."""
    lineage.links["results"] = revision.commit
    started = tags.get(EXPERIMENT)
    if experiment := revision.experiment or started:
        lineage.links["DVC experiment"] = experiment
    if tags and revision.experiment not in (None, started):
        origin = f"the experiment {started}" if started else "no experiment"
        lineage.add(NOTE, f"run: was started in {origin}; {revision.experiment} took over its model")
    if not params:
        return
    here = flatten(revision.read(PARAMS))
    changed = sorted(key for key in here.keys() | params.keys() if here.get(key) != params.get(key))
    if not changed:
        lineage.add(OK, f"settings: {revision.name} holds the run's {PARAMS}")
    trained = read_stages(revision.read(git.PIPELINE))[TRAIN]
    for key in changed:
        what = f"{key} is {params.get(key)} in the run, {here.get(key)} in {revision.name}"
        # settings that do not affect training may differ, to score or export its model again
        lineage.add(WRONG if trained.depends_on(key) else NOTE, f"settings: {what}")


def _check_code(lineage: Lineage, tags: Facts, revision: Revision | None) -> None:
    """Check that the code can be checked out."""
    commit = lineage.links.get("code")
    if commit in (None, provenance.UNKNOWN):
        lineage.add(NOTE, "code: its commit is unknown")
        return
    here = bool(git.ask("cat-file", "-t", commit))
    if not here and git.is_shallow(git.project_folder()):
        lineage.add(NOTE, "code: its commit is not in this shallow clone; git fetch --unshallow brings it")
    else:
        lineage.add(OK if here else WRONG, "code: its commit is in this repository")
    if tags.get("git_dirty") == "true":
        kept = ""
        listed = [git.PIPELINE, *sources(read_stages(revision.read(git.PIPELINE)))] if revision else []
        if revision and git.ask("diff", "--name-only", commit, revision.commit, "--", *listed):
            kept = f"; {revision.name} holds those to files that git knew"
        lineage.add(NOTE, f"code: had changes that are not in its commit{kept}")
