"""The state that a training run resumes from is complete, its own, and used by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ducklane.settings import Settings
from ducklane.training.state.saved import RECORD, read_checkpoint, write_record
from ducklane.training.state.training_state import StateError, TrainingState, training_state

REPOSITORY = Path(__file__).parents[3]


def saved(state: TrainingState, steps: int, reward: float, trial: int = 0) -> Path:
    """A checkpoint as Tune leaves it."""
    folder = state.new_attempt() / str(trial) / "checkpoint_000000"
    (folder / "learner").mkdir(parents=True)
    (folder / "learner" / "weights.pkl").write_bytes(b"weights" * 100)
    write_record(folder, {"timesteps_total": steps, "episode_reward_mean": reward})
    return folder


def test_a_damaged_checkpoint_does_not_count(tmp_path: Path) -> None:
    state = TrainingState(tmp_path)
    older, newer = saved(state, 10, 1.0), saved(state, 20, 2.0)
    assert state.trials[0].newest().path == newer
    weights = newer / "learner" / "weights.pkl"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert read_checkpoint(newer) is None
    assert state.trials[0].newest().path == older
    (older / RECORD).write_text((older / RECORD).read_text()[:-10])
    assert state.trials[0].newest() is None


def test_a_checkpoint_without_a_file_or_a_record_does_not_count(tmp_path: Path) -> None:
    state = TrainingState(tmp_path)
    first, second = saved(state, 10, 1.0), saved(state, 20, 2.0)
    (first / "learner" / "weights.pkl").unlink()
    (second / RECORD).unlink()
    assert state.trials[0].checkpoints() == []


def test_the_best_checkpoints_are_kept_whichever_process_made_them(tmp_path: Path) -> None:
    state = TrainingState(tmp_path)
    paths = [saved(state, 10 * n, reward) for n, reward in enumerate([5.0, 9.0, float("nan"), 7.0, 1.0])]
    best = state.trials[0].best(2, "episode_reward_mean")
    assert [checkpoint.path for checkpoint in best] == [paths[1], paths[3]]
    state.trials[0].keep([*best, state.trials[0].newest()])
    assert [checkpoint.path for checkpoint in state.trials[0].checkpoints()] == [paths[1], paths[3], paths[4]]
    assert not paths[0].exists()


def test_the_curve_continues_after_the_checkpoint_even_if_its_last_line_was_cut(tmp_path: Path) -> None:
    state = TrainingState(tmp_path)
    for steps in (10, 20, 30):
        state.trials[0].add_row({"timesteps_total": steps, "episode_reward_mean": steps / 2})
    curve = tmp_path / "trials" / "0" / "learning_curve.jsonl"
    curve.write_text(curve.read_text()[:-5])
    state = TrainingState(tmp_path)
    assert [row["timesteps_total"] for row in state.trials[0].rows] == [10, 20]
    saved(state, 10, 5.0)
    state.trials[0].forget_after(state.trials[0].newest())
    state.trials[0].add_row({"timesteps_total": 25})
    assert [row["timesteps_total"] for row in TrainingState(tmp_path).trials[0].rows] == [10, 25]
    state.trials[0].forget_after(None)
    assert TrainingState(tmp_path).trials[0].rows == []


def test_each_trial_has_its_own_checkpoints_and_the_best_is_chosen_from_all(tmp_path: Path) -> None:
    state = TrainingState(tmp_path, trials=3)
    paths = [saved(state, 10, reward, trial) for trial, reward in [(0, 5.0), (1, 9.0), (1, 7.0)]]
    assert [len(trial.checkpoints()) for trial in state.trials] == [1, 2, 0]
    number, best = state.best("episode_reward_mean")
    assert (number, best.path) == (1, paths[1])
    state.trials[1].keep([best])
    assert [path.exists() for path in paths] == [True, True, False]
    state.trials[2].end()
    assert [trial.ended for trial in TrainingState(tmp_path, trials=3).trials] == [False, False, True]
    state.clear()
    assert state.best("episode_reward_mean") is None
    assert not state.trials[2].ended


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.usefixtures("here")
def test_only_one_process_at_a_time_may_use_a_state(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    other = (
        "from ducklane import settings; from ducklane.training.state.training_state import training_state\n"
        "with training_state(settings.load()) as state: print('in', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in\n"
        with (
            pytest.raises(StateError, match="another process is training with the same settings"),
            training_state(settings),
        ):
            raise AssertionError
        process.kill()
    with training_state(settings) as state:
        state.trials[0].add_row({"timesteps_total": 1})
    assert not any((tmp_path / "runs" / "train").iterdir())
