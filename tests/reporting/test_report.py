"""The report has what a reader needs, and nothing outside it is needed to read it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ducklane.errors import UserError
from ducklane.reporting.origin import Recorded
from ducklane.reporting.report import LARGEST_FILM, render
from ducklane.reporting.results import Results, read_results
from ducklane.settings import Settings
from ducklane.tracking.registry import Champion

REPOSITORY = Path(__file__).resolve().parents[2]
VOID = {"meta", "img", "br", "wbr", "link", "input"}
HEADINGS = (
    "A drive",
    "How well it drives",
    "Where it drives, and where it fails",
    "How it learned",
    "What is different from the default",
    "How to repeat it",
    "Where it comes from",
)


class Page(HTMLParser):
    """A page's elements and its text; refuses tags that do not close each other."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> in the wrong place"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text = " ".join(f"{self.text} {data}".split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(results: Results, own_settings: Settings, run: Recorded) -> Page:
    return Page(render(results, own_settings, run, None))


def test_it_has_a_title_a_language_and_a_heading_for_each_part(page: Page) -> None:
    assert page.text.startswith("three-seeds: lane following on loop_empty")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert [page.text.index(heading) for heading in HEADINGS] == sorted(map(page.text.index, HEADINGS))
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(drawing["aria-label"] for drawing in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed_at = {
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key.startswith("aria-labelledby") or key == "aria-describedby"
    }
    assert pointed_at <= set(ids)


def test_nothing_in_it_is_loaded_from_elsewhere(
    results: Results, own_settings: Settings, run: Recorded
) -> None:
    html = render(results, own_settings, run, None)
    page = Page(html)
    loaded = [
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in ("src", "poster", "href", "srcset", "data")
    ]
    assert len(loaded) >= 3
    assert all(value and value.startswith("data:") for value in loaded)
    assert not page.all("script")
    assert not re.search(r"url\(|@import", html)
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])


def test_all_seeds_and_the_best_one_are_beside_the_baselines(page: Page) -> None:
    rows = page.text[page.text.index("How well it drives") :]
    assert "all 3 seeds median over the seeds 100% 8.01 7.99 to 8.04 2.1" in rows
    assert "best seed, 2 the model in the film and in policy.onnx 100% 8.04" in rows
    for baseline in ("proportional", "straight", "stand still", "spin", "random"):
        assert baseline in rows
    # the controller's long drives are those of laps.csv
    assert re.search(
        r"proportional a controller that reads the true lane position 100% 22\.16 .* 5\.0 98%", rows
    )
    assert "The registry has no champion yet." in rows


def test_the_champion_is_compared_only_on_the_same_task(
    results: Results, own_settings: Settings, run: Recorded, champion_scores: dict[str, Any]
) -> None:
    def shown(**changes: object) -> str:
        champion = Champion("7", "0" * 32, {**champion_scores, **changes})
        return Page(render(results, own_settings, run, champion)).text

    assert "champion: version 7 the best model in the registry 100% 8.88" in shown()
    other = shown(task={"evaluate.map_name": "small_loop"})
    assert "version 7; it was scored on another task." in other
    assert "champion: version 7" not in other
    ours = shown(model_sha256=results.origin["weights_sha256"])
    assert "This model is the registry's champion (version 7)." in ours
    lost = Page(render(results, own_settings, run, Champion("7", "0" * 32, {}))).text
    assert "version 7; its scores are not in the store." in lost


def test_curves_are_those_of_the_scored_seeds(results: Results, page: Page) -> None:
    assert [curve.seed for curve in results.curves] == ["1", "2", "3"]
    kinds = [line["class"] for line in page.all("polyline")]
    # drawn twice, for wide and for narrow windows
    assert sorted(kinds) == ["median"] * 2 + ["seed"] * 6
    assert len(page.all("polygon")) == 2
    assert not any("nan" in str(line["points"]) for line in page.all("polyline"))
    confirmed = "it drove 128 more episodes from training's starts: mean return 612.3, and 80 % reach the end"
    assert confirmed in " ".join(page.text.split())


def test_failures_are_named_by_their_tiles(
    here: Path, results: Results, own_settings: Settings, run: Recorded
) -> None:
    tiles = here / "results/evaluate/tiles.csv"
    # whatever the committed policy did
    without = re.sub(r'(laps,".*",\d,\d,\w+),\d+,', r"\1,0,", tiles.read_text())
    tiles.write_text(without)
    assert "None of 128 drives ended early." in Page(render(read_results(), own_settings, run, None)).text
    tiles.write_text(re.sub(r'(laps,"curve_left 1, 5",1,5,curve_left),0,', r"\1,3,", without))
    failed = Page(render(read_results(), own_settings, run, None)).text
    assert "3 of 128 drives ended early, by leaving the road or colliding:" in failed
    assert "3 on the curve left at column 1, row 5" in failed
    assert "None of 20 drives ended early." in failed


