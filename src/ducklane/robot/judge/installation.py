"""The simulator node's packages, installed beside .venv and not into it: the project does without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ducklane.errors import UserError
from ducklane.project.outputs import replacing

FOLDER = Path(".aido")

PACKAGES = {"duckietown-simulator-gym-daffy": "6.2.7", "aido-agents-daffy": "6.0.32"}
"""Package -> version: the node, and the colours of its LEDs. What else they need is in .venv."""

_PINS = "pins.txt"


def installed_node() -> Path:
    """The folder with the node's packages, which are fetched from PyPI the first time.

    Raises:
        UserError: they cannot be installed.
    """
    pins = "".join(f"{name}=={version}\n" for name, version in PACKAGES.items())
    stamp = FOLDER / _PINS
    if not (stamp.is_file() and stamp.read_text() == pins):
        print(f"aido: installing AIDO's simulator node into {FOLDER}", file=sys.stderr)
        with replacing(FOLDER) as draft:
            _install(pins.split(), draft)
            (draft / _PINS).write_text(pins)
    return FOLDER.resolve()


def _install(pins: list[str], folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command = [*pip, "--no-deps", "--no-compile", "--progress-bar", "off", "--target", str(folder), *pins]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        why = (errors or done.stdout.splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise UserError(
            f"aido: pip cannot install {' '.join(pins)} ({why}); they come from PyPI: check the network, "
            "then try again"
        )
