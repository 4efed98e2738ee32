"""The state from which a stopped training run resumes: its checkpoints, learning curve and MLflow run.

It is kept in a folder named after a hash of everything that the result of the training run depends on. So the
same command finds it again; with other settings, code or maps it is another training run, which never touches
it.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.outputs import replacing, write_json
from ducklane.repository import copies
from ducklane.settings import PARAMS_FILE, Settings
from ducklane.training.metric_names import TIMESTEPS_TOTAL, rank
from ducklane.training.state.fingerprint import fingerprint
from ducklane.training.state.saved import SavedCheckpoint, read_checkpoint

FOLDER = Path("runs", "train")
"""Folder of all states, at the repository's root."""

ATTEMPTS = "attempts"
"""In a state's folder: one folder per process that trained, each with one folder per trial."""

TRIALS = "trials"
"""In a state's folder: what is kept of each trial besides its checkpoints."""

LOCK = "lock"
"""In a state's folder: locked by the process that trains."""


class StateError(UserError):
    """Another process is training with the same settings."""


class TrialState:
    """The state of one trial, kept up to date on disk.

    Args:
        training: folder of its training run's state.
        number: of the trial, from 0.
    """

    def __init__(self, training: Path, number: int) -> None:
        self._training = training
        self._folder = training / TRIALS / str(number)
        self._number = number
        self._run = _RunId(self._folder)
        self._curve = self._folder / "learning_curve.jsonl"
        self._ended = self._folder / "ended"
        self.rows = self._read_rows()
        """The named metrics of all iterations so far."""

    @property
    def run_id(self) -> str | None:
        """The trial's MLflow run, None if there is none yet."""
        return self._run.read()

    def remember_run(self, run_id: str) -> None:
        """Save the id of the MLflow run."""
        self._run.write(run_id)

    @property
    def ended(self) -> bool:
        """Whether it was stopped for good before the last step."""
        return self._ended.exists()

    def end(self) -> None:
        """Stop it for good: it will not be resumed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ended.touch()

    def _read_rows(self) -> list[dict[str, float]]:
        if not self._curve.exists():
            return []
        lines = self._curve.read_text().splitlines(keepends=True)
        # the last line may be cut off, if the process was killed
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def add_row(self, row: Mapping[str, float]) -> None:
        """Save the named metrics of one iteration."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._curve.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(dict(row))

    def forget_after(self, checkpoint: SavedCheckpoint | None) -> None:
        """Forget the iterations after the checkpoint, which will be trained again; without one, all."""
        steps = checkpoint.timesteps if checkpoint else -1
        self.rows = [row for row in self.rows if row[TIMESTEPS_TOTAL] <= steps]
        with replacing(self._curve) as draft:
            draft.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def checkpoints(self) -> list[SavedCheckpoint]:
        """All complete checkpoints, in order of steps."""
        checkpoints = [read_checkpoint(folder) for folder in self._folders()]
        return sorted(filter(None, checkpoints), key=lambda checkpoint: checkpoint.timesteps)

    def newest(self) -> SavedCheckpoint | None:
        """The complete checkpoint with the most steps."""
        return next(reversed(self.checkpoints()), None)

    def best(self, count: int, score: str) -> list[SavedCheckpoint]:
        """The best complete checkpoints, best first; those without a score are left out.

        Args:
            count: how many at most.
            score: name of the metric; higher is better. A mean of few episodes comes last (`rank`).
        """
        scored = [saved for saved in self.checkpoints() if math.isfinite(saved.metrics.get(score, math.nan))]
        return sorted(scored, key=lambda saved: rank(saved.metrics, score), reverse=True)[:count]

    def keep(self, checkpoints: Iterable[SavedCheckpoint]) -> None:
        """Delete all its other checkpoints."""
        kept = {checkpoint.path for checkpoint in checkpoints}
        for folder in self._folders():
            if folder not in kept:
                shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        # the names that Tune gives them
        return list(self._training.glob(f"{ATTEMPTS}/*/{self._number}/checkpoint_*"))


class TrainingState:
    """The state of one training run: its MLflow run and its trials.

    Args:
        folder: of this training run alone; created when there is something to keep.
        trials: number of trials.
    """

    def __init__(self, folder: Path, trials: int = 1) -> None:
        self.folder = folder
        self._run = _RunId(folder)
        self._clock = folder / "clock.json"
        self._begun = time.monotonic() - self._earlier_s()
        self.trials = [TrialState(folder, number) for number in range(trials)]

    @property
    def run_id(self) -> str | None:
        """The training run's MLflow run, None if there is none yet."""
        return self._run.read()

    def remember_run(self, run_id: str) -> None:
        """Save the id of the MLflow run."""
        self._run.write(run_id)

    def _earlier_s(self) -> float:
        return json.loads(self._clock.read_text())["wall_s"] if self._clock.exists() else 0.0

    @property
    def wall_s(self) -> float:
        """Seconds of training so far; of earlier processes, up to their last checkpoints."""
        return time.monotonic() - self._begun

    def note_time(self) -> None:
        """Save the seconds so far."""
        write_json(self._clock, {"wall_s": self.wall_s})

    def new_attempt(self) -> Path:
        """Create a folder for the checkpoints of this process."""
        attempts = [int(path.name) for path in self.folder.glob(f"{ATTEMPTS}/*")]
        attempt = self.folder / ATTEMPTS / str(1 + max(attempts, default=0))
        attempt.mkdir(parents=True)
        return attempt

    def best(self, score: str) -> tuple[int, SavedCheckpoint] | None:
        """The best checkpoint of all trials, after the number of its trial; None if none has a score."""
        scored = [(n, saved) for n, trial in enumerate(self.trials) for saved in trial.best(1, score)]
        return max(scored, key=lambda candidate: rank(candidate[1].metrics, score), default=None)

    def clear(self) -> None:
        """Delete everything but the lock."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
        self.trials = [TrialState(self.folder, number) for number in range(len(self.trials))]
        self._begun = time.monotonic()


class _RunId:
    """The id of an MLflow run, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "run.json"

    def read(self) -> str | None:
        return json.loads(self._file.read_text())["run_id"] if self._file.exists() else None

    def write(self, run_id: str) -> None:
        write_json(self._file, {"run_id": run_id})


@contextmanager
def training_state(
    settings: Settings, trials: int = 1, workers: Sequence[int] = ()
) -> Iterator[TrainingState]:
    """The state of the training run that these settings describe, locked; deleted once it has succeeded.

    Args:
        settings: all of them.
        trials: number of trials that these settings ask for.
        workers: as for `fingerprint`.

    Raises:
        StateError: another process is using it.
    """
    folder = copies.repository_root() / FOLDER / fingerprint(settings, workers)[:16]
    with _locked(folder / LOCK):
        state = TrainingState(folder, trials)
        yield state
        state.clear()
        shutil.rmtree(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                f"{PARAMS_FILE}: another process is training with the same settings; wait for it, or change "
                "simulator.seed"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            yield
            return
    # the other process has just ended and deleted the lock file: lock the new one
    with _locked(path):
        yield