def test_the_chain_is_whole_and_hides_the_password(page: Page, results: Results) -> None:
    chain = page.text[page.text.index("Where it comes from") :]
    origin = results.origin
    for link in (
        f"git commit {origin['git_commit']} the code was as in this commit",
        "DVC experiment three-seeds dvc exp apply three-seeds brings it back",
        f"MLflow run {'9' * 32}",
        "MLflow store http://me:***@server:5000 experiment ducklane",
        f"weights (SHA-256) {origin['weights_sha256']}",
        f"recipe (SHA-256) {'5e' * 32}",
        "seeds 1, 2, 3",
        "torch",
        "cores",
    ):
        assert link in chain


@pytest.mark.usefixtures("one_seed")
def test_one_seed_is_enough(own_settings: Settings, run: Recorded) -> None:
    page = Page(render(read_results(), own_settings, run, None))
    assert "seeds" not in page.text[: page.text.index("A drive")].replace("three-seeds", "")
    assert [line["class"] for line in page.all("polyline")] == ["median"] * 2
    assert not page.all("details")


def test_a_training_without_any_whole_episode_is_reported(
    here: Path, own_settings: Settings, run: Recorded
) -> None:
    curves = here / "results/train/curves.csv"
    curves.write_text(re.sub(r",[\d.]+$", ",nan", curves.read_text(), flags=re.MULTILINE))
    page = Page(render(read_results(), own_settings, run, None))
    assert not page.all("polyline")


def test_a_film_that_is_too_large_is_named(
    results: Results, own_settings: Settings, run: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ducklane.reporting.report.LARGEST_FILM", 100)
    assert LARGEST_FILM > 4e6
    page = Page(render(results, own_settings, run, None))
    assert not page.all("video")
    assert "results/evaluate/drive.mp4" in page.text


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("models/checkpoint/policy.json", "is missing or damaged; run `dvc repro train` first"),
        ("results/evaluate/scores.json", "is missing or damaged; run `dvc repro evaluate` first"),
        ("results/evaluate/tiles.csv", "is missing or damaged; run `dvc repro evaluate` first"),
        ("results/export/check.json", "is missing or damaged; run `dvc repro export` first"),
    ],
)
def test_a_missing_result_is_named_with_its_stage(here: Path, file: str, said: str) -> None:
    (here / file).unlink()
    with pytest.raises(UserError, match=re.escape(f"{file}: {said}")):
        read_results()


def test_a_missing_or_damaged_film_is_refused(
    here: Path, results: Results, own_settings: Settings, run: Recorded
) -> None:
    film = here / "results/evaluate/drive.mp4"
    film.write_bytes(b"no film")
    with pytest.raises(UserError, match=r"drive\.mp4: is no film; run `dvc repro -f evaluate`"):
        render(results, own_settings, run, None)
    film.unlink()
    with pytest.raises(UserError, match=r"drive\.mp4: is missing; run"):
        render(results, own_settings, run, None)


def test_scores_of_another_model_are_refused(here: Path) -> None:
    scores = here / "results/evaluate/scores.json"
    scores.write_text(json.dumps({**json.loads(scores.read_text()), "model_sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"scores\.json: is of another model; run `dvc repro evaluate`"):
        read_results()


def test_the_stage_writes_and_logs_it_without_loading_what_drives(
    here: Path, empty_store: Callable[[Path], Path]
) -> None:
    empty_store(here)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", REPOSITORY / "pipeline/report.py"],
        env={**environment, "DVC_ROOT": str(here), "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.fullmatch(r"results/report\.html: \d\.\d MB; open it in a browser\n", done.stdout)
    loaded = set(re.findall(r"^import time:.*\|\s*([\w.]+)$", done.stderr, re.MULTILINE))
    assert not loaded & {"ray", "torch", "gym_duckietown", "duckietown_world", "pyglet", "matplotlib"}
    store = MlflowClient(f"sqlite:///{here}/mlflow.db")
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert [item.path for item in store.list_artifacts(run.info.run_id)] == ["report.html"]
    html = (here / "results/report.html").read_text()
    assert run.info.run_id in Page(html).text


def test_the_templates_are_part_of_the_package_and_dvc_knows_them(
    tmp_path: Path, listed: dict[str, tuple[str, ...]]
) -> None:
    templates = "src/ducklane/reporting/templates"
    assert {"report.html", "report.css"} <= {
        Path(path).name for path in listed["report"] if templates in path
    }
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "src/ducklane", tmp_path / "src/ducklane")
    build = "from setuptools import setup; setup(script_args=['-q', 'build_py', '--build-lib', 'built'])"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    there = {path.name for path in (tmp_path / "built/ducklane/reporting/templates").iterdir()}
    assert there == {path.name for path in (REPOSITORY / templates).iterdir()}
