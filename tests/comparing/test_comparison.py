"""Recipes are found by any of their names, compared over their seeds, or refused with a reason."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ducklane.__main__ import main
from ducklane.comparing.comparison import Compared, Comparison, compare
from ducklane.comparing.scored import load
from ducklane.comparing.sources import ComparisonError
from ducklane.comparing.table import show

Record = Callable[..., str]
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `ducklane compare`: the exit code, and what it printed on stdout and on stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def type_it(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ducklane", "compare", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        code = stopped.value.code
        return code if isinstance(code, int) else 0, printed.out, printed.err

    return type_it


def score(comparison: Comparison, column: str, simulator: str = "gym-duckietown") -> Compared:
    (found,) = [
        each for each in comparison.scores if each.score.column == column and each.simulator == simulator
    ]
    return found


def test_the_same_recipe_shows_no_difference(project: Path) -> None:
    (comparison,) = compare(["base", "again"])
    assert comparison.settings == {}
    assert score(comparison, "distance_m").verdict == "no difference shown"
    assert score(comparison, "lateral_mean_m").verdict == "no difference shown"
    assert score(comparison, "survived").verdict == "the same"


def test_a_slower_recipe_is_worse_by_what_it_drives_less(project: Path) -> None:
    (comparison,) = compare(["base", "slower"])
    assert comparison.settings == {"rllib.lr": (0.001, 0.0003)}
    distance = score(comparison, "distance_m")
    assert distance.verdict == "worse"
    assert distance.found.difference == pytest.approx(-0.9)
    assert distance.probability_better == 0
    assert score(comparison, "distance_m", "long drives").found.difference == pytest.approx(-3.6)
    (turned,) = compare(["slower", "base"])
    assert score(turned, "distance_m").verdict == "better"


def test_less_off_centre_is_better(project: Path) -> None:
    (comparison,) = compare(["base", "wavering"])
    off_centre = score(comparison, "lateral_mean_m")
    assert off_centre.found.difference > 0
    assert off_centre.verdict == "worse"
    assert off_centre.probability_better == 0


def test_each_score_is_one_line_however_uneven_the_seeds(typed: Typed) -> None:
    _, printed, _ = typed("base", "uneven")
    rows = [line for line in printed.splitlines() if "[" in line and "[95 %]" not in line]
    assert len(rows) == 8
    assert all("]" in row for row in rows)
    # three seeds that differ so much show nothing, though all of them drive less
    distance = rows[5]
    assert re.search(r" -1[0-9]\.[0-9] \[-[0-9]+\.[0-9], \+[0-9]+\.[0-9]\] +0% no difference shown", distance)


def test_what_it_prints_fits_a_terminal(typed: Typed, tmp_path: Path) -> None:
    code, printed, _ = typed("base", "slower", "again", "--json", str(tmp_path / "figures.json"))
    lines = [line.rstrip() for line in printed.splitlines()]
    assert code == 0
    assert max(map(len, lines)) <= 80
    assert lines[0] == "A         base: 3 seeds (1, 2, 3)"
    assert "settings  rllib.lr: 0.001 -> 0.0003" in lines
    assert any(
        re.fullmatch(r" distance \(m\) +7\.95 +7\.05 -0\.90 \[-1\.\d\d, -0\.\d\d\] +0% worse", line)
        for line in lines
    )
    assert "where none is shown, 8 seeds each would show a difference of: " in " ".join(lines)
    figures = json.loads((tmp_path / "figures.json").read_text())
    slower, again = figures["comparisons"]
    assert slower["settings"] == {"rllib.lr": [0.001, 0.0003]}
    assert slower["scores"]["gym-duckietown"]["distance_m"]["verdict"] == "worse"
    assert again["scores"]["long drives"]["distance_m"]["difference_that_more_seeds_show"] > 0


def test_one_seed_is_not_enough(typed: Typed) -> None:
    code, printed, _ = typed("seed-1", "seed-2")
    assert code == 0
    assert "one seed each: differences between seeds are unknown" in printed
    assert "95 %" not in printed
    assert "note      1 model in both A and B" in typed("seed-1", "seed-1")[1]


def test_seeds_that_were_trained_one_by_one_are_pooled(project: Path) -> None:
    pooled = load("seed-1, seed-2,seed-3,seed-2")
    assert [seed.seed for seed in pooled.seeds] == ["1", "2", "3"]
    (comparison,) = compare(["base", "seed-1,seed-2,seed-3"])
    assert score(comparison, "distance_m").verdict == "worse"
    assert comparison.as_dict()["seeds"][2]["seed"] == "3"


def test_different_recipes_are_not_pooled(typed: Typed) -> None:
    code, _, error = typed("base,slower", "again")
    assert code == 2
    assert error == (
        "base and slower: have different recipes (rllib.lr); compare them instead of pooling them\n"
    )


def test_scores_of_another_task_are_refused(typed: Typed) -> None:
    code, printed, error = typed("base", "slower", "short")
    assert (code, printed) == (2, "")
    assert error == (
        "task: evaluate.episodes is 10 in base, 4 in short; with short in the working tree, "
        "dvc exp run -S evaluate.episodes=10 scores it alike\n"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing-of-that-name", "a DVC experiment or a commit here; `dvc exp list` shows the experiments"),
        ("f" * 32, "a DVC experiment or a commit here"),
        ("code", "nothing was trained in it"),
        ("params.yaml", "`ducklane lineage params.yaml` names it"),
        (",", "a name to compare is empty"),
    ],
)
def test_what_has_no_scores_is_said_in_one_line(typed: Typed, name: str, said: str) -> None:
    code, _, error = typed("base", name)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1


def test_a_store_that_is_away_is_said_in_one_line(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, _, error = typed("base", "0" * 32)
    assert code == 2
    assert error.startswith("MLflow store http://127.0.0.1:9: does not answer")
    assert error.count("\n") == 1
    # commits hold all that is needed
    assert typed("base", "slower")[0] == 0


def changed(name: str, change: Callable[[str], str]) -> None:
    path = Path("results", name)
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("evaluate/scores.json", lambda _: "", "nothing was scored in it; dvc repro evaluate"),
        ("train/trials.csv", lambda _: "mlflow_run_id\nother\n", "nothing was scored in it"),
        (
            "evaluate/scores.json",
            lambda text: text.replace('"task"', '"old"'),
            r"another version .*\(no task\)",
        ),
        ("evaluate/seeds.csv", lambda _: "", r"no evaluate/seeds\.csv"),
        ("evaluate/laps.csv", lambda text: text.replace("\n3,trained", "\n4,trained"), "lacks seed 3"),
        (
            "evaluate/episodes.csv",
            lambda text: text.replace("2,trained,1,0.1", "2,trained,1,0.7"),
            "seed 2 began",
        ),
    ],
)
def test_results_that_are_not_whole_are_refused(
    tmp_path: Path, record: Record, file: str, change: Callable[[str], str], said: str
) -> None:
    """As in a commit whose training is newer than its scores, or is another version's."""
    from ducklane.comparing import scored, sources

    record({1: 8.0, 2: 8.1, 3: 7.9})

    def read(name: str) -> str:
        path = tmp_path / ("" if name == "params.yaml" else "results") / name
        text = path.read_text() if path.exists() else ""
        if file == "train/trials.csv" and name == "train/summary.json":
            return '{"mlflow": {"run_id": "another"}}'
        return change(text) if name == file else text

    with pytest.raises(ComparisonError, match=said):
        scored._read(sources.Source("thing", read, None))


