"""The image of the agent holds what it needs, as far as that can be seen without building it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cbor2
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "robot" / "Dockerfile").read_text()

PROVIDED = {
    "aido-protocols-daffy": {"aido_schemas", "zuper_nodes", "zuper_nodes_wrapper"},
    "numpy": {"numpy"},
    "onnxruntime": {"onnxruntime"},
    "opencv-python-headless": {"cv2"},
}
"""Requirement -> what it brings of what the agent imports."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, telling_file: Path) -> Path:
    """The folder /agent, but with a policy that is always there."""
    root = tmp_path_factory.mktemp("agent")
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if source == "models/policy.onnx":
                place = telling_file
            else:
                place = REPOSITORY / source
                assert place.exists(), f"{source} is not in the repository"
            if place.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(place, root / target, dirs_exist_ok=True, ignore=ignored)
            else:
                (root / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(place, root / target)
    return root


def test_the_agent_runs_from_its_own_files_alone(image: Path) -> None:
    command = re.findall(r'"([^"]+)"', DOCKERFILE.rpartition("CMD")[2])
    assert command[0] == "python"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command[1:]],
        cwd=image,
        env={**os.environ, "PYTHONPATH": str(image / "src")},
        input=cbor2.dumps({"control": "capabilities", "data": {}}),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert cbor2.loads(done.stdout)["control"] == "understood"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "ducklane.robot.agent" in imported
    assert not imported & {"gymnasium", "torch", "pydantic", "mlflow", "ray", "ducklane.settings"}
    ours = {name for name in imported if name.startswith("ducklane.")}
    assert all(
        (image / "src" / name.replace(".", "/")).with_suffix(".py").exists()
        or (image / "src" / name.replace(".", "/")).is_dir()
        for name in ours
    )


def test_the_requirements_are_what_the_files_import(image: Path) -> None:
    wanted = {"aido_schemas"}  # imported by its name, as text
    for path in image.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                wanted.add(str(node.module).partition(".")[0])
    lines = (REPOSITORY / "robot" / "requirements-agent.txt").read_text().splitlines()
    named = {re.split("[<>=]", line)[0] for line in lines if not line.startswith("#")}
    assert named == PROVIDED.keys()
    # ducklane.envs.registration uses gymnasium only where something else has imported it
    needed = wanted - sys.stdlib_module_names - {"ducklane", "gymnasium"}
    assert needed <= set().union(*PROVIDED.values())
