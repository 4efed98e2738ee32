"""What a stranger installs, drives: the wheel in an empty environment, without any extra."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.simulator.town.resources import MAPS_VERSION

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/library.md").read_text()
(MAPS,) = re.findall(r"^pip install (--no-deps .*)$", PAGE, re.MULTILINE)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_wheel_alone_runs_the_first_example_and_makes_a_film(tmp_path: Path) -> None:
    # of this Python's, which would lend the other one its packages
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    sources = tmp_path / "sources"
    shutil.copytree(REPOSITORY / "src", sources / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, sources)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, sources)
    run(sys.executable, "-m", "venv", "alone")
    python = tmp_path / "alone/bin/python"
    (wheel,) = tmp_path.glob("ducklane-*.whl")
    run(python, "-m", "pip", "install", wheel)
    refusal = subprocess.run([python, "-I", "-c", examples[0]], capture_output=True, text=True)
    assert refusal.stderr.endswith(f"is missing; type pip install {MAPS}\n")
    run(python, "-m", "pip", "install", *MAPS.split())
    installed = {package["name"] for package in json.loads(run(python, "-m", "pip", "list", "--format=json"))}
    assert not installed & {"ray", "mlflow", "dvc", "torch", "matplotlib", "duckietown-gym-daffy"}
    assert len(installed) <= 20
    run(python, "-I", "-c", examples[0])
    run(python, "-I", "-c", "import gymnasium; gymnasium.make('ducklane:ducklane/LaneFollowing-v0').close()")
    command = tmp_path / "alone/bin/ducklane"
    refusal = subprocess.run([command, "doctor"], env=clean, capture_output=True, text=True)
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert refusal.stderr == "ducklane: this needs typer; type pip install 'ducklane[train]'\n"
    (film,) = [example for example in examples if "RecordVideo" in example]
    run(python, "-m", "pip", "install", "moviepy")
    run(python, "-I", "-c", film)
    assert list(tmp_path.glob("films/*.mp4"))


def test_the_maps_come_in_the_version_that_the_project_pins() -> None:
    package = f"duckietown-world-daffy=={MAPS_VERSION}"
    assert MAPS.split()[-1] == package
    assert package in (REPOSITORY / "constraints.txt").read_text().splitlines()
