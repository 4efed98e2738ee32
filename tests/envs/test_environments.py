"""The registered environments keep gymnasium's interfaces, alone and many at once, on every map."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from ducklane.envs.keywords import DEFAULTS
from ducklane.errors import UserError
from ducklane.settings import Settings
from ducklane.simulator import scenes
from ducklane.simulator.town.maps import drivable_map_names

TASK, WHOLE = NAMES = ("ducklane/LaneFollowing-v0", "ducklane/Duckietown-v0")

SMALL: dict[str, dict[str, Any]] = {
    TASK: {"observation": {"width": 16, "height": 8}},
    WHOLE: {"camera_width": 32, "camera_height": 24, "distortion": False},
}
"""Keywords for images that are quick to draw."""

MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)


def test_these_are_all_that_are_registered() -> None:
    assert {name for name in gymnasium.registry if name.startswith("ducklane/")} == set(NAMES)


IN_REGISTRY = f"assert {set(NAMES)} <= set(gymnasium.registry)"


@pytest.mark.parametrize(
    "program",
    [
        f"import ducklane; assert 'gymnasium' not in sys.modules; import gymnasium; {IN_REGISTRY}",
        f"import gymnasium, ducklane; {IN_REGISTRY}",
        f"import ducklane; from gymnasium.vector import AutoresetMode; import gymnasium; {IN_REGISTRY}",
        f"import ducklane; importlib.util.find_spec('gymnasium'); import gymnasium; {IN_REGISTRY}",
        f"import gymnasium; gymnasium.make('ducklane:{WHOLE}', **{SMALL[WHOLE]})",
    ],
    ids=["before", "after", "a part of gymnasium", "looked for", "by name alone"],
)
def test_names_are_known_however_gymnasium_is_imported(program: str) -> None:
    command = [sys.executable, "-c", f"import importlib.util, sys; {program}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_defaults_are_those_of_the_project(settings: Settings) -> None:
    shipped = settings.as_dict()
    assert {section: shipped[section] for section in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("map_name", drivable_map_names())
def test_every_environment_passes_gymnasiums_checks_on_every_map(map_name: str) -> None:
    for name in NAMES:
        env = gymnasium.make(name, map_name=map_name, **SMALL[name])
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
        env.reset(seed=1)
        for _ in range(3):
            _, reward, *_ = env.step(env.action_space.sample())
            assert np.isfinite(reward)
        env.close()
    scenes.load_scene.cache_clear()
    scenes._load_map.cache_clear()  # or the process would keep all maps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_many_robots_are_as_many_environments_of_one(name: str, mode: AutoresetMode) -> None:
    keywords = SMALL[name] | {"max_steps": 25, "map_name": "loop_obstacles", "domain_rand": True}
    many = gymnasium.make_vec(name, 3, "vector_entry_point", autoreset_mode=mode, **keywords)
    alone = gymnasium.make_vec(name, 3, "sync", vector_kwargs={"autoreset_mode": mode}, **keywords)
    seeds: Any = [7, 8, 9]
    np.testing.assert_array_equal(many.reset(seed=seeds)[0], alone.reset(seed=seeds)[0])
    ends = 0
    for step in range(60):
        actions = np.array([[1, 0.7], [0.4, 0.45], [-0.8, 1]], np.float32)
        *results, infos = many.step(actions)
        *expected, their_infos = alone.step(actions)
        for result, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, other, rtol=0, atol=1e-12, err_msg=f"step {step}")
        assert ("final_obs" in infos) == ("final_obs" in their_infos)
        if "final_obs" in infos:
            same(infos, their_infos)
        ends += int((results[2] | results[3]).sum())
    assert ends >= 6
    many.close()
    alone.close()


def same(infos: dict[str, Any], others: dict[str, Any]) -> None:
    """The last observations, and the sums of rewards, as gymnasium's own vector environment gives them."""
    np.testing.assert_array_equal(infos["_final_obs"], others["_final_obs"])
    np.testing.assert_array_equal(infos["_final_info"], others["_final_info"])
    for final, other in zip(infos["final_obs"], others["final_obs"], strict=True):
        assert (final is None) == (other is None)
        np.testing.assert_array_equal(final, other)
    for name, sums in infos["final_info"].get("episode_reward", {}).items():
        ended = infos["_final_info"]
        np.testing.assert_allclose(
            sums[ended], others["final_info"]["episode_reward"][name][ended], atol=1e-9
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_given_array_receives_every_observation(mode: AutoresetMode, color: str, frames: int) -> None:
    observation = {"width": 16, "height": 8, "color": color, "frame_stack": frames}
    keywords: dict[str, Any] = {"observation": observation, "max_steps": 10, "autoreset_mode": mode}
    out = np.zeros((3, 8, 16, frames * (3 if color == "rgb" else 1)), np.uint8)
    given = gymnasium.make_vec(TASK, 3, out=out, **keywords)
    own = gymnasium.make_vec(TASK, 3, **keywords)
    assert given.reset(seed=1)[0] is out
    np.testing.assert_array_equal(out, own.reset(seed=1)[0])
    for _ in range(25):
        actions = np.full((3, 2), 0.4, np.float32)
        assert given.step(actions)[0] is out
        np.testing.assert_array_equal(out, own.step(actions)[0])
    assert out.any()


@pytest.mark.parametrize("name", NAMES)
def test_an_array_that_does_not_fit_is_refused(name: str) -> None:
    for out in (
        np.zeros((2, 8, 16, 1), np.uint8),
        np.zeros((2, 24, 32, 3)),
        np.zeros((2, 24, 64, 3), "u1")[:, :, ::2],
    ):
        with pytest.raises(ValueError, match="out must be a writeable, C-contiguous uint8 array"):
            gymnasium.make_vec(name, 2, out=out, **SMALL[name])


@pytest.mark.parametrize("name", NAMES)
def test_without_a_seed_every_start_is_another(name: str) -> None:
    poses = set()
    for seed in (None, None, 5, 5):
        env = gymnasium.make(name, **SMALL[name])
        _, info = env.reset(seed=seed)
        poses.add((info["x"], info["z"]))
        env.close()
    assert len(poses) == 3


def test_rendering_shows_the_whole_frame_and_changes_nothing() -> None:
    task = gymnasium.make(TASK, render_mode="rgb_array", domain_rand=True, map_name="loop_obstacles")
    watched = gymnasium.make(WHOLE, render_mode="rgb_array", domain_rand=True, map_name="loop_obstacles")
    unseen = gymnasium.make(TASK, domain_rand=True, map_name="loop_obstacles")
    for env in (task, watched, unseen):
        env.reset(seed=3)
    assert unseen.unwrapped.render() is None
    for _ in range(3):
        action = np.array([0.6, 0.5], np.float32)
        image, *_ = task.step(action)
        frame, *_ = watched.step(action)
        np.testing.assert_array_equal(task.render(), frame)
        np.testing.assert_array_equal(watched.render(), frame)
        np.testing.assert_array_equal(unseen.step(action)[0], image)


def test_gymnasiums_wrappers_fit_one_robot() -> None:
    env: Any = gymnasium.make(TASK, render_mode="rgb_array_list", max_steps=5, **SMALL[TASK])
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.FrameStackObservation(env, 4))
    observation, _ = env.reset(seed=1)
    assert observation.shape == (4, 8, 16, 3)
    for _ in range(5):
        _, _, _, truncated, info = env.step(np.array([0.1, 0.1], np.float32))
    assert truncated
    assert info["episode"]["l"] == 5
    assert info["episode"]["r"] == pytest.approx(sum(info["episode_reward"].values()))
    assert [frame.shape for frame in env.render()] == [(480, 640, 3)] * 6


