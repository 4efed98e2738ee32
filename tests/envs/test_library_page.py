"""The examples of docs/library.md run as they are written there, with smaller budgets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ducklane.errors import EXTRAS

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/library.md").read_text(), re.DOTALL)
SMALLER = {"200_000": "256", "n_steps=64": "n_steps=8", "UPDATES = 64, 16, 100": "UPDATES = 16, 4, 2"}

BLOCKED = sorted(set().union(*EXTRAS.values()))
"""What the simulator and the task must do without."""


def typed(example: str) -> str:
    for original, smaller in SMALLER.items():
        assert original in "".join(EXAMPLES)
        example = example.replace(original, smaller)
    return example


# moviepy, which the film needs, wants an older Pillow than the project: test_wheel.py makes the film
HERE = [number for number, example in enumerate(EXAMPLES) if "RecordVideo" not in example]


@pytest.mark.parametrize("number", HERE)
def test_an_example_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    exec(compile(typed(EXAMPLES[number]), f"example {number + 1}", "exec"), {"__name__": "__main__"})


def test_the_first_example_needs_no_extra(tmp_path: Path) -> None:
    # duckietown_world is looked for, as the maps are in its folder, but not imported
    blocked = [package for package in BLOCKED if package != "duckietown_world"]
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
    check = 'assert "duckietown_world" not in sys.modules\n'
    done = subprocess.run(
        [sys.executable, "-c", block + EXAMPLES[0] + check], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
