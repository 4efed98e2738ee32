"""The studies make valid changes, and their tables say what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recipes
import seeds
import study
from ruamel.yaml import YAML

from ducklane.baselines import ProportionalController
from ducklane.comparing import statistics
from ducklane.settings import Settings
from ducklane.simulator.town.maps import check_maps

REPOSITORY = Path(__file__).resolve().parents[2]
EXPERIMENTS = {**study.CHOICES, **recipes.RECIPES}


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


def recipe(distances: list[float], base: list[float]) -> dict[str, Any]:
    """A row of a study: seeds that differ in their long drives' distance alone."""
    figures = {
        score.column: {
            "a": {"mean": 1.0},
            "b": {"mean": 1.0},
            "difference": 0.0,
            "low": 0.0,
            "high": 0.0,
            "verdict": "the same",
        }
        for score in study.DECIDING
    }
    found = statistics.difference(
        *(np.repeat(np.array([seeds]).T, 8, axis=1) for seeds in (base, distances)), [np.arange(8)]
    )
    figures["distance_m"] = {
        "a": {"mean": found.mean_a},
        "b": {"mean": found.mean_b},
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "verdict": "worse" if found.shown else "no difference shown",
    }
    seeds = [{"seed": str(n)} for n in range(len(distances))]
    return {"scores": {"long drives": figures}, "seeds": seeds, "training_s": 1800.0}


def test_a_study_says_which_choices_make_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_seconds", lambda name: 1800.0)
    base = [32.0, 32.2, 32.1]
    rows = [
        {"name": "other seeds", "changes": {"simulator.seed": 4}, **recipe([32.1, 32.0, 32.2], base)},
        {"name": "slow", "changes": {"rllib.lr": 0.0003}, **recipe([20.0, 21.0, 20.5, 20.4], base)},
    ]
    report = study._report(rows)
    assert report["headline"] == {
        "choices": 2,
        "seeds_per_choice_min": 3,
        "shown_differences": 1,
        "scores_compared": 6,
        "training_hours": 1.5,
    }
    _, _, default, same, slow = study.table(report).splitlines()
    assert default == "| as it is | | 100.0 | 32.10 | 100.00 | |"
    assert same.startswith("| other seeds | `seed: 4` | 100.0: +0.0 [+0.0, +0.0] | 32.10: +0.00 [-")
    assert same.endswith(" | no difference shown |")
    assert slow.startswith("| slow | `lr: 0.0003` | ")
    assert "| **20.48: -11.6" in slow
    assert slow.endswith(" | worse: distance |")


def test_the_seeds_of_a_recipe_stand_beside_their_median_and_the_controller() -> None:
    scores = {
        "survived_share": 1.0,
        "distance_m": 8.0,
        "lateral_mean_m": 0.02,
        "in_lane_share": 1.0,
        "laps_survived_share": 0.75,
        "laps_distance_m": 32.7,
    }
    over = {name: {"median": value, "low": None, "high": None} for name, value in scores.items()}
    report = {
        "drives": {"gate": 20, "laps": 128},
        "seeds": [{"seed": 3, **scores}],
        "over_seeds": over,
        "controller": scores,
        "training_s": 300.0,
    }
    *_, seed, median, controller = seeds.table(report).splitlines()
    assert seed == "| trained, seed 3 | 20 | 8.00 | 2.0 | 100.0 | 96 | 32.7 |"
    assert median.startswith("| median over seeds [95 %] | 20 [-, -] | 8.00 [-, -] | 2.0 [-, -] |")
    assert controller.startswith("| controller that knows the lane | 20 | 8.00 | ")
