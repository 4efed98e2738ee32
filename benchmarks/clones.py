"""A throw-away clone of this project, most with a tiny budget, in which commands are typed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

REPOSITORY = Path(__file__).resolve().parents[1]
BUDGET = {
    # a sixteenth of the pixels to draw, and the same picture in the end
    "simulator.camera_width": 160,
    "simulator.camera_height": 120,
    "simulator.distortion": "false",
    "observation.crop_top": 40,
    "simulator.max_steps": 20,
    "tune.stop.timesteps_total": 128,
    "rllib.env_per_worker": 2,
    "rllib.train_batch_size": 64,
    "rllib.minibatch_size": 32,
    "evaluate.episodes": 2,
    "evaluate.max_seconds": 1.0,
    "evaluate.lap_starts": 2,
    "evaluate.lap_seconds": 1.0,
    "evaluate.video_seconds": 0.5,
}


class Project:
    """A clone in which commands are typed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        programs = Path(sys.executable).parent
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
        }

    def start(self, command: str, **options: Any) -> subprocess.Popen[str]:
        """Give a command; what it prints comes through its stdout."""
        return subprocess.Popen(
            shlex.split(command),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **{"env": self.environment, **options},
        )

    def type(self, command: str, code: int = 0) -> str:
        """Give a command, wait for it, and give what it printed; it must end with this code."""
        process = self.start(command)
        printed, _ = process.communicate()
        assert process.returncode == code, f"$ {command}\n{printed}"
        return printed

    def json(self, path: str) -> Any:
        """The content of a JSON file."""
        return json.loads((self.root / path).read_text())

    @property
    def store(self) -> MlflowClient:
        """Of MLflow."""
        return MlflowClient(f"sqlite:///{self.root}/mlflow.db")


def clone(folder: Path, budget: Mapping[str, object] = BUDGET) -> Project:
    """A clone of what is committed, with the changes of the working tree on top.

    Where this project is a folder of a larger repository, it is one in the clone.

    Args:
        folder: of the clone, new.
        budget: settings that are changed in it.
    """
    (top,), (place,) = _listed("rev-parse", "--show-toplevel"), _listed("rev-parse", "--show-prefix")
    subprocess.run(["git", "clone", "-q", top, str(folder)], check=True)
    folder = folder / place
    changed = _listed("diff", "--name-only", "--relative", "HEAD")
    for name in changed + _listed("ls-files", "-o", "--exclude-standard"):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
        else:
            (folder / name).unlink()
    project = Project(folder)
    for key, value in budget.items():
        set_param(folder / "params.yaml", key, value)
    project.type("git config user.name tester")
    project.type("git config user.email tester@localhost")
    project.type("git add -A")
    project.type("git commit -q --allow-empty -m budget")
    return project


def _listed(*command: str) -> list[str]:
    done = subprocess.run(["git", *command], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def set_param(params: Path, key: str, value: object) -> None:
    """Change one value as an editor would, the comments untouched."""
    section, name = key.split(".")[0], key.split(".")[-1]
    head, body = params.read_text().split(f"\n{section}:\n")
    body, count = re.subn(rf"^(\s+{name}:) \S+", rf"\1 {value}", body, count=1, flags=re.MULTILINE)
    assert count == 1, key
    params.write_text(f"{head}\n{section}:\n{body}")