def test_other_starts_are_refused(project: Path) -> None:
    from dataclasses import replace

    from ducklane.comparing.scored import check_task

    base = load("base")
    drives: Mapping[str, Any] = {
        simulator: replace(each, starts=each.starts[::-1]) for simulator, each in base.seeds[0].drives.items()
    }
    other = replace(base, name="other", seeds=[replace(base.seeds[0], drives=drives)])
    with pytest.raises(ComparisonError, match="base and other drove from different ones"):
        check_task(base, other)


def test_lanes_are_known_by_their_length(project: Path) -> None:
    from ducklane.comparing.scored import lanes

    seeds = load("base").seeds
    found = lanes([seed.drives["long drives"] for seed in seeds])
    assert [stratum.tolist() for stratum in found] == [list(range(12)), list(range(12, 24))]


def test_a_recipe_is_found_by_its_digest_with_all_its_seeds(
    record: Record, recipe: Callable[[float], str]
) -> None:
    lr = 0.005
    first = record({1: 8.0, 2: 8.1}, lr=lr)
    record({2: 8.1, 3: 7.9}, lr=lr)
    record({}, lr=lr)
    rescored = record({1: 8.0, 2: 8.1}, lr=lr, parent=first, task={"evaluate.episodes": 3})
    for name in (recipe(lr), recipe(lr)[:8]):
        found = load(name)
        assert [seed.seed for seed in found.seeds] == ["1", "2", "3"]
        assert found.left_out == 1
        assert found.settings["rllib.lr"] == lr
    assert len(load(first).seeds) == 2
    assert load(first).commit
    # a later scoring has its own task, and the settings of the training
    assert load(rescored).task == {"evaluate.episodes": 3}
    assert load(rescored).settings["rllib.lr"] == lr
    with pytest.raises(ComparisonError, match=f"{first[:8]}: is not"):
        load(first[:8])


def test_a_recipe_that_was_trained_with_different_code_is_refused(
    record: Record, recipe: Callable[[float], str]
) -> None:
    lr = 0.006
    one = record({1: 8.0}, lr=lr)
    other = record({2: 8.1}, lr=lr, code="changed")
    with pytest.raises(
        ComparisonError, match="one recipe, trained with different code; compare these"
    ) as error:
        load(recipe(lr)[:10])
    assert len(error.value.problems) == 1
    (comparison,) = compare([one, other])
    assert comparison.a.code != comparison.b.code


def test_code_that_differs_is_told(
    record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = record({1: 8.0}, lr=0.007), record({2: 8.1}, lr=0.007, code="changed")
    monkeypatch.setenv("COLUMNS", "80")
    show(compare([one, other]))
    assert "code      differs, though not by its commit" in capsys.readouterr().out


def test_a_recipe_without_scores_is_said(record: Record, recipe: Callable[[float], str]) -> None:
    record({}, lr=0.008)
    with pytest.raises(ComparisonError, match="nothing was scored in it; dvc repro evaluate"):
        load(recipe(0.008))


def test_a_trial_stands_for_its_seed(record: Record) -> None:
    from ducklane.tracking import runs as tracking

    training = record({1: 8.0, 2: 8.1, 3: 7.9}, lr=0.009)
    store = tracking.client()
    trial, other = (
        store.create_run(tracking.prepare_store("ducklane"), tags={tracking.PARENT_RUN: training}).info.run_id
        for _ in range(2)
    )
    seeds = Path(store.download_artifacts(training, "evaluate/seeds.csv"))
    table = seeds.read_text().splitlines()
    table[2] = ",".join([*table[2].split(",")[:3], trial])
    seeds.write_text("\n".join(table))
    store.log_artifact(training, str(seeds), "evaluate")
    assert [seed.seed for seed in load(trial).seeds] == ["2"]
    with pytest.raises(ComparisonError, match="only trials with the best trial's recipe are scored"):
        load(other)
