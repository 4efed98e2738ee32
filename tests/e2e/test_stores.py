"""What docs/stores.md promises, with its own commands: a server on PostgreSQL, a DVC remote, the registry."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from clones import REPOSITORY, Project, clone, set_param
from mlflow import MlflowClient

from ducklane import settings
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.policy import Observations
from ducklane.tracking import registry
from ducklane.tracking import runs as tracking
from ducklane.tracking.view import COLUMNS, TAG, save_view

PAGE = (REPOSITORY / "docs" / "stores.md").read_text()
COMMANDS = "".join(re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()

EXAMPLES = {
    "files": "/srv/mlflow",
    "port": "5000",
    "database": "/srv/ducklane/mlflow.db",
    "models": "/srv/ducklane/models",
    "served": "5001",
}

pytestmark = pytest.mark.timeout(1800)


def told(command: str, **real: object) -> str:
    """A command of the page, with what is real in place of its examples."""
    assert command in COMMANDS
    for example in real:
        assert EXAMPLES[example] in command
        command = command.replace(EXAMPLES[example], str(real[example]))
    return command


def test_every_command_on_the_page_is_typed_here() -> None:
    typed = re.findall(r'told\(\s*"(.*?)"', Path(__file__).read_text())
    assert sorted(set(typed)) == sorted(set(COMMANDS))


def export(project: Project, line: str) -> None:
    name, _, value = line.removeprefix("export ").partition("=")
    project.environment[name] = value


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(
    command: list[str], ready: Callable[[], bool], log: Path, end: signal.Signals, **options: Any
) -> Iterator[None]:
    """A program in the background, ready to be used."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
    try:
        while not ready():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, end)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def postgresql() -> Iterator[dict[str, str]]:
    """A throw-away database server; the environment in which PostgreSQL's programs find it."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    assert versions, "PostgreSQL is missing: run `make setup-tests`"
    programs = versions[-1]
    # a socket's path is short, and the server does not run as root
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if who:
        shutil.chown(folder, "postgres", "postgres")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(folder),
        "PGPORT": str(free_port()),
        "PGUSER": "postgres",
    }

    def ready() -> bool:
        return subprocess.run(["pg_isready", "--quiet"], env=environment).returncode == 0

    where = {"cwd": folder, "env": environment, **who}
    # who comes through the network is asked for a password
    auth = ["--auth-local=trust", "--auth-host=scram-sha-256"]
    initdb = ["initdb", "--pgdata=data", "--username=postgres", *auth, "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **where)
    server = ["postgres", "-D", "data", "-k", str(folder), "-h", "127.0.0.1", "-F"]
    with running(server, ready, folder / "log", signal.SIGINT, **where):
        yield environment
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def port(postgresql: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of an MLflow server that keeps its runs in PostgreSQL."""
    for command in (told("createuser mlflow"), told("createdb --owner mlflow mlflow")):
        subprocess.run(command.split(), check=True, env=postgresql)
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = told(
        "mlflow server --backend-store-uri postgresql+psycopg2:///mlflow --artifacts-destination /srv/mlflow",
        files=folder / "files",
    )
    # without the processes for language models' jobs, which take long to start
    environment = {**postgresql, "PGUSER": "mlflow", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address = f"http://127.0.0.1:{port}/health"
    with running(
        f"{command} --workers 1 --port {port}".split(),
        lambda: answers(address),
        folder / "log",
        signal.SIGKILL,
        cwd=folder,
        env=environment,
    ):
        yield port


@pytest.fixture(scope="module")
def server(port: int) -> MlflowClient:
    return MlflowClient(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC remote."""
    return tmp_path_factory.mktemp("remote") / "models"


@pytest.fixture(scope="module")
def project(port: int, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone that works with both stores, after its first `dvc repro`; all is pushed."""
    folder = tmp_path_factory.mktemp("e2e")
    project = clone(folder / "ducklane")
    project.type("git checkout -q -B main")
    project.type(told("dvc remote add --default storage /srv/ducklane/models", models=models))
    project.type("git commit -qam remote")
    project.type(f"git clone -q --bare . {folder}/origin.git")
    project.type(f"git remote set-url origin {folder}/origin.git")
    export(project, told("export MLFLOW_TRACKING_URI=http://127.0.0.1:5000", port=port))
    project.type(told("python -m ducklane.tracking"))
    project.type(told("dvc repro"))
    # what is on no branch yet
    project.type("dvc exp save --name slower")
    project.type(told("dvc exp push origin slower"))
    project.type(told("git add -A"))
    project.type(told("git commit -m trained"))
    project.type(told("dvc push"))
    project.type("git push -q origin main")
    return project


def elsewhere(project: Project, folder: Path, revision: str = "main") -> Project:
    """A fresh clone of what was pushed, which knows no MLflow server."""
    origin = project.type("git remote get-url origin").strip()
    subprocess.run(["git", "clone", "-q", origin, folder], check=True)
    other = Project(folder)
    other.type(f"git checkout -q {revision}")
    other.type("git config user.name tester")
    other.type("git config user.email tester@localhost")
    return other


def run_id(project: Project) -> str:
    return str(project.json("results/train/summary.json")["mlflow"]["run_id"])


def curve(project: Project) -> list[dict[str, float]]:
    with (project.root / "results/train/learning_curve.csv").open() as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def holds_every_point(store: MlflowClient, run: str, rows: list[dict[str, float]]) -> None:
    for name in rows[0]:
        points = sorted((point.step, point.value) for point in store.get_metric_history(run, name))
        known = [(row["timesteps_total"], row[name]) for row in rows if math.isfinite(row[name])]
        assert np.allclose(points, known), name


def params_of(project: Project) -> dict[str, str]:
    chosen = settings.load(project.root / "params.yaml")
    return {name: str(value) for name, value in tracking.flatten(chosen.as_dict()).items()}


def test_a_server_on_postgresql_holds_the_whole_experiment(
    project: Project, server: MlflowClient, postgresql: dict[str, str]
) -> None:
    run = server.get_run(run_id(project))
    assert run.info.status == "FINISHED"
    assert run.data.params == params_of(project)
    holds_every_point(server, run.info.run_id, curve(project))
    assert run.data.metrics.keys() >= {"evaluate/distance_m", "export/max_abs_difference"}
    for folder in ("train", "evaluate", "export"):
        assert server.list_artifacts(run.info.run_id, folder), folder
    for artifact in ("params.yaml", "evaluate/drive.mp4"):
        local = project.root / ("" if artifact == "params.yaml" else "results") / artifact
        assert Path(server.download_artifacts(run.info.run_id, artifact)).read_bytes() == local.read_bytes()
    (version,) = server.search_model_versions("name = 'ducklane-policy'")
    assert version.run_id == run.info.run_id
    datasets = {data.dataset.name for data in run.inputs.dataset_inputs}
    assert datasets == {"loop_empty", "recipe", "loop_empty: 2 starts"}
    (model,) = server.search_logged_models([run.info.experiment_id])
    assert {point.dataset_name for point in model.metrics} == {"loop_empty: 2 starts"}
    (distance,) = [point.value for point in model.metrics if point.key == "evaluate/distance_m"]
    assert distance == run.data.metrics["evaluate/distance_m"]
    assert len(server.get_metric_history(run.info.run_id, "evaluate/distance_m")) == 1
    assert not (project.root / "mlflow.db").exists()
    assert not (project.root / "mlartifacts").exists()
    query = ["psql", "--tuples-only", "--no-align", "--command", "select status from runs", "mlflow"]
    assert subprocess.check_output(query, env=postgresql, text=True).split() == ["FINISHED"]


def test_a_fresh_clone_pulls_the_model_and_trains_nothing(project: Project, tmp_path: Path) -> None:
    fresh = elsewhere(project, tmp_path / "fresh")
    assert not (fresh.root / "models" / "checkpoint").exists()
    fresh.type(told("dvc pull"))
    repeated = fresh.type(told("dvc repro"))
    assert "Stage 'train' didn't change, skipping" in repeated
    assert "Running stage" not in repeated
    assert fresh.type("git status --porcelain") == ""
    for name in ("models/checkpoint/network.pt", "models/policy.onnx", "results/evaluate/drive.mp4"):
        assert (fresh.root / name).read_bytes() == (project.root / name).read_bytes()
    # the model is enough to be scored, in a store that never heard of its training run
    fresh.type(told("python pipeline/evaluate.py"))
    (run,) = fresh.store.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["origin_run_id"] == run_id(project)
    scores, again = project.json("results/evaluate/scores.json"), fresh.json("results/evaluate/scores.json")
    assert again.pop("mlflow") == {"run_id": run.info.run_id}
    del scores["mlflow"]
    assert again == scores
    assert run.data.metrics["evaluate/distance_m"] == pytest.approx(scores["readable"]["distance_m"])


def test_repro_can_pull_what_it_needs(project: Project, tmp_path: Path) -> None:
    fresh = elsewhere(project, tmp_path / "fresh")
    assert "Running stage" not in fresh.type(f"{told('dvc repro')} --pull")
    assert (fresh.root / "models" / "checkpoint" / "network.pt").exists()


def test_an_experiment_can_be_passed_from_clone_to_clone(project: Project, tmp_path: Path) -> None:
    fresh = elsewhere(project, tmp_path / "fresh", revision="main~1")
    fresh.type(told("dvc exp pull origin slower"))
    fresh.type(told("dvc exp apply slower"))
    assert run_id(fresh) == run_id(project)
    assert "Running stage" not in fresh.type("dvc repro")


@pytest.fixture(scope="module")
def champion(project: Project, port: int) -> OnnxPolicy:
    """The server's champion, downloaded: so short a training run does not become it by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert registry.crown("ducklane-policy", "1", 7.0, 6.9, 7.1) == "champion is version 1 (7.00 m)"
    project.type(
        told("mlflow artifacts download --artifact-uri models:/ducklane-policy@champion --dst-path champion")
    )
    return OnnxPolicy(project.root / "champion" / "model.onnx")


def test_the_champion_is_the_exported_file_and_can_be_traced_and_driven(
    project: Project, champion: OnnxPolicy
) -> None:
    exported = project.root / "models" / "policy.onnx"
    assert (project.root / "champion" / "model.onnx").read_bytes() == exported.read_bytes()
    assert champion.provenance["mlflow_run_id"] == run_id(project)
    traced = project.type(told("ducklane lineage champion/model.onnx"))
    assert run_id(project) in traced
    assert "WRONG" not in traced
    assert "onnx" in project.type(told("ducklane drive --model champion/model.onnx") + " --seconds 1")


def test_the_champion_is_served(project: Project, champion: OnnxPolicy, tmp_path: Path) -> None:
    command = told(
        "mlflow models serve --model-uri models:/ducklane-policy@champion --env-manager local --port 5001",
        served=(port := free_port()),
    )
    address = f"http://127.0.0.1:{port}"
    shape = (1, champion.frame_stack, *champion.camera_shape, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for shown in range(champion.frame_stack):
        commands = champion.act(Observations(frames[:, shown], np.full((1, 2), np.nan)))
    body = json.dumps({"inputs": {"frames": frames.tolist()}}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with (
        running(
            command.split(),
            lambda: answers(f"{address}/ping"),
            tmp_path / "log",
            signal.SIGKILL,
            cwd=project.root,
            env=project.environment,
        ),
        urllib.request.urlopen(request) as answer,
    ):
        served = json.load(answer)["predictions"]["wheels"]
    assert np.allclose(served, commands, atol=1e-6)


WRITE = """
import sys
from pathlib import Path
from ducklane import settings
from ducklane.tracking import runs as tracking
chosen = settings.load(Path(sys.argv[1]))
with tracking.training_run(chosen, None) as run:
    for step in range(64, 704, 64):
        run.log_metrics({"loss/total": step / 7, "timesteps_total": float(step)}, step=step)
    run.log_artifact(Path(sys.argv[1]))
print(run.id)
"""
"""What a training run does to the store, without training."""


def test_four_processes_write_to_one_sqlite_store_at_once(tmp_path: Path) -> None:
    project = Project(REPOSITORY)
    store = tmp_path / "mlflow.db"
    export(project, told("export MLFLOW_TRACKING_URI=sqlite:////srv/ducklane/mlflow.db", database=store))
    project.environment["DVC_ROOT"] = str(tmp_path)
    project.type(told("python -m ducklane.tracking"))
    (tmp_path / "write.py").write_text(WRITE)
    writers = [project.start(f"python {tmp_path / 'write.py'} params.yaml") for _ in range(4)]
    printed = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0], "".join(printed)
    client = MlflowClient(f"sqlite:///{store}")
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    assert runs.keys() == {text.split()[-1] for text in printed}
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params == params_of(project)
        points = client.get_metric_history(run.info.run_id, "loss/total")
        assert [point.step for point in points] == list(range(64, 704, 64))
        assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["params.yaml"]


PASSWORD = "Pa@ss:wo/rd%7"

EXPORT = f"""{WRITE}
from ducklane.tracking.findings import show
from ducklane.tracking.lineage import trace
show(trace(run.id))
run.log_policy(Path(sys.argv[2]), registered_name=sys.argv[3], frames_shape=(1, 2, 2, 3))
print(tracking.client().get_run(run.id).info.artifact_uri)
"""


@pytest.fixture
def database(postgresql: dict[str, str], port: int) -> str:
    """Address of the server's own database, with its user's password."""
    query = ["psql", "-c", f"alter role mlflow password '{PASSWORD}'"]
    subprocess.run(query, check=True, env=postgresql, stdout=subprocess.DEVNULL)
    return f"postgresql+psycopg2://mlflow:{quote(PASSWORD, safe='')}@127.0.0.1:{postgresql['PGPORT']}/mlflow"


@pytest.mark.parametrize("kind", ["server", "database"])
def test_a_password_is_never_printed_or_stored(
    kind: str, port: int, database: str, postgresql: dict[str, str], smallest_policy: Path, tmp_path: Path
) -> None:
    project = Project(REPOSITORY)
    server = f"http://mlflow:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    project.environment["MLFLOW_TRACKING_URI"] = database if kind == "database" else server
    project.environment["DVC_ROOT"] = str(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    set_param(tmp_path / "params.yaml", "mlflow.experiment_name", kind)
    (tmp_path / "write.py").write_text(EXPORT)
    printed = project.type(f"python {tmp_path}/write.py {tmp_path}/params.yaml {smallest_policy} {kind}")
    place = printed.splitlines()[-1]
    # not beside the command, which DVC may run in a copy that it deletes
    assert place.startswith("mlflow-artifacts:/" if kind == "server" else (tmp_path / "mlartifacts").as_uri())
    dump = subprocess.check_output(["pg_dump", "mlflow"], env=postgresql)
    assert place.encode() in dump
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in [printed.encode(), dump, *files]:
        for secret in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD)):
            assert secret.encode() not in text
    assert "mlflow:***@127.0.0.1" in printed


@pytest.mark.parametrize(
    ("user", "name", "said"),
    [
        ("mlflow:Wrong@", "mlflow", "does not accept the user name and password"),
        ("nobody:Wrong@", "mlflow", "does not accept the user name and password"),
        ("mlflow@", "mlflow", "asks for a password"),
        ("mlflow:RIGHT@", "nosuch", "has no database nosuch; create it (createdb)"),
        ("guest:RIGHT@", "mlflow", "denies this user permission"),
        ("guest:RIGHT@", "postgres", "does not let this user create tables in schema public"),
    ],
)
def test_a_refusal_by_postgresql_is_explained(
    monkeypatch: pytest.MonkeyPatch,
    postgresql: dict[str, str],
    database: str,
    user: str,
    name: str,
    said: str,
) -> None:
    role = f"drop role if exists guest; create role guest login password '{PASSWORD}'"
    subprocess.run(["psql", "-qc", role], check=True, env=postgresql)
    user = user.replace("RIGHT", quote(PASSWORD, safe=""))
    place = f"127.0.0.1:{postgresql['PGPORT']}/{name}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg2://{user}{place}")
    with pytest.raises(tracking.TrackingError, match=re.escape(said)) as refused:
        tracking.client()
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert "Wrong" not in str(refused.value)


def test_a_servers_experiment_is_refused_when_its_database_is_used_directly(
    monkeypatch: pytest.MonkeyPatch, port: int, database: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    tracking.prepare_store("of the server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    with pytest.raises(tracking.TrackingError, match="a server keeps the files of its experiment"):
        tracking.prepare_store("of the server")


def test_the_columns_of_the_list_of_runs_are_kept_by_a_server(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    experiment_id = tracking.prepare_store("columns")
    for _ in range(2):
        save_view(experiment_id)
    view = json.loads(tracking.client().get_experiment(experiment_id).tags[TAG])
    assert json.loads(view["state"])["selectedColumns"] == list(COLUMNS)
    assert view["createdAt"] == view["updatedAt"]


def test_a_server_under_another_name_is_reported_with_allowed_hosts(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    # another way to write 127.0.0.1, which MLflow takes for a name of someone else
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.1:{port}")
    with pytest.raises(tracking.TrackingError, match=f"--allowed-hosts .*127.1:{port}"):
        tracking.client()


def test_no_proxy_is_used_for_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://localhost:{port}")
    assert tracking.prepare_store("ducklane")


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ("./mlruns", 2, "names a folder"),
        ("postgresql+psycopg2://a:secret@127.0.0.1:1/x", 1, "does not answer"),
    ],
)
def test_a_refused_store_leaves_the_model_untouched(tmp_path: Path, told: str, code: int, said: str) -> None:
    project = Project(tmp_path)
    project.environment["MLFLOW_TRACKING_URI"] = told
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    model = tmp_path / "models" / "checkpoint" / "network.pt"
    model.parent.mkdir(parents=True)
    model.write_text("trained for hours")
    before = sorted(tmp_path.rglob("*"))
    (line,) = project.type(f"python {REPOSITORY}/pipeline/train.py", code=code).splitlines()
    assert said in line
    assert "secret" not in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.full
def test_four_training_runs_write_to_one_sqlite_store_at_once(tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    projects = [clone(tmp_path / f"clone-{seed}") for seed in range(1, 5)]
    for seed, project in enumerate(projects, start=1):
        set_param(project.root / "params.yaml", "simulator.seed", seed)
        set_param(project.root / "params.yaml", "tune.stop.timesteps_total", 640)
        export(project, told("export MLFLOW_TRACKING_URI=sqlite:////srv/ducklane/mlflow.db", database=store))
    projects[0].type(told("python -m ducklane.tracking"))
    trainings = [project.start(told("python pipeline/train.py")) for project in projects]
    printed = [training.communicate()[0] for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0, 0, 0], "".join(printed)
    client = MlflowClient(f"sqlite:///{store}")
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    assert runs.keys() == {run_id(project) for project in projects}
    assert len(runs) == 4
    for project in projects:
        run = runs[run_id(project)]
        assert run.info.status == "FINISHED"
        assert run.data.params == params_of(project)
        rows = curve(project)
        assert [row["training_iteration"] for row in rows] == list(range(1, 11))
        holds_every_point(client, run.info.run_id, rows)
        assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"params.yaml", "train"}
