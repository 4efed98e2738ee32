"""Generates the pages of all settings and all metrics from params.yaml and the code, and tables in others.

`make reference` writes them; a test fails when they are out of date.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ducklane.evaluation.scores import summary as scores
from ducklane.project.outputs import replacing
from ducklane.settings import PARAMS_FILE, Settings, read_yaml
from ducklane.settings.base import is_section
from ducklane.settings.refusals import allowed

PARAMETERS_PAGE = Path("docs", "parameters.md")
METRICS_PAGE = Path("docs", "metrics.md")

RESULTS = Path("benchmarks", "results")
TABLES = {
    Path("README.md"): "seeds",
    Path("docs", "scaling.md"): "scaling",
    Path("docs", "training.md"): "study",
}
"""Page -> name of the benchmark whose table it shows."""

_COMMENT = re.compile(r"^(?P<indent> *)(?P<key>[\w]+):[^#]*# (?P<comment>.+)$")
_SECTION = re.compile(r"^# (?P<comment>.+)\n(?P<name>\w+):$", re.MULTILINE)


def parameters(params: Path = PARAMS_FILE) -> str:
    """All settings as Markdown, by section: default, allowed values and meaning.

    Args:
        params: its values are the defaults, its comments the meanings.
    """
    text = params.read_text()
    section_comments = {match["name"]: match["comment"] for match in _SECTION.finditer(text)}
    defaults: Any = read_yaml(params)
    meanings = dict(comments(text))
    parts = [
        "# Parameters",
        "`make reference` writes this page from `params.yaml` and the settings' own checks. Change one "
        "there, or for one experiment with `dvc exp run -S section.key=value`.",
    ]
    for name, section in Settings.named_fields().items():
        rows = _rows(name, section.annotation, defaults[name], meanings)
        parts += [f"## {name}", section_comments[name], "\n".join([*_HEAD, *rows])]
    return "\n\n".join(parts) + "\n"


_HEAD = ("| key | default | allowed | meaning |", "| --- | --- | --- | --- |")


def comments(text: str) -> Iterator[tuple[str, str]]:
    """(section.key, comment) of all lines of params.yaml with a comment."""
    path: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"^( *)(\w+):", line):
            path = [*path[: len(match[1]) // 2], match[2]]
        if match := _COMMENT.match(line):
            yield ".".join(path), match["comment"]


def _rows(prefix: str, section: Any, defaults: dict[str, Any], meanings: dict[str, str]) -> Iterator[str]:
    for key, field in section.named_fields().items():
        name, value = f"{prefix}.{key}", defaults[key]
        if is_section(field.annotation):
            yield from _rows(name, field.annotation, value, meanings)
            continue
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        cells = (f"`{name}`", f"`{shown}`", allowed(field), meanings[name])
        yield f"| {' | '.join(cells)} |"


def metrics() -> str:
    """All metrics of an MLflow run and their meanings as Markdown, by the stage that logs them."""
    # imported here: Ray takes seconds to load
    from ducklane.training.confirmation import CONFIRMED
    from ducklane.training.metrics import COMPUTED, METRICS, SUMMARIES, SUMMARIZED

    reported = {name: metric.meaning for name, metric in METRICS.items()} | COMPUTED
    scored = {name: f"median: {meaning[:1].lower()}{meaning[1:]}" for name, meaning in _score_meanings()}
    parts = [
        "# Metrics",
        "`make reference` writes this page from the code that logs them.",
        "## train",
        "One point in each iteration, at its `timesteps_total`.",
        _table(reported),
        "One point at the best checkpoint's `timesteps_total`, from drives in the batched simulator on "
        "training's own task.",
        _table(CONFIRMED),
        "At the end, one point of each of these, for the columns of MLflow's list of runs (at step 0: MLflow "
        "draws it as bars). Where there are several trials, each has its own, and the experiment's are those "
        "of its best trial.",
        _table({f"{kind}/{name}": of for name in SUMMARIZED for kind, of in SUMMARIES.items()}),
        "Every ten seconds (`MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`), MLflow's system metrics of the "
        "machine that trains, on the experiment's run: `system/cpu_utilization_percentage`, "
        "`system/system_memory_usage_percentage` and others of memory, disk and network; of a GPU where "
        "`nvidia-ml-py` is installed.",
        "## evaluate",
        "One point at the model's `timesteps_total`, over the drives from the fixed starts in the stock "
        "simulator. `results/evaluate/scores.json` has more: the gate's numbers, and laps with intervals.",
        _table({f"evaluate/{name}": meaning for name, meaning in {**EVALUATED, **scored}.items()}),
        "Where several seeds were scored, also of each column of scores in `results/evaluate/seeds.csv` "
        "`seeds/<score>_median`, and `_low` and `_high`, the bounds of its 95 % interval over seeds.",
        "## export",
        "One point at the same step, of the ONNX file.",
        _table({f"export/{name}": meaning for name, meaning in EXPORTED.items()}),
    ]
    return "\n\n".join(parts) + "\n"


EVALUATED = {
    "survived": "drives that ended by their time limit, of `evaluate.episodes`",
    "gate_must": "1 if the gate is passed, else 0",
    "gate_goal": "1 if its goal is reached, else 0",
    "full_lap_share": "share of the long drives in the batched simulator that made a full lap",
}
EXPORTED = {
    "max_abs_difference": "largest difference between a wheel's commands by ONNX Runtime and by torch",
    "latency_ms": "milliseconds for one robot's frame, median",
    "onnx_bytes": "size of the file",
}


def _table(meanings: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in meanings.items()]
    return "\n".join(["| metric | meaning |", "| --- | --- |", *rows])


def _score_meanings() -> Iterator[tuple[str, str]]:
    """(name in MLflow, meaning) of each score, from the docstrings in its class."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(scores)).body
        if isinstance(node, ast.ClassDef) and node.name == scores.Scores.__name__
    )
    meanings = {
        field.target.id: " ".join(ast.literal_eval(text.value).split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
    }
    meanings |= {
        name: inspect.getdoc(value).rstrip(".")  # type: ignore[union-attr]
        for name, value in vars(scores.Scores).items()
        if isinstance(value, property)
    }
    blank = scores.Scores(**dict.fromkeys(scores.Scores.__dataclass_fields__, 1))  # type: ignore[arg-type]
    for name in (*blank.official(), *blank.readable()):
        yield name, meanings[name.replace("-", "_")]


def with_table(page: Path, benchmark: str) -> str:
    """A page with the table of a benchmark's report between the marks that name it."""
    report = (RESULTS / f"{benchmark}.md").read_text().splitlines()
    table = "\n".join(line for line in report if line.startswith("|"))
    begin, end = f"<!-- the table of {RESULTS}/{benchmark}.md -->\n", "\n<!-- until here -->"
    before, rest = page.read_text().split(begin)
    return f"{before}{begin}{table}{end}{rest.split(end, maxsplit=1)[1]}"


def main() -> None:
    """Write the pages."""
    tables = {page: with_table(page, benchmark) for page, benchmark in TABLES.items()}
    for page, text in {PARAMETERS_PAGE: parameters(), METRICS_PAGE: metrics(), **tables}.items():
        with replacing(page) as draft:
            draft.write_text(text)


if __name__ == "__main__":
    main()
