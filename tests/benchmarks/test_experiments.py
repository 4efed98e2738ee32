"""The studies make valid changes, and their tables say what was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import recipes
import study
from ruamel.yaml import YAML

from ducklane.baselines import ProportionalController
from ducklane.settings import Settings
from ducklane.simulator.town.maps import check_maps

REPOSITORY = Path(__file__).resolve().parents[2]
EXPERIMENTS = {**study.VARIANTS, **study.CANDIDATES, **recipes.RECIPES}


def with_changes(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """The settings that an experiment with these changes has."""
    content = settings.as_dict()
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        if last not in place:
            raise KeyError(key)
        place[last] = YAML(typ="safe", pure=True).load(str(value))
    return Settings.model_validate(content)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_changes_settings_to_allowed_ones(settings: Settings, name: str) -> None:
    changed = with_changes(settings, EXPERIMENTS[name])
    check_maps(changed)
    assert changed != settings or not EXPERIMENTS[name]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_docs_say_how_to_train_a_recipe_by_hand(name: str) -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text().replace("'", "")
    for key, value in recipes.RECIPES[name].items():
        assert f"-S {key}={value}" in page


def test_no_policy_was_trained_on_the_unseen_maps(settings: Settings) -> None:
    trained_on = with_changes(settings, recipes.SEVERAL_MAPS).simulator.map_names
    assert not {*settings.simulator.map_names, *trained_on} & {*recipes.UNSEEN}


def found(distance: float, survived: int) -> dict[str, Any]:
    interval = {"median": distance, "low": distance - 1, "high": distance + 1}
    return {"episodes": 4, "survived": survived, "official": {"driven_lanedir_consec": interval}}


def test_drivers_are_compared_with_the_controller_only_on_unseen_maps() -> None:
    batched = {
        name: {"several maps": found(16.0, 3), "controller": found(20.0, 4)} for name in recipes.UNSEEN
    } | {"loop_empty": {"several maps": found(0.0, 0), "controller": found(20.0, 4)}}
    assert recipes.headline(batched)["several maps"] == {
        "distance_vs_controller": 0.8,
        "crashes": len(recipes.UNSEEN),
        "episodes": 4 * len(recipes.UNSEEN),
    }


def test_drivers_are_driven_in_both_simulators(changed: Callable[..., Settings]) -> None:
    drivers = {name: ProportionalController() for name in ("several maps", "one map", "controller")}
    found = recipes.compare(
        changed(evaluate={"lap_seconds": 2.0}), drivers, batched={"small_loop": 5}, stock={"loop_empty": 1}
    )
    report = {"headline": recipes.headline(dict.fromkeys(recipes.UNSEEN, found["batched"]["small_loop"]))}
    report |= {"several maps": found, "around obstacles": found}
    text = recipes.tables(report)
    rows = [line for line in text.splitlines() if line.startswith(("| batched | small_loop", "| stock |"))]
    assert [line.count(" [") for line in rows] == [3, 0, 3, 0]  # one drive has no interval
    assert text.count("| stock | loop_empty | ") == 2
    assert text.count(", 0 of 5 |") == text.count(", 0 of 1 |") == 6
    assert f"several maps 100% of the controller's distance, 0 of {5 * len(recipes.UNSEEN)} crashed" in text


def trial(name: str, seed: int) -> dict[str, Any]:
    official = {
        "driven_lanedir_consec": {"median": 32.44, "low": 32.25, "high": 33.0},
        "deviation-center-line": {"median": 0.9, "low": 0.8, "high": 1.0},
        "survival_time": {"median": 30.0, "low": 30.0, "high": 30.0},
    }
    return {
        "name": name,
        "seed": seed,
        "stock": {"survived": 3, "episodes": 4, "distance_m_median": 8.0},
        "laps": {"survived": 120, "episodes": 128, "official": official},
        "train": {"wall_s": 150.0},
    }


def test_each_trial_is_one_line() -> None:
    *_, line = study.table([trial("1 frame", 2)]).splitlines()
    assert line == "| 1 frame | 2 | 120 of 128 | 32.4 [32.2, 33.0] | 3.0 cm | 3 of 4 | 8.00 | 2.5 min |"


def test_a_study_resumes_where_it_was_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page, ran = tmp_path / "page.md", []
    page.write_text("before\n<!-- make study writes what follows -->\n<!-- until here -->\nafter\n")

    def run(name: str, seed: int, changes: object) -> dict[str, Any]:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(name)
        return {**trial(name, seed), "changes": changes}

    monkeypatch.setattr(study, "RESULTS", tmp_path / "study.json")
    monkeypatch.setattr(study, "PAGE", page)
    monkeypatch.setattr(study, "_run", run)
    monkeypatch.setattr(study, "VARIANTS", dict(list(study.VARIANTS.items())[:2]))
    monkeypatch.setattr(study, "CANDIDATES", {"as it is": {}})
    with pytest.raises(KeyboardInterrupt):
        study.main(candidate_seeds=2)
    first = list(ran)
    ran.clear()
    study.main(candidate_seeds=2)
    assert [*first, *ran] == ["as it is", "as it is", *study.VARIANTS]
    before, *lines, after = page.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert len(lines) == 2 + 2 + 4  # marks, head, trials
    ran.clear()
    study.main(candidate_seeds=2)
    assert not ran
    # a setting that was not there yet does not matter, another value does
    content = json.loads((tmp_path / "study.json").read_text())
    del content["settings"]["reward.detour_margin_m"]
    (tmp_path / "study.json").write_text(json.dumps(content))
    study.main(candidate_seeds=2)
    assert not ran
    content["settings"]["rllib.lr"] = 0.5
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(KeyboardInterrupt):
        study.main(candidate_seeds=2)
