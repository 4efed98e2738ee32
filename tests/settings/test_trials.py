"""A search defines the trials that its settings describe, the same ones each time, all of which can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from ducklane.settings import Settings, SettingsError, load
from ducklane.settings.refusals import problems
from ducklane.settings.trials import trials_of

REPOSITORY = Path(__file__).parents[2]
Changed = Callable[..., Settings]


def test_without_a_search_there_is_one_trial_that_changes_nothing(settings: Settings) -> None:
    (trial,) = trials_of(settings)
    assert trial.changes == {}
    assert trial.settings == settings


def test_samples_differ_in_their_seed_alone_where_nothing_is_searched(changed: Changed) -> None:
    wanted = trials_of(changed(tune={"num_samples": 3}, simulator={"seed": 5}))
    assert [trial.changes for trial in wanted] == [{}, {"simulator.seed": 6}, {"simulator.seed": 7}]
    assert [trial.settings.simulator.seed for trial in wanted] == [5, 6, 7]


def test_each_sample_covers_the_whole_grid(changed: Changed) -> None:
    space = {
        "rllib": {"lr": {"grid": [0.001, 0.0005]}, "num_epochs": {"grid": [2, 4]}},
        "reward": {"lane_width_m": {"uniform": [0.1, 0.3]}},
    }
    wanted = trials_of(changed(tune={"num_samples": 2, "search_space": space}))
    grid = [(trial.settings.rllib.lr, trial.settings.rllib.num_epochs) for trial in wanted]
    assert grid == [(0.001, 2), (0.001, 4), (0.0005, 2), (0.0005, 4)] * 2
    widths = [trial.settings.reward.lane_width_m for trial in wanted]
    assert len(set(widths[:4])) == len(set(widths[4:])) == 1
    assert widths[0] != widths[4]
    assert [trial.settings.simulator.seed for trial in wanted] == [1] * 4 + [2] * 4
    assert wanted[4].name == f"seed 2, lane_width_m {widths[4]}, lr 0.001, num_epochs 2"


def test_a_searched_seed_is_not_changed_per_sample(changed: Changed) -> None:
    wanted = trials_of(changed(tune={"search_space": {"simulator": {"seed": {"grid": [3, 8]}}}}))
    assert [trial.settings.simulator.seed for trial in wanted] == [3, 8]


@given(
    seed=st.integers(0, 2**31 - 100),
    low=st.floats(1e-6, 0.1),
    times=st.floats(1.01, 100),
    first=st.integers(1, 50),
    more=st.integers(1, 50),
)
def test_drawn_values_are_in_range_and_repeatable(
    changed: Changed, seed: int, low: float, times: float, first: int, more: int
) -> None:
    high = min(1.0, low * times)
    space = {
        "rllib": {"lr": {"loguniform": [low, high]}, "num_epochs": {"randint": [first, first + more]}},
        "reward": {"progress_weight": {"uniform": [low, high]}},
        "observation": {"color": {"choice": ["gray", "rgb"]}},
    }
    searched = changed(tune={"num_samples": 4, "search_space": space}, simulator={"seed": seed})
    wanted = trials_of(searched)
    assert wanted == trials_of(searched)
    for trial in wanted:
        # rounded to four digits
        assert low * 0.999 <= trial.settings.rllib.lr <= high * 1.001
        assert low * 0.999 <= trial.settings.reward.progress_weight <= high * 1.001
        assert first <= trial.settings.rllib.num_epochs <= first + more
        assert trial.settings.observation.color in {"gray", "rgb"}


def test_a_trial_has_the_same_settings_as_a_separate_run(changed: Changed) -> None:
    searched = changed(tune={"search_space": {"rllib": {"lr": {"grid": [0.0005]}}}})
    (trial,) = trials_of(searched)
    assert trial.settings == changed(rllib={"lr": 0.0005})


def test_the_search_space_is_kept_as_written_in_params_yaml(changed: Changed) -> None:
    space = {"rllib": {"lambda": {"uniform": [0.8, 0.95]}}, "action": {"type": {"choice": ["wheels"]}}}
    searched = changed(tune={"search_space": space})
    assert searched.as_dict()["tune"]["search_space"] == space
    assert Settings.model_validate(searched.as_dict()) == searched


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            {"rlib": {}},
            "rlib: is not a section that trials can vary; those are simulator, rllib, observation, action, "
            "reward, network",
        ),
        ({"rllib": {"lrr": {"grid": [1]}}}, "rllib.lrr: is not a setting; did you mean lr?"),
        ({"rllib": {"num_workers": {"grid": [1]}}}, "rllib.num_workers: cannot differ between trials"),
        (
            {"rllib": {"lr": [0.1]}},
            "rllib.lr: got [0.1]; give one of grid, choice, uniform, loguniform, randint, as in grid: [1, 2]",
        ),
        ({"rllib": {"lr": {"grid": []}}}, "rllib.lr.grid: got []; give a list: each value in turn"),
        (
            {"rllib": {"lr": {"uniform": [2, 1]}}},
            "rllib.lr.uniform: got [2, 1]; give [low, high]: any number between",
        ),
        (
            {"rllib": {"lr": {"loguniform": [0, 1]}}},
            "rllib.lr.loguniform: got [0, 1]; give [low, high], both > 0: any number between, log-uniformly",
        ),
        (
            {"rllib": {"num_epochs": {"randint": [1, 2.5]}}},
            "rllib.num_epochs.randint: got [1, 2.5]; give [low, high]: a whole number from low to high",
        ),
    ],
)
def test_a_wrong_search_space_is_refused_with_its_key_and_the_fix(
    changed: Changed, space: Any, problem: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        changed(tune={"search_space": space})
    assert problems(raised.value, Settings) == [f"tune.search_space.{problem}"]


def test_a_trial_that_cannot_run_is_refused_with_what_it_changes(changed: Changed) -> None:
    searched = changed(tune={"search_space": {"rllib": {"train_batch_size": {"grid": [512, 500]}}}})
    with pytest.raises(SettingsError) as raised:
        trials_of(searched)
    assert raised.value.problems == (
        "params.yaml: tune.search_space, trial with rllib.train_batch_size 500: rllib.train_batch_size: 500 "
        "is not a multiple of minibatch_size 256; the nearest that is: 512",
    )


def test_a_grace_period_longer_than_training_is_refused(tmp_path: Path) -> None:
    content = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    content["tune"] |= {"scheduler": "asha", "asha": {"grace_period": 10**7, "reduction_factor": 3}}
    path = tmp_path / "params.yaml"
    YAML().dump(content, path)
    with pytest.raises(SettingsError, match=r"tune.asha.grace_period: 10000000 is more than .* 262144"):
        load(path)
