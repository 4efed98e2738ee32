"""The best checkpoint becomes the model; where there is none, the actual reason is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklane.settings import Settings, TuneSettings
from ducklane.training.state.best import NoModel, best_checkpoint
from ducklane.training.state.saved import write_record
from ducklane.training.state.training_state import TrainingState

Rewards = list[float]


@pytest.fixture
def tune(changed: Callable[..., Settings]) -> TuneSettings:
    return changed(tune={"checkpoint_freq": 5, "stop": {"timesteps_total": 100}}).tune


def trained(folder: Path, rewards: Rewards, saved: list[int]) -> TrainingState:
    """A training run with these rewards, saved after the iterations of these numbers, from 1."""
    state = TrainingState(folder)
    for iteration, reward in enumerate(rewards, 1):
        row = {"timesteps_total": 10.0 * iteration, "episode_reward_mean": reward}
        state.trials[0].add_row(row)
        if iteration in saved:
            checkpoint = folder / "attempts" / "1" / "0" / f"checkpoint_{iteration:06}"
            checkpoint.mkdir(parents=True)
            write_record(checkpoint, row)
    return state


def test_the_best_saved_checkpoint_is_chosen(tmp_path: Path, tune: TuneSettings) -> None:
    number, best = best_checkpoint(tune, trained(tmp_path, [math.nan, 3, 9, 7, 5], saved=[1, 2, 4, 5]))
    assert (number, best.timesteps) == (0, 40)


def test_a_lucky_mean_of_few_episodes_is_not_the_best(tmp_path: Path, tune: TuneSettings) -> None:
    state = TrainingState(tmp_path)
    for steps, reward, episodes in ((10.0, 900.0, 1.0), (20.0, 300.0, 100.0), (30.0, 250.0, 100.0)):
        checkpoint = tmp_path / "attempts" / "1" / "0" / f"checkpoint_{steps:06.0f}"
        checkpoint.mkdir(parents=True)
        row = {"timesteps_total": steps, "episode_reward_mean": reward, "episodes_averaged": episodes}
        write_record(checkpoint, row)
    assert best_checkpoint(tune, state)[1].timesteps == 20


NO_EPISODE = (
    "tune.stop.timesteps_total: 100 steps ended before any episode did, so no checkpoint has a score; train "
    "longer or lower simulator.max_steps"
)
AT_END = "set tune.checkpoint_at_end: true"
NOTHING = f"tune.checkpoint_freq: 5 saved nothing in 3 iterations; give at most 3, or {AT_END}"
TOO_EARLY = (
    "tune.checkpoint_freq: 5 saved nothing after the first episode had ended, so no checkpoint has a score; "
    f"lower it, or {AT_END}"
)


@pytest.mark.parametrize(
    ("rewards", "saved", "reasons"),
    [
        ([math.nan] * 3, [3], [NO_EPISODE]),
        ([1.0, 2.0, 3.0], [], [NOTHING]),
        ([math.nan] * 3, [], [NO_EPISODE, NOTHING]),
        ([math.nan, math.nan, 3.0], [1], [TOO_EARLY]),
    ],
)
def test_without_a_model_the_actual_reason_is_given(
    tmp_path: Path, tune: TuneSettings, rewards: Rewards, saved: list[int], reasons: list[str]
) -> None:
    with pytest.raises(NoModel) as raised:
        best_checkpoint(tune, trained(tmp_path, rewards, saved))
    assert list(raised.value.problems) == reasons
