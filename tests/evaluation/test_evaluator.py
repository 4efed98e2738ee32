"""Any policy is scored alike: same starts, same world, same rules."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from ducklane.baselines import ConstantPolicy, ProportionalController
from ducklane.evaluation.evaluator import Evaluator, write_episodes
from ducklane.evaluation.pictures import DriveVideo, save_trajectories
from ducklane.evaluation.table import markdown_table
from ducklane.policy import PolicyError, TrainedPolicy
from ducklane.settings import Settings
from ducklane.task.observation import FrameTransform


@pytest.fixture(scope="module")
def evaluator(changed: Callable[..., Settings]) -> Iterator[Evaluator]:
    made = Evaluator(changed(evaluate={"episodes": 3, "max_seconds": 3.0}))
    yield made
    made.simulator.close()


def test_knowing_the_lane_beats_everything_that_does_not(evaluator: Evaluator) -> None:
    driven = {
        policy.name: evaluator.evaluate(policy).summary()
        for policy in (
            ProportionalController(),
            ConstantPolicy("stand_still", 0, 0),
            ConstantPolicy("spin", -1, 1),
            ConstantPolicy("reverse", -1, -1),
        )
    }
    distances = {name: summary["readable"]["distance_m"] for name, summary in driven.items()}
    assert distances["proportional"] > 0.5
    assert driven["proportional"]["survived"] == 3
    assert all(distance < 0.1 for name, distance in distances.items() if name != "proportional")


def test_the_same_policy_scores_the_same_twice(evaluator: Evaluator) -> None:
    first, second = (evaluator.evaluate(ProportionalController()) for _ in range(2))
    assert first.scores == second.scores
    for one, other in zip(first.episodes, second.episodes, strict=True):
        assert np.array_equal(one.poses, other.poses)


def test_episodes_begin_at_the_fixed_starts_and_last_their_time(evaluator: Evaluator) -> None:
    evaluation = evaluator.evaluate(ConstantPolicy("stand_still", 0, 0))
    assert np.array_equal([episode.poses[0] for episode in evaluation.episodes], evaluator.starts)
    assert [len(episode.poses) - 1 for episode in evaluation.episodes] == [90, 90, 90]
    assert all(episode.survived for episode in evaluation.episodes)


def test_every_episode_is_a_row(evaluator: Evaluator, tmp_path: Path) -> None:
    evaluation = evaluator.evaluate(ConstantPolicy("straight", 1, 1))
    write_episodes(tmp_path / "episodes.csv", [evaluation, evaluation])
    with (tmp_path / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert float(rows[1]["distance_m"]) == evaluation.scores[1].distance_m
    assert float(rows[1]["start_x_m"]) == pytest.approx(evaluator.starts[1][0], abs=1e-6)


def test_a_policy_of_another_camera_is_refused(
    evaluator: Evaluator, changed: Callable[..., Settings], make_policy: Callable[[Settings], TrainedPolicy]
) -> None:
    other = changed(
        simulator={"camera_width": 320, "camera_height": 240, "distortion": False},
        observation={"crop_top": 80},
    )
    with pytest.raises(PolicyError, match="640 x 480, and the policy takes 320 x 240"):
        evaluator.evaluate(make_policy(other))


def test_paths_are_drawn_where_they_were_driven(evaluator: Evaluator, tmp_path: Path) -> None:
    standing = evaluator.evaluate(ConstantPolicy("stand_still", 0, 0))
    driving = evaluator.evaluate(ProportionalController())
    map_image = evaluator.simulator.map_image()
    pictures = []
    for number, evaluation in enumerate((standing, driving)):
        save_trajectories(tmp_path / f"{number}.png", map_image, evaluation.episodes)
        pictures.append(imageio.imread(tmp_path / f"{number}.png", mode="RGB").astype(int))
    differing = np.abs(pictures[0] - pictures[1]).max(axis=-1) > 60
    assert 0.0005 < differing.mean() < 0.1


def test_looking_from_above_does_not_disturb_the_next_episode(evaluator: Evaluator) -> None:
    simulator = evaluator.simulator
    simulator.camera_on = True
    frames = []
    for looked in (False, True):
        simulator.reset(seed=1)
        simulator.step((1, 0.5))
        if looked:
            simulator.map_image()
        frames.append(simulator.reset(options={"pose": evaluator.starts[0]})[0])
    assert np.array_equal(*frames)


def test_the_video_shows_the_camera_and_what_the_policy_sees(settings: Settings, tmp_path: Path) -> None:
    frame = np.full((480, 640, 3), (200, 30, 30), np.uint8)
    with DriveVideo(tmp_path / "drive.mp4", FrameTransform(settings.observation, 480, 640), 0.1) as video:
        for _ in range(10):
            video.add(frame)
    with imageio.get_reader(tmp_path / "drive.mp4") as reader:
        shown = list(reader.iter_data())
    assert len(shown) == 3
    assert np.abs(shown[0][240, 320].astype(int) - frame[0, 0]).max() < 20
    assert shown[0][0, -100].min() > 200


def test_the_table_holds_all_policies(evaluator: Evaluator) -> None:
    summary = evaluator.evaluate(ConstantPolicy("stand_still", 0, 0)).summary()
    lines = markdown_table({"trained": summary, "still": summary}).splitlines()
    assert len(lines) == 4
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| trained", "3 of 3"], ["| still", "3 of 3"]]
