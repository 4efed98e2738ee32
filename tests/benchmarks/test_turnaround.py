"""The seconds of an experiment are reported by part."""

from __future__ import annotations

import pytest
import turnaround

from ducklane.errors import UserError

PRINTED = [
    (1.0, "'results/x.dvc' didn't change, skipping\n"),
    (4.0, "Running stage 'train':\n"),
    (4.1, "> PYTHONPATH=src python pipeline/train.py\n"),
    (16.0, "train 2048/262144 steps, 2000 steps/s, 2:10 left, episode_reward_mean -\n"),
    (150.0, "train 262144/262144 steps, 2000 steps/s, 0:00 left, episode_reward_mean 600.0\n"),
    (153.0, "best checkpoint: episode_reward_mean 600.0 at 262144 steps\n"),
    (155.5, "Running stage 'evaluate':\n"),
    (163.0, "driving from 20 starts, and laps from 128, in 2 processes ...\n"),
    (250.0, "driven; now writing scores and pictures\n"),
    (255.0, "Running stage 'export':\n"),
    (270.0, "models/policy.onnx is written; comparing it with torch on a drive ...\n"),
]


def test_each_part_ends_where_the_next_begins() -> None:
    assert turnaround.parts(PRINTED, 280.0) == {
        "dvc: start-up": 4.0,
        "train: start-up": 12.0,
        "train: training": 137.0,
        "train: end": 2.5,
        "evaluate: start-up": 7.5,
        "evaluate: drives and laps": 87.0,
        "evaluate: scores, pictures and tracking": 5.0,
        "export: start-up": 15.0,
        "export: check and tracking": 10.0,
    }


def test_a_part_without_a_starting_line_is_not_counted_in_the_one_before() -> None:
    turnaround.check_complete(turnaround.parts(PRINTED, 280.0))
    without = [line for line in PRINTED if not line[1].startswith("driven")]
    with pytest.raises(UserError, match="no line like 'driven'"):
        turnaround.check_complete(turnaround.parts(without, 280.0))


def test_the_headline_holds_medians_of_the_whole_and_of_scoring() -> None:
    spent = turnaround.parts(PRINTED, 280.0)
    rounds = [
        {"parts": spent | {"train: training": 137.0 + more}, "stock_steps_per_s": 90.0 + more}
        for more in (0.0, 30.0, 10.0)
    ]
    assert turnaround.headline(rounds, 600) == {
        "experiment_s": 290.0,
        "evaluate_export_s": 124.5,
        "stock_steps_per_s": 100.0,
        "test_s": 600,
    }
