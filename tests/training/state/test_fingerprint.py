"""A stopped training run is resumed only where the same result is wanted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklane import settings as ducklane_settings
from ducklane.errors import UserError
from ducklane.settings import Settings
from ducklane.training.state.fingerprint import fingerprint

REPOSITORY = Path(__file__).parents[3]
REWARD = Path("src/ducklane/task/reward.py")
MAP = "tile_size: 0.585\ntiles: [[straight/W, floor]]\n"

Changed = Callable[..., Settings]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a training run depends on, as the working directory."""
    for name in ("dvc.yaml", "constraints.txt", "params.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in ("pipeline", "src"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_changes_that_affect_no_result_keep_the_same_training_run(
    settings: Settings, changed: Changed
) -> None:
    same = fingerprint(settings)
    for sections in (
        {"ray": {"num_cpus": 1, "object_store_memory": 2**27}},
        {"simulator": {"threads": 1}},
        {"mlflow": {"experiment_name": "another"}},
        {
            "tune": {
                "keep_checkpoints_num": 5,
                "restart_behavior": "restart",
                "trial_name_creator": "trial_id",
            }
        },
        {"evaluate": {"episodes": 3}, "export": {"opset": 18}},
    ):
        assert fingerprint(changed(**sections)) == same, sections
    params, code = Path("params.yaml"), REWARD.read_text()
    params.write_text(f"# a comment\n{params.read_text()}")
    assert fingerprint(ducklane_settings.load(params)) == same
    said_anew = code.replace('"""', '"""In other words: ', 1)
    REWARD.write_text(f"# a comment\n\n{said_anew}\n\n# another\n")
    Path("src/ducklane/doctor.py").write_text("no part of the training run")
    assert fingerprint(settings) == same


@pytest.mark.parametrize(
    "sections",
    [
        {"rllib": {"lr": 0.002}},
        {"rllib": {"num_gpus": 1.0}},
        {"simulator": {"seed": 2}},
        {"tune": {"checkpoint_freq": 2}},
        {"tune": {"num_samples": 2}},
        {"reward": {"type": "stock"}},
    ],
    ids=str,
)
@pytest.mark.usefixtures("project")
def test_another_setting_makes_another_training_run(
    settings: Settings, changed: Changed, sections: dict[str, dict[str, object]]
) -> None:
    assert fingerprint(changed(**sections)) != fingerprint(settings)


@pytest.mark.usefixtures("project")
def test_other_code_or_versions_make_another_training_run(settings: Settings) -> None:
    seen = {fingerprint(settings)}
    with REWARD.open("a") as file:
        file.write("\nSOMETHING = 1\n")
    seen.add(fingerprint(settings))
    versions = Path("constraints.txt")
    versions.write_text(versions.read_text().replace("numpy==", "numpy==9"))
    seen.add(fingerprint(settings))
    # -1 workers are another number on another machine
    seen |= {fingerprint(settings, workers) for workers in ([4], [8], [4, 8])}
    assert len(seen) == 6


@pytest.mark.usefixtures("project")
def test_changes_to_files_that_settings_name_make_another_training_run(changed: Changed) -> None:
    own_map, policy = Path("mine.yaml"), Path("models/older")
    own_map.write_text(MAP)
    policy.mkdir(parents=True)
    (policy / "network.pt").write_text("weights")
    of_map = changed(simulator={"map_name": ["loop_empty", str(own_map)]})
    of_trials = changed(
        tune={"search_space": {"simulator": {"map_name": {"grid": ["loop_empty", str(own_map)]}}}}
    )
    of_policy = changed(rllib={"restore_from": str(policy)})
    before = [fingerprint(one) for one in (of_map, of_trials, of_policy)]
    own_map.write_text(MAP.replace("floor", "grass"))
    (policy / "network.pt").write_text("others")
    after = [fingerprint(one) for one in (of_map, of_trials, of_policy)]
    assert not set(before) & set(after)


@pytest.mark.usefixtures("project")
def test_a_listed_file_that_is_missing_is_named(settings: Settings) -> None:
    Path("constraints.txt").unlink()
    with pytest.raises(UserError, match=r"dvc\.yaml: constraints\.txt of train's deps is missing; type git "):
        fingerprint(settings)
