"""A model, its MLflow run and the commit that holds its results have to tell the same story."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import experiments
import pytest

from ducklane.policy import Provenance, TrainedPolicy, save_policy
from ducklane.settings import Settings
from ducklane.tracking import runs as tracking
from ducklane.tracking.findings import NOTE, WRONG, Lineage, show
from ducklane.tracking.lineage import trace
from ducklane.tracking.revisions import LineageError

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = Path("models/checkpoint")


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def commit(message: str) -> str:
    git("add", "-A")
    git("commit", "-qm", message)
    return git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this project's settings and stages, and an MLflow store."""
    root = tmp_path_factory.mktemp("lineage") / "ducklane"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        patched.setenv("DVC_ROOT", str(root))
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(REPOSITORY / name, root)
        (root / ".gitignore").write_text("/models/\n/mlflow.db\n/mlartifacts/\n")
        git("init", "-q")
        git("config", "user.name", "tester")
        git("config", "user.email", "tester@localhost")
        commit("code and settings")
        tracking.prepare_store("ducklane")
    return root


@dataclass
class Trained:
    """What a training run left, as the stages would leave it."""

    run_id: str
    origin: Provenance

    def tag(self, name: str, value: str) -> None:
        tracking.client().set_tag(self.run_id, name, value)


@pytest.fixture
def trained(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    make_policy: Callable[[Settings], TrainedPolicy],
) -> Trained:
    """A trained and scored policy; its results are committed, its model is in the working tree."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", root)
    store = tracking.client()
    run_id = store.create_run(tracking.prepare_store("ducklane")).info.run_id
    policy = make_policy(settings)
    about = {"mlflow_run_id": run_id, "git_commit": git("rev-parse", "HEAD")}
    origin = policy.spec.provenance.model_copy(update=about)
    save_policy(MODEL, policy.spec.model_copy(update={"provenance": origin}), policy.network)
    tags = {
        "git_commit": origin.git_commit,
        "git_dirty": "false",
        "params_digest": origin.params_digest,
        "model_sha256": origin.weights_sha256,
    }
    for name, value in tags.items():
        store.set_tag(run_id, name, value)
    store.log_artifact(run_id, "params.yaml")
    results("train/summary", mlflow={"run_id": run_id})
    results("evaluate/scores", mlflow={"run_id": run_id}, model_sha256=origin.weights_sha256)
    commit("results")
    return Trained(run_id, origin)


def results(name: str, **content: Any) -> None:
    path = Path("results", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def said(lineage: Lineage, result: str) -> list[str]:
    return [what for kind, what in lineage.checks if kind == result]


def test_a_model_its_run_and_its_commit_lead_to_each_other(trained: Trained) -> None:
    by_model, by_run, by_commit = trace(str(MODEL)), trace(trained.run_id), trace("HEAD")
    assert by_model.agrees
    assert by_run.agrees
    assert by_commit.agrees
    for lineage in (by_model, by_run, by_commit):
        assert lineage.links["MLflow run"].startswith(trained.run_id)
        assert lineage.links["results"] == git("rev-parse", "HEAD")
        assert lineage.links["code"] == trained.origin.git_commit == git("rev-parse", "HEAD~1")
        assert lineage.links["settings"] == trained.origin.params_digest
        assert lineage.links["weights"] == trained.origin.weights_sha256
    assert "weights: model, run and scores agree" in said(by_model, "ok")
    # there, but only in this working tree
    assert any("is not in DVC's cache" in note for note in said(by_commit, NOTE))


@pytest.mark.parametrize(
    ("tag", "what"), [("model_sha256", "weights"), ("params_digest", "settings"), ("git_commit", "code")]
)
def test_a_run_with_other_tags_is_detected(trained: Trained, tag: str, what: str) -> None:
    trained.tag(tag, "0" * 64)
    wrong = said(trace(str(MODEL)), WRONG)
    assert any(line.startswith(f"{what}: ") and "000000000000 in run" in line for line in wrong)


def test_scores_of_another_model_are_detected(trained: Trained) -> None:
    results("evaluate/scores", mlflow={"run_id": trained.run_id}, model_sha256="f" * 64)
    commit("other scores")
    (wrong,) = said(trace("HEAD"), WRONG)
    weights = trained.origin.weights_sha256[:12]
    assert wrong == f"weights: {weights} in run, ffffffffffff in scores"


def test_scores_left_by_an_earlier_training_run_are_reported(trained: Trained) -> None:
    results("evaluate/scores", mlflow={"run_id": "0" * 32}, model_sha256="f" * 64)
    commit("trained, not yet scored")
    lineage = trace("HEAD")
    assert lineage.agrees
    assert any(
        note.endswith("are of another model; `dvc repro` scores this one") for note in said(lineage, NOTE)
    )


def test_settings_that_training_reads_must_match_the_run(trained: Trained) -> None:
    edit("params.yaml", "lr: 0.001 ", "lr: 0.5 ")
    edit("params.yaml", "episodes: 20 ", "episodes: 3 ")
    name = commit("edited by hand")[:12]
    lineage = trace("HEAD")
    assert said(lineage, WRONG) == [f"settings: rllib.lr is 0.001 in the run, 0.5 in {name}"]
    assert f"settings: evaluate.episodes is 20 in the run, 3 in {name}" in said(lineage, NOTE)


def test_settings_of_another_version_are_not_checked(trained: Trained) -> None:
    edit("params.yaml", "  gamma: ", "  discount: ")
    tracking.client().log_artifact(trained.run_id, "params.yaml")
    lineage = trace(str(MODEL))
    assert any(note.startswith("settings: from another version") for note in said(lineage, NOTE))


def test_a_run_that_failed_names_no_model(trained: Trained) -> None:
    run_id = tracking.client().create_run(tracking.prepare_store("ducklane")).info.run_id
    tracking.client().set_tag(run_id, "git_commit", trained.origin.git_commit)
    lineage = trace(run_id)
    assert lineage.agrees
    assert "weights" not in lineage.links
    assert "run: holds no params.yaml, as it did not finish" in said(lineage, NOTE)


def test_uncommitted_changes_are_reported(trained: Trained) -> None:
    trained.tag("git_dirty", "true")
    assert "code: had changes that are not in its commit" in said(trace("HEAD"), NOTE)
    with Path("dvc.yaml").open("a") as file:
        file.write("# changed\n")
    name = commit("with the changes")[:12]
    edit("dvc.yaml", "# changed\n", "")
    told = said(trace("HEAD"), NOTE)
    commit("without them")
    assert f"code: had changes that are not in its commit; {name} holds those to files that git knew" in told


def test_a_missing_commit_is_an_error(trained: Trained) -> None:
    edit(f"{MODEL}/policy.json", trained.origin.git_commit, "d" * 40)
    trained.tag("git_commit", "d" * 40)
    assert said(trace(str(MODEL)), WRONG) == ["code: its commit is in this repository"]


def test_a_model_from_elsewhere_is_traced_as_far_as_possible(trained: Trained) -> None:
    elsewhere = "0" * 32
    edit(f"{MODEL}/policy.json", trained.run_id, elsewhere)
    lineage = trace(str(MODEL))
    assert lineage.agrees
    assert lineage.links["MLflow run"] == elsewhere
    assert lineage.links["code"] == trained.origin.git_commit
    assert "run: unknown to this MLflow store" in said(lineage, NOTE)
    # evaluated here, in a run that stands in for the unknown one
    trained.tag("origin_run_id", elsewhere)
    lineage = trace(trained.run_id)
    assert lineage.agrees
    assert lineage.links["stands in for"].startswith(elsewhere)


def test_a_removed_experiment_leaves_its_run(trained: Trained) -> None:
    git("reset", "-q", "--hard", "HEAD~1")
    git("reflog", "expire", "--expire=now", "--all")
    trained.tag("dvc_experiment", "slower")
    lineage = trace(trained.run_id)
    assert lineage.agrees
    assert "results" not in lineage.links
    assert "results: slower no longer exists; the run has its settings" in said(lineage, NOTE)


@pytest.mark.parametrize("name", ["nothing-of-that-name", "f" * 40])
def test_an_unknown_name_is_refused(trained: Trained, name: str) -> None:
    with pytest.raises(
        LineageError, match=f"{name}: is not a file, an MLflow run's id, a DVC experiment or a commit"
    ):
        trace(name)


def test_a_commit_without_a_training_run_is_refused(trained: Trained) -> None:
    first = git("rev-list", "--max-parents=0", "HEAD")
    with pytest.raises(LineageError, match="nothing was trained in it"):
        trace(first)


def test_a_store_that_is_down_is_reported_in_one_line(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        tracking.TrackingError, match=r"MLflow store http://127\.0\.0\.1:9: does not answer"
    ) as error:
        trace(str(MODEL))
    assert "\n" not in str(error.value)


def test_hashes_with_the_same_beginning_are_shown_in_full() -> None:
    lineage = Lineage()
    lineage.compare("weights", {"model": "a" * 64, "run": "a" * 63 + "b"})
    assert said(lineage, WRONG) == [f"weights: {'a' * 64} in model, {'a' * 63}b in run"]


def test_the_chain_fits_a_terminal(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    show(trace(str(MODEL)))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "model          models/checkpoint"
    assert all(len(line) <= 80 for line in printed if not line.startswith("MLflow store"))


def test_a_project_inside_a_larger_repository_is_traced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    make_policy: Callable[[Settings], TrainedPolicy],
) -> None:
    project = tmp_path / "larger" / "robots" / "duckie"
    (project / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    Path("dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: cp -r ../trained/. .\n    params: [rllib]\n"
        "    outs: [models/checkpoint]\n    metrics: [results/train/summary.json: {cache: false}]\n"
    )
    shutil.copy(REPOSITORY / "params.yaml", project)
    git("init", "-q", str(project.parents[1]))
    code = commit("code and settings")
    policy, run_id = make_policy(settings), "0" * 32
    about = {"mlflow_run_id": run_id, "git_commit": code}
    origin = policy.spec.provenance.model_copy(update=about)
    with monkeypatch.context() as patched:
        Path("../trained").mkdir()
        patched.chdir("../trained")
        save_policy(MODEL, policy.spec.model_copy(update={"provenance": origin}), policy.network)
        results("train/summary", mlflow={"run_id": run_id})
    run_dvc("exp", "run", "-q", "--name", "slower", "-S", "rllib.lr=0.0003")
    # only DVC's cache has the model now
    shutil.rmtree(MODEL)
    lineage = trace("slower")
    assert lineage.agrees
    assert "model: its bytes are those that were written" in said(lineage, "ok")
    assert lineage.links["weights"] == origin.weights_sha256
    assert lineage.links["MLflow run"] == run_id
    assert trace(run_id).links["results"] == lineage.links["results"]
    experiments.fetch("slower", MODEL, tmp_path / "fetched")
    assert json.loads((tmp_path / "fetched/policy.json").read_text())["provenance"]["mlflow_run_id"] == run_id


def run_dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)
