"""What may go wrong, done on purpose, and what became of it.

`make test-faults` does each fault to a small training run in a throw-away clone and then gives the same
command again. It writes benchmarks/results/faults.json and the table in docs/faults.md, and ends with 1 if
anything was lost.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from clones import Project, clone, set_param
from mlflow import MlflowClient
from reports import machine, write_section

from ducklane.policy import load_policy
from ducklane.project.outputs import write_json

RESULTS = Path(__file__).parent / "results" / "faults.json"
PAGE = Path("docs/faults.md")

TRAIN = "python pipeline/train.py"
INTERVAL = 64
"""Environment steps from one checkpoint to the next."""
STEPS = 20 * INTERVAL
PARAMS = "params.yaml"

RECOVERED, REFUSED, LOST = "recovered", "refused clearly", "lost"


@dataclass(frozen=True)
class Outcome:
    """What became of one fault."""

    fault: str
    result: str
    """recovered, refused clearly or lost"""
    detail: str


class Training:
    """A command that trains, started in the background.

    Args:
        project: where.
        command: what is typed.
    """

    def __init__(self, project: Project, command: str = TRAIN) -> None:
        self.process = project.start(command, start_new_session=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return "".join(self.lines)

    @property
    def steps(self) -> int:
        """Environment steps by its last line of progress."""
        found = re.findall(r"^train (\d+)/", self.printed, re.MULTILINE)
        return int(found[-1]) if found else 0

    @property
    def began(self) -> int:
        """Environment steps that it went on from."""
        found = re.search(r"^resuming from (\d+) of", self.printed, re.MULTILINE)
        return int(found[1]) if found else 0

    def wait_for(self, steps: int) -> None:
        """Until it has had so many steps."""
        while self.steps < steps:
            assert self.process.poll() is None, f"ended early:\n{self.printed}"
            time.sleep(0.02)

    def send(self, what: signal.Signals, group: bool = False) -> None:
        """Send a signal, to the command or to all that it started."""
        (os.killpg if group else os.kill)(self.process.pid, what)

    def end(self, timeout: float = 240) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout=10)
        return code


def whole(project: Project, steps: int = STEPS) -> None:
    """Assert that the training run in a clone is complete, and its record without gap or double."""
    run_id = project.json("results/train/summary.json")["mlflow"]["run_id"]
    points = [point.step for point in project.store.get_metric_history(run_id, "loss/total")]
    with (project.root / "results/train/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert points == [int(float(row["timesteps_total"])) for row in rows], f"points of the run: {points}"
    iterations = [int(float(row["training_iteration"])) for row in rows]
    assert iterations == list(range(1, len(rows) + 1)), f"iterations: {iterations}"
    assert points[-1] >= steps, points[-1]
    run = project.store.get_run(run_id)
    assert run.info.status == "FINISHED", run.info.status
    assert (
        load_policy(project.root / "models" / "checkpoint").spec.provenance.weights_sha256
        == run.data.tags["model_sha256"]
    )


def nothing_half_made(project: Project) -> None:
    """Assert that no output is there that looks finished."""
    folders = (project.root / name for name in ("models/checkpoint", "results/train"))
    made = [str(path) for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert not made, f"left: {made}"


def small(folder: Path, **changes: object) -> Project:
    """A clone with a small training run to be disturbed."""
    project = clone(folder / "ducklane")
    set_param(project.root / PARAMS, "tune.stop.timesteps_total", STEPS)
    for key, value in changes.items():
        set_param(project.root / PARAMS, key.replace("__", "."), value)
    return project


def killed(folder: Path, kills: int = 20) -> Iterator[Outcome]:
    """SIGKILL at random instants, repeatedly in the same training run; in another once that has ended."""
    steps = 5 * STEPS
    project, draw = small(folder, tune__stop__timesteps_total=steps), random.Random(0)
    seed, reached = 1, 0
    outcomes: list[Outcome] = []
    while len(outcomes) < kills:
        training = Training(project)
        # half of them while it starts, half while it trains or writes
        trains = len(outcomes) % 2 == 1
        if trains:
            training.wait_for(reached + 1)
        time.sleep(draw.uniform(0, 3 if trains else 12))
        if training.process.poll() is not None:
            _finished(training, reached)
            whole(project, steps)
            seed, reached = seed + 1, 0
            set_param(project.root / PARAMS, "simulator.seed", seed)
            continue
        training.send(signal.SIGKILL)
        training.end()
        if training.steps:
            _went_on(training, reached)
            reached = max(reached, training.steps)
            doing, when = "trained", f"at {training.steps} steps"
        else:
            doing, when = "started", f"after {reached} steps"
        outcomes.append(Outcome(f"SIGKILL of the training run while it {doing}", RECOVERED, when))
    _finished(Training(project), reached)
    whole(project, steps)
    yield from outcomes


def _went_on(training: Training, reached: int) -> None:
    """Assert that a training run began where the one before it was stopped."""
    assert training.began >= reached - INTERVAL, f"went on from {training.began} after {reached}"


def _finished(training: Training, reached: int) -> None:
    """Wait for a training run that goes on to its last step."""
    assert training.end() == 0, training.printed
    _went_on(training, reached)


def interrupted(folder: Path) -> Iterator[Outcome]:
    """SIGINT and SIGTERM through dvc repro, as a terminal and as a system sends them."""
    project, reached = small(folder), 0
    outcomes = []
    for name, sent, group in (
        ("SIGINT (Ctrl-C) to dvc repro", signal.SIGINT, True),
        ("SIGTERM to dvc repro and its stage", signal.SIGTERM, True),
        ("SIGTERM to dvc repro alone", signal.SIGTERM, False),
    ):
        training = Training(project, "dvc repro train")
        training.wait_for(reached + 4 * INTERVAL)
        _went_on(training, reached)
        reached = training.steps
        training.send(sent, group)
        assert training.end() != 0
        _wait_until_free(project)
        nothing_half_made(project)
        outcomes.append(Outcome(name, RECOVERED, f"at {reached} steps"))
    _finished(Training(project, "dvc repro train"), reached)
    whole(project)
    assert "up to date" in project.type("dvc status train")
    yield from outcomes


def _wait_until_free(project: Project) -> None:
    """Until what dvc left running has ended."""
    pattern = f"{project.root}.*pipeline/train.py|pipeline/train.py"
    for _ in range(1800):  # Ray looks for a minute for what it lost
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
        if not any(_works_in(pid, project.root) for pid in found):
            return
        time.sleep(0.1)
    raise AssertionError("a training run has not ended")


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    except OSError:
        return False


def dead_worker(folder: Path) -> Iterator[Outcome]:
    """SIGKILL of one of two sampling processes."""
    project = small(folder, rllib__num_workers=2)
    training = Training(project)
    training.wait_for(4 * INTERVAL)
    workers = _session(training, "VectorEnvRunner")
    assert len(workers) == 2, workers
    os.kill(workers[0], signal.SIGKILL)
    assert training.end() == 0, training.printed
    summary = project.json("results/train/summary.json")
    assert summary["timesteps_total"] >= STEPS
    yield Outcome(
        "SIGKILL of one of two sampling processes", RECOVERED, f"{summary['timesteps_total']} steps"
    )


def _session(training: Training, name: str) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    return [int(pid) for pid, sid, args in rows if int(sid) == training.process.pid and name in args]


def truncated_checkpoint(folder: Path) -> Iterator[Outcome]:
    """The newest checkpoint's largest file loses its end."""
    project = small(folder)
    _kill_at(project, 6 * INTERVAL)
    records = (project.root / "runs" / "train").rglob("record.json")
    newest = max(records, key=lambda path: path.stat().st_mtime).parent
    largest = max(
        (path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    _truncate(largest)
    training = Training(project)
    assert training.end() == 0, training.printed
    whole(project)
    yield Outcome("the newest checkpoint truncated", RECOVERED, f"went on from {training.began} steps")


def _kill_at(project: Project, steps: int) -> Training:
    training = Training(project)
    training.wait_for(steps)
    training.send(signal.SIGKILL)
    training.end()
    return training


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def truncated_store(folder: Path) -> Iterator[Outcome]:
    """mlflow.db loses its end between two training runs."""
    project = small(folder)
    _kill_at(project, 6 * INTERVAL)
    store = project.root / "mlflow.db"
    _truncate(store)
    refused = Training(project)
    assert refused.end() == 1, refused.printed
    said = refused.printed.strip().splitlines()
    assert len(said) == 1, refused.printed
    assert "mlflow.db" in said[0], said
    yield Outcome("mlflow.db truncated", REFUSED, said[0].replace(str(project.root), "."))
    store.rename(project.root / "broken.db")
    training = Training(project)
    assert training.end() == 0, training.printed
    whole(project)
    yield Outcome("mlflow.db truncated, then moved away", RECOVERED, "a new run has all points")


def locked_store(folder: Path) -> Iterator[Outcome]:
    """Another process holds mlflow.db for longer than MLflow waits."""
    project = small(folder, tune__stop__timesteps_total=3 * STEPS)
    training = Training(project)
    training.wait_for(2 * INTERVAL)
    with sqlite3.connect(project.root / "mlflow.db", isolation_level=None) as held:
        held.execute("BEGIN EXCLUSIVE")
        time.sleep(30)
        held.execute("ROLLBACK")
    assert training.end() == 0, training.printed
    whole(project, 3 * STEPS)
    yield Outcome("mlflow.db locked for 30 s", RECOVERED, "all points are there")


def full_disk(folder: Path) -> Iterator[Outcome]:
    """The file system that runs/ lies on is full, and is given room."""
    project = small(folder)
    (project.root / "runs").mkdir()
    script = project.root / "on_a_small_disk.sh"
    script.write_text(
        "mount -t tmpfs -o size=5m tmpfs runs\n"
        f"{TRAIN}; echo first ended with $?\n"
        "mount -o remount,size=500m runs\n"
        f"{TRAIN}; echo second ended with $?\n"
    )
    training = Training(project, f"unshare -rm sh {script.name}")
    assert training.end() == 0, training.printed
    first, second = re.split(r"^first ended with .*\n", training.printed, flags=re.MULTILINE)
    assert "first ended with 1" in training.printed, training.printed
    said = first.strip().splitlines()[-1]
    assert "No space left" in said, first
    assert "second ended with 0" in second, second
    whole(project)
    yield Outcome("the disk is full", REFUSED, said.replace(str(project.root), "."))
    yield Outcome("the disk was full and has room again", RECOVERED, "the same command finished")


@contextmanager
def server(project: Project, port: int) -> Iterator[subprocess.Popen[str]]:
    """An MLflow server whose store is the clone's."""
    process = project.start(
        f"mlflow server --backend-store-uri sqlite:///{project.root}/server.db "
        f"--artifacts-destination {project.root}/served --host 127.0.0.1 --port {port}",
        start_new_session=True,
    )
    try:
        for _ in range(600):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def server_away(folder: Path) -> Iterator[Outcome]:
    """The tracking server is away at the start; and then for half a minute in the middle."""
    project = small(folder, tune__stop__timesteps_total=3 * STEPS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    project.environment["MLFLOW_TRACKING_URI"] = address
    refused = Training(project)
    assert refused.end() == 1, refused.printed
    said = refused.printed.strip().splitlines()
    assert len(said) == 1, refused.printed
    assert address in said[0], said
    yield Outcome("the tracking server is away at the start", REFUSED, said[0].replace(str(port), "<port>"))
    with server(project, port):
        training = Training(project)
        training.wait_for(4 * INTERVAL)
    reached = training.steps
    time.sleep(30)
    assert training.process.poll() is None, training.printed
    assert training.steps > reached, "it stood still"
    with server(project, port):
        assert training.end() == 0, training.printed
        client = MlflowClient(address)
        run_id = project.json("results/train/summary.json")["mlflow"]["run_id"]
        iterations = [int(point.value) for point in client.get_metric_history(run_id, "training_iteration")]
        assert iterations == list(range(1, len(iterations) + 1)), iterations
        assert client.get_run(run_id).info.status == "FINISHED"
    yield Outcome("the tracking server is away for 30 s", RECOVERED, "training went on; all points are there")


def wrong_bytes(folder: Path) -> Iterator[Outcome]:
    """Model files in which some bytes are others."""
    project = clone(folder / "ducklane")
    project.type("dvc repro")
    for command, model in (
        ("python pipeline/evaluate.py", "models/checkpoint/network.pt"),
        ("python pipeline/export.py", "models/checkpoint/network.pt"),
        ("python pipeline/evaluate.py", "models/checkpoint/policy.json"),
        ("ducklane drive --seconds 1", "models/policy.onnx"),
        ("ducklane drive --seconds 1 --model models/checkpoint", "models/checkpoint/network.pt"),
    ):
        path = project.root / model
        right = path.read_bytes()
        path.unlink()  # DVC may have linked it to its cache
        path.write_bytes(_with_wrong_bytes(right))
        refused = Training(project, command)
        code = refused.end()
        said = refused.printed.strip().splitlines()
        assert code == 1, f"{command} ended with {code}:\n{refused.printed}"
        assert len(said) == 1, refused.printed
        assert said[0].startswith(model), said
        path.write_bytes(right)
        yield Outcome(f"wrong bytes in {model}, {command}", REFUSED, said[0])


def _with_wrong_bytes(right: bytes) -> bytes:
    middle = len(right) // 2
    return right[:middle] + bytes(byte ^ 0xFF for byte in right[middle : middle + 64]) + right[middle + 64 :]


FAULTS: dict[str, Callable[[Path], Iterator[Outcome]]] = {
    "killed": killed,
    "interrupted": interrupted,
    "dead worker": dead_worker,
    "truncated checkpoint": truncated_checkpoint,
    "truncated store": truncated_store,
    "locked store": locked_store,
    "full disk": full_disk,
    "server away": server_away,
    "wrong bytes": wrong_bytes,
}


def attempt(name: str) -> list[Outcome]:
    """Do one of the faults; what breaks a promise is lost."""
    outcomes: list[Outcome] = []
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        outcomes.extend(FAULTS[name](folder))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        outcomes.append(Outcome(name, LOST, str(error)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def main(only: list[str] = typer.Option([], help="Names of faults; all if not given.")) -> None:  # noqa: B008
    """Do them, and write what became of each."""
    outcomes: list[Outcome] = []
    for name in only or FAULTS:
        started = time.monotonic()
        found = attempt(name)
        outcomes += found
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        for outcome in found:
            print(f"  {outcome.result}: {outcome.fault}; {outcome.detail}", flush=True)
    if not only:
        report(outcomes)
    if any(outcome.result == LOST for outcome in outcomes):
        sys.exit(1)


def report(outcomes: list[Outcome]) -> None:
    """Write the results and their table."""
    counted = {name: sum(o.result == name for o in outcomes) for name in (RECOVERED, REFUSED, LOST)}
    headline: dict[str, Any] = {
        "tried": len(outcomes),
        "recovered": counted[RECOVERED],
        "refused_clearly": counted[REFUSED],
        "lost": counted[LOST],
    }
    write_json(
        RESULTS,
        {
            "machine": machine("dvc", "mlflow", "ray"),
            "headline": headline,
            "faults": [asdict(o) for o in outcomes],
        },
    )
    write_section(PAGE, "make test-faults", table(outcomes))


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as Markdown, those of the same fault in one line."""
    lines = ["| fault | tried | outcome | |", "| --- | ---: | --- | --- |"]
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes):
        same = [outcome for outcome in outcomes if outcome.fault == fault]
        results = ", ".join(dict.fromkeys(outcome.result for outcome in same))
        detail = "; ".join(dict.fromkeys(outcome.detail for outcome in same)).replace("|", "\\|")
        lines.append(f"| {fault} | {len(same)} | {results} | {detail} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
