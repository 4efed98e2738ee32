"""ASHA stops the same trials whether a search runs through or is stopped and resumed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ducklane.settings import Settings, TuneSettings
from ducklane.training.scheduling import ResumedASHA, scheduler
from ducklane.training.state.training_state import TrainingState

STEPS = 80


@pytest.fixture(scope="module")
def tune(settings: Settings) -> TuneSettings:
    asha = {"grace_period": 10, "reduction_factor": 2}
    content = settings.tune.as_dict() | {
        "stop": {"timesteps_total": STEPS},
        "scheduler": "asha",
        "asha": asha,
    }
    return TuneSettings.model_validate(content)


class Search:
    """Trials that report one after the other, as Tune would let them."""

    def __init__(self, tune: TuneSettings, state: TrainingState, process: int) -> None:
        self.asha: Any = scheduler(tune, state)
        self.state = state
        self.trials = [
            SimpleNamespace(trial_id=f"{process}_{number}", config={"trial": number})
            for number in range(len(state.trials))
        ]
        for trial, known in zip(self.trials, state.trials, strict=True):
            if not known.ended:
                self.asha.on_trial_add(None, trial)

    def report(self, steps: int, rewards: list[float]) -> None:
        for trial, known, reward in zip(self.trials, self.state.trials, rewards, strict=True):
            if not known.ended:
                row = {"timesteps_total": steps, "episode_reward_mean": reward}
                self.asha.on_trial_result(None, trial, row)
                known.add_row(row)

    @property
    def going(self) -> list[bool]:
        return [not trial.ended for trial in self.state.trials]


def test_trials_that_fall_behind_are_stopped(tune: TuneSettings, tmp_path: Path) -> None:
    search = Search(tune, TrainingState(tmp_path, trials=4), 1)
    search.report(5, [1.0, 9.0, 2.0, 8.0])
    assert search.going == [True] * 4
    search.report(10, [9.0, 1.0, 8.0, 2.0])
    assert search.going == [True, False, True, False]


@given(
    rewards=st.lists(
        st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=STEPS // 10, max_size=STEPS // 10
    ),
    pause=st.integers(0, STEPS // 10),
)
def test_a_resumed_search_makes_the_same_decisions_as_an_uninterrupted_one(
    tune: TuneSettings, tmp_path_factory: pytest.TempPathFactory, rewards: list[list[float]], pause: int
) -> None:
    whole = Search(tune, TrainingState(tmp_path_factory.mktemp("whole"), trials=3), 1)
    folder = tmp_path_factory.mktemp("parts")
    part = Search(tune, TrainingState(folder, trials=3), 1)
    for n, row in enumerate(rewards):
        if n == pause:
            part = Search(tune, TrainingState(folder, trials=3), 2)
        whole.report(10 * (n + 1), row)
        part.report(10 * (n + 1), row)
        assert part.going == whole.going


def test_without_asha_nothing_is_stopped(settings: Settings, tmp_path: Path) -> None:
    assert not isinstance(scheduler(settings.tune, TrainingState(tmp_path)), ResumedASHA)


def test_the_parts_of_ray_that_resume_asha_still_exist(tune: TuneSettings, tmp_path: Path) -> None:
    """Ray has no public way to inform a scheduler about earlier trials."""
    asha = ResumedASHA(tune, TrainingState(tmp_path))
    (bracket,) = asha._brackets
    assert [milestone for milestone, _ in bracket._rungs] == [80, 40, 20, 10]
