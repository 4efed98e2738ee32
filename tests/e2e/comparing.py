"""The session of docs/comparing.md, typed as written there, in a throw-away clone with a tiny budget.

It trains six times. All that look at what it left share it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from pathlib import Path
from typing import Any

from clones import REPOSITORY, Project, clone

from ducklane.tracking import findings, lineage

PAGE = REPOSITORY / "docs" / "comparing.md"
EXPERIMENTS = ("slower", "bolder", "lr-1", "lr-2", "seed-1")
REWARD = Path("src/ducklane/task/reward.py")
REPRO = "make --old-file=setup repro"
"""A clone uses the programs that are there: its set-up counts as done."""


def commands() -> list[str]:
    """The lines of the page's blocks that name no language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines()]


class Session:
    """A project, what was printed when the page's commands were typed in it, and what the first one left.

    Args:
        folder: for both.
    """

    def __init__(self, folder: Path) -> None:
        self.project = clone(folder / "ducklane")
        self.baseline = Project(folder / "baseline")
        self.printed: dict[str, str] = {}
        self.type(REPRO)
        self.code = self.project.type("git rev-parse HEAD").strip()
        shutil.copytree(self.project.root, self.baseline.root, symlinks=True)

    def type_all(self) -> None:
        """Type the page."""
        for command in commands():
            self.type(command)

    def type(self, command: str) -> None:
        if "--temp" in command:
            (self.project.root / REWARD).open("a").write("# bolder\n")
        if re.search(r"lineage [0-9a-f]{32}", command):
            command = f"ducklane lineage {self.run_of('slower').info.run_id}"
        if "queue status" in command:
            self.wait_for_the_queue()
        self.printed[command] = self.project.type(command)

    def wait_for_the_queue(self) -> None:
        while re.search("Queued|Running", status := self.project.type("dvc queue status")):
            time.sleep(1)
        for failed in re.findall(r"(\S+) .*Failed", status):
            raise AssertionError(self.project.type(f"dvc queue logs {failed}"))

    def run_of(self, experiment: str) -> Any:
        """The one MLflow run of an experiment."""
        (run,) = self.project.store.search_runs(["1"], f"tags.dvc_experiment = '{experiment}'")
        return run

    def stop_the_queue(self) -> None:
        """Leave neither a worker nor a training run behind."""
        self.project.start("dvc queue remove --queued").communicate()
        status, _ = self.project.start("dvc queue status").communicate()
        for running in re.findall(r"^\w+ +(\S+) .*Running", status, re.MULTILINE):
            # DVC's own --kill would let the training run go on
            self.project.start(f"dvc queue kill {running}").communicate()
        self.project.start("dvc queue stop --kill").communicate()


def traced(project: Project, thing: str, agrees: bool = True) -> str:
    """What `ducklane lineage` prints in a project, without a process of its own; whether it must agree."""
    with contextlib.chdir(project.root):
        found = lineage.trace(thing)
    printed = "\n".join(findings.lines(found))
    assert found.agrees == agrees, printed
    return printed