def test_gymnasiums_statistics_fit_many_robots() -> None:
    envs = gymnasium.make_vec(TASK, 2, max_steps=5, **SMALL[TASK])
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    envs.reset(seed=1)
    lengths = []
    for _ in range(12):
        *_, infos = envs.step(np.full((2, 2), 0.1, np.float32))
        lengths += infos["episode"]["l"].tolist() if "episode" in infos else []
    assert lengths == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "keywords", "said"),
    [
        (TASK, {"map_nme": "udem1"}, f"{TASK}: map_nme: unknown key; did you mean map_name?"),
        (TASK, {"max_episode_steps": 5}, f"{TASK}: max_episode_steps: unknown key; did you mean max_steps?"),
        (TASK, {"frame_stack": 1}, f"{TASK}: frame_stack: unknown key; it belongs to observation"),
        (TASK, {"observation": {"widht": 8}}, f"{TASK}: observation.widht: unknown key; did you mean width?"),
        (
            TASK,
            {"action": "steering"},
            f"{TASK}: action: got 'steering'; give a dictionary with the keys that",
        ),
        (TASK, {"max_steps": "long"}, f"{TASK}: max_steps: got the text 'long'; give a whole number >= 1"),
        (TASK, {"camera_width": 320}, f"{TASK}: distortion: true needs camera_width 640"),
        (WHOLE, {"action": {}}, f"{WHOLE}: action: unknown key; known keys are"),
        (
            WHOLE,
            {"backend": "gym-duckietown"},
            f"{WHOLE}: backend: only the batched simulator is made by name",
        ),
        (WHOLE, {"autoreset_mode": "Disabled"}, f"{WHOLE}: autoreset_mode: got 'Disabled'; give"),
        (WHOLE, {"render_mode": "human"}, f"{WHOLE}: render_mode: got 'human'; give rgb_array, or None"),
        (WHOLE, {"map_name": "loop_emty"}, "map_name: there is no map 'loop_emty'; did you mean loop_empty"),
    ],
)
def test_a_wrong_keyword_is_refused_in_one_line(
    name: str, keywords: dict[str, Any], said: str | None
) -> None:
    with pytest.raises(UserError, match=re.escape(said or "did you mean max_steps?")) as raised:
        gymnasium.make_vec(name, 2, **keywords)
    assert "\n" not in str(raised.value)


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match=r"needs a display, and there is none; use render_mode="):
        gymnasium.make(TASK, render_mode="human")
