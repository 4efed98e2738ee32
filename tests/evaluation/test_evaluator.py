"""Every policy is scored the same way: same starts, same world, same rules."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from ducklane.baselines import ConstantPolicy, ProportionalController, RandomPolicy
from ducklane.errors import PolicyError
from ducklane.evaluation.evaluator import Evaluator, write_episodes
from ducklane.evaluation.pictures import DriveVideo, save_trajectories
from ducklane.evaluation.table import markdown_table
from ducklane.export.onnx_file import export_onnx
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.policy import TrainedPolicy
from ducklane.settings import Settings
from ducklane.task.observation import FrameTransform


@pytest.fixture(scope="module")
def evaluator(changed: Callable[..., Settings]) -> Iterator[Evaluator]:
    with Evaluator(changed(evaluate={"episodes": 3, "max_seconds": 3.0})) as made:
        yield made


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
    write_episodes(tmp_path / "episodes.csv", [(3, evaluation), ("", evaluation)])
    with (tmp_path / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["3"] * 3 + [""] * 3
    assert float(rows[1]["distance_m"]) == evaluation.scores[1].distance_m
    assert float(rows[1]["start_x_m"]) == pytest.approx(evaluator.starts[1][0], abs=1e-6)


def test_a_policy_for_another_camera_is_refused(
    evaluator: Evaluator, changed: Callable[..., Settings], make_policy: Callable[[Settings], TrainedPolicy]
) -> None:
    other = changed(
        simulator={"camera_width": 320, "camera_height": 240, "distortion": False},
        observation={"crop_top": 80},
    )
    with pytest.raises(PolicyError, match="640 x 480, but the policy takes 320 x 240"):
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


def test_the_map_from_above_is_without_the_robot(evaluator: Evaluator) -> None:
    simulator = evaluator.simulator
    pictures = []
    for start in evaluator.starts[:2]:
        simulator.reset(seed=1, options={"pose": start})
        pictures.append(simulator.map_image().pixels)
    assert np.array_equal(*pictures)


def test_scores_do_not_depend_on_the_number_of_processes(
    changed: Callable[..., Settings], make_policy: Callable[[Settings], TrainedPolicy], tmp_path: Path
) -> None:
    settings = changed(evaluate={"episodes": 3, "max_seconds": 0.5, "map_name": "loop_pedestrians"})
    trained = make_policy(settings)
    export_onnx(trained, tmp_path / "policy.onnx", settings.export.opset)
    policies = [trained, OnnxPolicy(tmp_path / "policy.onnx"), RandomPolicy()]
    driven = []
    for processes in (1, 3):
        with Evaluator(settings, processes=processes) as made:
            driven.append([made.evaluate(policy) for policy in policies])
    for alone, shared in zip(*driven, strict=True):
        for one, other in zip(alone.episodes, shared.episodes, strict=True):
            np.testing.assert_array_equal(one.poses, other.poses)


def test_the_video_shows_camera_view_and_track_side_by_side(
    evaluator: Evaluator, settings: Settings, tmp_path: Path
) -> None:
    frame = np.full((480, 640, 3), (200, 30, 30), np.uint8)
    frame[:, 320:] = 255
    evaluator.simulator.reset(seed=1)
    state = evaluator.simulator.state
    map_image = evaluator.simulator.map_image()
    transform = FrameTransform(settings.observation, 480, 640)
    with DriveVideo(tmp_path / "drive.mp4", map_image, transform, 0.1) as video:
        for step in range(10):
            video.add(frame, state._replace(x=state.x + 0.2 * step))
    with imageio.get_reader(tmp_path / "drive.mp4") as reader:
        shown = [image.astype(int) for image in reader.iter_data()]
    assert len(shown) == 3
    middle = 24 + 240
    assert np.abs(shown[0][middle, 100] - frame[0, 0]).max() < 20
    assert np.abs(shown[0][middle, 640 + 80] - transform(frame)[20, 20]).max() < 20
    assert shown[0][middle, 640 + 240].min() > 235
    # only the robot moves
    moved = np.abs(shown[2] - shown[0]).max(axis=2) > 40
    assert moved[:, 960:].any()
    assert not moved[24:, :960].any()


def test_the_table_holds_all_policies(evaluator: Evaluator) -> None:
    summary = evaluator.evaluate(ConstantPolicy("stand_still", 0, 0)).summary()
    lines = markdown_table({"trained": summary, "still": summary}).splitlines()
    assert len(lines) == 4
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| trained", "3 of 3"], ["| still", "3 of 3"]]
