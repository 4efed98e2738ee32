"""Tune keeps and returns the best checkpoint, and an unfinished training run never counts as finished."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from ducklane.errors import Interrupted
from ducklane.machine.hardware import Machine
from ducklane.settings import Settings, TuneSettings
from ducklane.training.state.training_state import TrainingState, TrialState
from ducklane.training.tuning import TrainingFailed, ray_cluster, run_trials


class Recorded(tune.Trainable):
    """Reports the rewards it is given, ten steps an iteration; its checkpoint names the iteration."""

    def setup(self, config: dict[str, Any]) -> None:
        self.rewards = config["rewards"]

    def step(self) -> dict[str, Any]:
        reward = self.rewards[self.iteration]
        if reward == "error":
            raise RuntimeError("the simulator fell over")
        score = 0.0 if reward == "interrupted" else reward
        return {
            "episode_reward_mean": score,
            "episode_reward_mean_rank": score,
            "timesteps_total": 10 * (self.iteration + 1),
            "done": reward == "interrupted",
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "iteration.json").write_text(json.dumps(self.iteration))

    def load_checkpoint(self, checkpoint: Any) -> None:
        raise NotImplementedError


class Names(tune.Callback):
    """Records the names of trials."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.names.append(str(trial))


@pytest.fixture(scope="module", autouse=True)
def cluster(settings: Settings) -> Iterator[None]:
    with ray_cluster(settings.ray, Machine(cpus=1, gpus=0)):
        yield


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Callable[..., Any]:
    def run(rewards: list[Any], steps: int, names: list[str] | None = None, **changes: Any) -> Any:
        content = settings.tune.as_dict() | {"stop": {"timesteps_total": steps}} | changes
        state = TrainingState(tmp_path)
        callbacks = [] if names is None else [Names(names)]
        chosen = TuneSettings.model_validate(content)
        run_trials(Recorded, {"rewards": rewards}, [0], chosen, state, callbacks)
        return state.trials[0]

    return run


def best_of(state: TrialState) -> int:
    """The iteration in which the best checkpoint was saved."""
    return int((state.best(1, "episode_reward_mean")[0].path / "iteration.json").read_text())


def test_the_best_checkpoint_is_kept_and_returned_not_the_newest(run: Any, tmp_path: Path) -> None:
    state = run([1.0, 7.0, 3.0, 2.0, 4.0], steps=50)
    assert best_of(state) == 2
    assert state.newest().timesteps == 50
    assert [row["episode_reward_mean"] for row in state.rows] == [1.0, 7.0, 3.0, 2.0, 4.0]
    kept = sorted(int(path.read_text()) for path in tmp_path.rglob("iteration.json"))
    assert kept == [2, 5]


def test_an_iteration_without_a_finished_episode_is_never_the_best(run: Any) -> None:
    assert best_of(run([-3.0, math.nan, -1.0, math.nan], steps=40)) == 3


def test_a_training_run_without_a_finished_episode_has_no_best_checkpoint(run: Any) -> None:
    assert run([math.nan, math.nan], steps=20).best(1, "episode_reward_mean") == []


def test_an_error_is_one_line_with_its_traceback_in_a_file(run: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"training failed: .*the simulator fell over") as raised:
        run([1.0, "error"], steps=50)
    assert len(str(raised.value).splitlines()) == 1
    assert "in step" in (tmp_path / "error.txt").read_text()


def test_a_trial_that_ended_early_does_not_count_as_finished(run: Any) -> None:
    with pytest.raises(Interrupted, match="interrupted at 20 of 50 steps"):
        run([1.0, "interrupted"], steps=50)


@pytest.mark.parametrize(("creator", "name"), [("trainable_name", r"Recorded"), ("trial_id", r"\w+_\d{5}")])
def test_trials_are_named_as_the_settings_say(run: Any, creator: str, name: str) -> None:
    names: list[str] = []
    run([1.0], steps=10, names=names, trial_name_creator=creator)
    assert re.fullmatch(name, names[0])
