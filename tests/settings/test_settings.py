"""params.yaml: what is refused, with which message, and what loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ducklane.settings import Settings, SettingsError, load

SHIPPED = Path(__file__).parents[2] / "params.yaml"

VALID = """\
simulator:
  backend: gym-duckietown
  seed: 1
  map_name: loop_empty
  max_steps: 500
  camera_width: 640
  camera_height: 480
  accept_start_angle_deg: 40
  full_transparency: true
  fidelity: fast
  distortion: true
  domain_rand: false
  dynamics_rand: false
  camera_rand: false
  threads: -1
ray:
  num_cpus: -1
  num_gpus: 0
  object_store_memory: 268435456
rllib:
  env: duckietown
  framework: torch
  num_gpus: 0
  num_workers: 0
  gpu_per_worker: 0
  env_per_worker: 1
  lr: 0.0003
  lr_end: 0.0
  std_end: 0.1
  gamma: 0.99
  lambda: 0.95
  clip_param: 0.2
  vf_clip_param: null
  vf_loss_coeff: 0.5
  entropy_coeff: 0.0
  state_coeff: 1.0
  bound_coeff: 0.0
  grad_clip: 0.5
  train_batch_size: 512
  minibatch_size: 128
  num_epochs: 4
  num_learners: 0
  learner_shards: 2
  restore_from: null
tune:
  stop:
    timesteps_total: 8192
  num_samples: 1
  search_space: {}
  scheduler: fifo
  asha:
    grace_period: 4096
    reduction_factor: 3
  checkpoint_freq: 1
  checkpoint_at_end: true
  keep_checkpoints_num: 2
  checkpoint_score_attr: episode_reward_mean
  restart_behavior: resume
  trial_name_creator: trainable_name
observation:
  crop_top: 160
  crop_bottom: 0
  width: 80
  height: 40
  color: rgb
  frame_stack: 2
action:
  type: wheels
reward:
  type: lane_progress
  progress_weight: 2.0
  lane_width_m: 0.2
  lateral_weight: 2.0
  crash_penalty: 5.0
  detour_margin_m: 0.0
network:
  conv_filters: [[16, 8, 4], [32, 4, 2], [32, 3, 1]]
  hidden_size: 256
  initial_std: 0.6
  critic: privileged
  critic_hidden_size: 128
evaluate:
  map_name: loop_empty
  episodes: 6
  max_seconds: 15.0
  lap_starts: 64
  lap_seconds: 60.0
  start_angle_deg: 20
  video_seconds: 10.0
export:
  check_frames: 500
  tolerance: 0.0001
  opset: 20
  registered_model_name: ducklane-policy
mlflow:
  experiment_name: ducklane
"""

SECTIONS = "simulator, observation, action, reward, ray, rllib, tune, network, evaluate, export, mlflow"
FILTERS = "give a list of [channels, kernel, stride], each a whole number >= 1"
SPACE = "give {} or, by section and key, grid, choice, uniform, loguniform or randint"
RLLIB_KEYS = (
    "env, framework, num_gpus, num_workers, gpu_per_worker, env_per_worker, lr, lr_end, std_end, gamma, "
    "lambda, clip_param, vf_clip_param, vf_loss_coeff, entropy_coeff, state_coeff, bound_coeff, grad_clip, "
    "train_batch_size, minibatch_size, num_epochs, num_learners, learner_shards, restore_from"
)


def replaced(*changes: tuple[str, str]) -> str:
    """VALID with the text of some keys' values replaced; a key is "section.key"."""
    text = VALID
    for key, value in changes:
        section, name = key.split(".", 1)
        text, count = re.subn(
            rf"(?ms)(^{section}:\n(?:  .*?\n)*? +{re.escape(name)}:)[^\n]*", rf"\g<1> {value}", text, count=1
        )
        assert count == 1, key
    return text


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> list[str]:
    """The lines with which `load` refuses a file, without the file's folder."""
    with pytest.raises(SettingsError) as caught:
        load(path)
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).split("\n")]


WRONG_VALUES = [
    # wrong types
    ("rllib.lr", "fast", "got the text 'fast'; give a number > 0 and <= 1"),
    ("rllib.lr", "'0.001'", "got the text '0.001'; give a number > 0 and <= 1"),
    ("rllib.lr", "true", "got true; give a number > 0 and <= 1"),
    ("rllib.lr", "", "got nothing; give a number > 0 and <= 1"),
    ("rllib.lr", "[0.1, 0.2]", "got [0.1, 0.2]; give a number > 0 and <= 1"),
    ("rllib.lr", "{start: 0.1}", "got a section; give a number > 0 and <= 1"),
    ("rllib.num_workers", "2.0", "got 2.0; give -1 (as many as fit) or a whole number >= 0"),
    ("rllib.num_workers", "2026-01-01", "got 2026-01-01; give -1 (as many as fit) or a whole number >= 0"),
    ("simulator.max_steps", "1.5", "got 1.5; give a whole number >= 1"),
    ("simulator.max_steps", "true", "got true; give a whole number >= 1"),
    ("simulator.distortion", "yes", "got the text 'yes'; give true or false"),
    ("simulator.distortion", "1", "got 1; give true or false"),
    ("tune.checkpoint_at_end", "'true'", "got the text 'true'; give true or false"),
    ("simulator.map_name", "5", "got 5; give the name of a map, or a list of names"),
    ("simulator.map_name", "''", "got the text ''; give the name of a map, or a list of names"),
    ("simulator.map_name", "[]", "got []; give the name of a map, or a list of names"),
    ("simulator.map_name", "[a, 5]", "got ['a', 5]; give the name of a map, or a list of names"),
    (
        "simulator.map_name",
        "[a, b]",
        "['a', 'b'] is more than gym-duckietown can load; give one name, or set simulator.backend: batched",
    ),
    ("simulator.threads", "0", "0 leaves no core to run on; give -1 (all cores) or at least 1"),
    ("simulator.threads", "-2", "got -2; give -1 (all cores) or a whole number >= 1"),
    ("mlflow.experiment_name", "~", "got nothing; give text, not empty"),
    # out of range
    ("rllib.lr", "0", "got 0; give a number > 0 and <= 1"),
    ("rllib.lr", "2.5", "got 2.5; give a number > 0 and <= 1"),
    ("rllib.lr", ".nan", "got nan; give a number > 0 and <= 1"),
    ("rllib.lr", ".inf", "got inf; give a number > 0 and <= 1"),
    ("rllib.lr", "1e400", "got inf; give a number > 0 and <= 1"),
    ("rllib.vf_clip_param", ".inf", "got inf; give a number > 0, or null"),
    ("rllib.gamma", "1.01", "got 1.01; give a number >= 0 and <= 1"),
    ("rllib.lambda", "-0.1", "got -0.1; give a number >= 0 and <= 1"),
    ("rllib.entropy_coeff", "-1e-3", "got -0.001; give a number >= 0"),
    ("rllib.num_workers", "-2", "got -2; give -1 (as many as fit) or a whole number >= 0"),
    ("rllib.env_per_worker", "0", "got 0; give a whole number >= 1"),
    ("rllib.num_gpus", "-1", "got -1; give a number >= 0 and <= 1"),
    ("rllib.gpu_per_worker", "2", "got 2; give a number >= 0 and <= 1"),
    ("ray.num_cpus", "-2", "got -2; give -1 (all CPUs) or a whole number >= 1"),
    ("ray.num_cpus", "0", "0 leaves no CPU to run on; give -1 (all CPUs) or at least 1"),
    ("ray.num_gpus", "0.5", "got 0.5; give -1 (all GPUs) or a whole number >= 0"),
    ("ray.object_store_memory", "1000", "got 1000; give a whole number >= 78643200"),
    ("simulator.seed", "-1", "got -1; give a whole number >= 0 and < 2147483648"),
    ("simulator.seed", "4294967296", "got 4294967296; give a whole number >= 0 and < 2147483648"),
    ("simulator.camera_width", "8", "got 8; give a whole number >= 16 and <= 4096"),
    ("simulator.accept_start_angle_deg", "181", "got 181; give a number > 0 and <= 180"),
    ("observation.frame_stack", "9", "got 9; give a whole number >= 1 and <= 8"),
    ("observation.crop_top", "-1", "got -1; give a whole number >= 0"),
    ("reward.crash_penalty", "1000", "got 1000; give a number >= 0 and <= 100"),
    ("reward.detour_margin_m", "0.3", "got 0.3; give a number >= 0 and <= 0.2"),
    ("evaluate.episodes", "0", "got 0; give a whole number >= 1 and <= 1000"),
    ("evaluate.start_angle_deg", "91", "got 91; give a number >= 0 and <= 90"),
    ("export.check_frames", "10", "got 10; give a whole number >= 500"),
    ("export.opset", "12", "got 12; give a whole number >= 13 and <= 23"),
    # not one of the choices
    ("simulator.backend", "fast", "got the text 'fast'; give batched or gym-duckietown"),
    ("rllib.framework", "tf2", "got the text 'tf2'; give torch"),
    ("action.type", "wheel", "got the text 'wheel'; give wheels, velocity_steering or steering"),
    ("observation.color", "RGB", "got the text 'RGB'; give rgb or gray"),
    ("reward.type", "7", "got 7; give lane_progress or stock"),
    (
        "tune.checkpoint_score_attr",
        "loss",
        "got the text 'loss'; give episode_reward_mean or episode_len_mean",
    ),
    (
        "export.registered_model_name",
        "a b",
        "got the text 'a b'; give a name of letters, digits, '.', '_' and '-'",
    ),
    # lists
    ("network.conv_filters", "5", f"got 5; {FILTERS}"),
    ("network.conv_filters", "[]", f"got []; {FILTERS}"),
    ("network.conv_filters", "[16, 8, 4]", f"got 16; {FILTERS}"),
    ("network.conv_filters", "[[16, 8]]", f"got [16, 8]; {FILTERS}"),
    ("network.conv_filters", "[[16, 8, 4, 2]]", f"got [16, 8, 4, 2]; {FILTERS}"),
    ("network.conv_filters", "[[16, 8, 0], [a, 2, 1]]", f"got 0; {FILTERS}"),
    ("network.conv_filters", "&loop [*loop]", f"got [[...]]; {FILTERS}"),
    ("tune.search_space", "[1]", f"got [1]; {SPACE}"),
    # keys that are fine alone and cannot stand together
    (
        "network.conv_filters",
        "[[16, 8, 4], [32, 10, 1]]",
        "layer 2, [32, 10, 1], is larger than its input for an observation of 40 x 80; "
        "use a smaller kernel, smaller strides or fewer layers",
    ),
    (
        "rllib.train_batch_size",
        "500",
        "500 is not a multiple of minibatch_size 128; the nearest that is: 512",
    ),
    ("rllib.learner_shards", "129", "129 is more than minibatch_size 128; give at most that"),
    ("rllib.num_learners", "-1", "got -1; give a whole number >= 0"),
    ("rllib.num_learners", "6", "6 learners do not share minibatch_size 128 evenly; give 4"),
    ("rllib.train_batch_size", "10", "10 is not a multiple of minibatch_size 128; the nearest that is: 128"),
    (
        "observation.crop_top",
        "480",
        "480 + crop_bottom 0 leave none of the 480 rows of the camera image; crop fewer than 480 in total",
    ),
    (
        "observation.height",
        "321",
        "321 is more than the 320 pixels that the cropped camera image has; give at most 320",
    ),
    (
        "observation.width",
        "641",
        "641 is more than the 640 pixels that the cropped camera image has; give at most 640",
    ),
    (
        "reward.detour_margin_m",
        "0.04",
        "0.04 needs detours around objects, which gym-duckietown does not support; "
        "give 0, or set simulator.backend: batched",
    ),
]


@pytest.mark.parametrize(("key", "value", "problem"), WRONG_VALUES)
def test_a_wrong_value_is_refused_in_one_line_with_key_value_and_fix(
    tmp_path: Path, key: str, value: str, problem: str
) -> None:
    path = written(tmp_path, replaced((key, value)))
    assert refusal(path) == [f"params.yaml: {key}: {problem}"]


WRONG_FILES = [
    ("empty", "", [f"params.yaml: is empty; give the sections {SECTIONS}"]),
    ("comments only", "# lr: 1\n", [f"params.yaml: is empty; give the sections {SECTIONS}"]),
    ("a word", "hello", [f"params.yaml: holds the text 'hello'; give the sections {SECTIONS}"]),
    ("a list", "[1, 2]", [f"params.yaml: holds [1, 2]; give the sections {SECTIONS}"]),
    (
        "tab",
        VALID.replace("  lr:", "\tlr:"),
        [
            "params.yaml:27: is not YAML (found character '\\t' that cannot start any token); "
            "use spaces, not tabs"
        ],
    ),
    (
        "open bracket",
        "a: [1,\n",
        ["params.yaml:2: is not YAML (expected the node content, but found '<stream end>'); fix it"],
    ),
    (
        "no space after the indentation",
        VALID.replace("  lr: 0.0003", "   lr: 0.0003"),
        ["params.yaml:27: is not YAML (mapping values are not allowed here); fix it"],
    ),
    (
        "two documents",
        f"{VALID}---\n{VALID}",
        ["params.yaml:97: is not YAML (but found another document); fix it"],
    ),
    (
        "unknown alias",
        replaced(("rllib.lr", "*rate")),
        ["params.yaml:27: is not YAML (found undefined alias 'rate'); fix it"],
    ),
    (
        "a program",
        replaced(("rllib.lr", "!!python/object:os.system x")),
        [
            "params.yaml:27: is not YAML (could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'); fix it"
        ],
    ),
    (
        "NUL",
        VALID + "\0",
        [
            "params.yaml: is not YAML (unacceptable character #x0000: special characters are not allowed "
            f'in "<unicode string>", position {len(VALID)}); fix it'
        ],
    ),
    ("deep nesting", "[" * 2000, ["params.yaml: is nested too deeply; make it flatter"]),
    ("UTF-16", VALID.encode("utf-16"), ["params.yaml: byte 0 is not UTF-8 text; save the file as UTF-8"]),
    ("latin-1", b"a: \xe9\n", ["params.yaml: byte 3 is not UTF-8 text; save the file as UTF-8"]),
    (
        "duplicate key",
        VALID.replace("  lr: 0.0003\n", "  lr: 0.0003\n  lr: 0.1\n"),
        ['params.yaml:28: duplicate key "lr"; keep one of the two'],
    ),
    ("duplicate section", f"{VALID}ray: 1\n", ['params.yaml:97: duplicate key "ray"; keep one of the two']),
    (
        "misspelt key",
        VALID.replace("  lr:", "  lrr:"),
        ["params.yaml: rllib.lrr: unknown key; did you mean lr?"],
    ),
    (
        "misspelt section",
        VALID.replace("rllib:", "rlib:"),
        ["params.yaml: rlib: unknown key; did you mean rllib?"],
    ),
    (
        "Python's name of lambda",
        VALID.replace("  lambda:", "  lambda_:"),
        ["params.yaml: rllib.lambda_: unknown key; did you mean lambda?"],
    ),
    (
        "key outside its section",
        f"lr: 0.1\n{VALID}",
        ["params.yaml: lr: unknown key; it belongs to rllib"],
    ),
    (
        "key in another section",
        VALID.replace("action:\n", "action:\n  crop_top: 1\n"),
        ["params.yaml: action.crop_top: unknown key; it belongs to observation"],
    ),
    (
        "nothing like it",
        VALID.replace("  lr:", "  hamster: 1\n  lr:"),
        [f"params.yaml: rllib.hamster: unknown key; known keys are {RLLIB_KEYS}"],
    ),
    (
        "a number as a key",
        VALID.replace("  lr:", "  1: 1\n  lr:"),
        [f"params.yaml: rllib.1: unknown key; known keys are {RLLIB_KEYS}"],
    ),
    (
        "a key of two lines",
        f'{VALID}"a\\nb": 1\n',
        [f"params.yaml: 'a\\nb': unknown key; known keys are {SECTIONS}"],
    ),
    (
        "missing key",
        VALID.replace("  lr: 0.0003\n", ""),
        ["params.yaml: rllib.lr: is missing; give a number > 0 and <= 1"],
    ),
    (
        "missing nested key",
        VALID.replace("    timesteps_total: 8192\n", "    timesteps: 8192\n"),
        ["params.yaml: tune.stop.timesteps: unknown key; did you mean timesteps_total?"],
    ),
    (
        "nested value",
        VALID.replace("timesteps_total: 8192", "timesteps_total: 0"),
        ["params.yaml: tune.stop.timesteps_total: got 0; give a whole number >= 1"],
    ),
    (
        "missing section",
        VALID.replace("action:\n  type: wheels\n", ""),
        ["params.yaml: action: is missing; give a section with type"],
    ),
    (
        "section without keys",
        VALID.replace("  type: wheels\n", ""),
        ["params.yaml: action: got nothing; give a section with type"],
    ),
    (
        "section that is a word",
        VALID.replace("action:\n  type: wheels\n", "action: wheels\n"),
        ["params.yaml: action: got the text 'wheels'; give a section with type"],
    ),
    (
        "section that is a list",
        VALID.replace("action:\n  type: wheels\n", "action:\n  - type: wheels\n"),
        ["params.yaml: action: got [{'type': 'wheels'}]; give a section with type"],
    ),
    (
        "stop that is a number",
        VALID.replace("  stop:\n    timesteps_total: 8192\n", "  stop: 8192\n"),
        ["params.yaml: tune.stop: got 8192; give a section with timesteps_total"],
    ),
    (
        "lens for another camera",
        replaced(("simulator.camera_width", "320"), ("simulator.camera_height", "240")),
        [
            "params.yaml: simulator.distortion: true needs camera_width 640 and camera_height 480 (the lens "
            "is calibrated for them), not 320 x 240; set distortion to false, or that size"
        ],
    ),
    (
        "exact pictures of a simulator that has no others",
        replaced(("simulator.fidelity", "exact")),
        [
            "params.yaml: simulator.fidelity: exact is of the batched simulator, and gym-duckietown's "
            "pictures are exact as they are; set fidelity to fast, or simulator.backend: batched"
        ],
    ),
    (
        "average that is not exact",
        replaced(("observation.crop_top", "1"), ("observation.height", "97"), ("observation.width", "97")),
        [
            "params.yaml: observation.height: 97 x 97 cannot be averaged exactly from 479 x 640; choose a "
            "height that shares a factor with 479 and a width that shares one with 640"
        ],
    ),
    (
        "three problems",
        replaced(("rllib.lr", "-1"), ("export.opset", "99")).replace("  seed: 1\n", ""),
        [
            "params.yaml: simulator.seed: is missing; give a whole number >= 0 and < 2147483648",
            "params.yaml: rllib.lr: got -1; give a number > 0 and <= 1",
            "params.yaml: export.opset: got 99; give a whole number >= 13 and <= 23",
        ],
    ),
]


@pytest.mark.parametrize(
    ("content", "lines"), [case[1:] for case in WRONG_FILES], ids=[c[0] for c in WRONG_FILES]
)
def test_a_malformed_file_is_refused_with_one_line_per_problem(
    tmp_path: Path, content: str | bytes, lines: list[str]
) -> None:
    assert refusal(written(tmp_path, content)) == lines


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    lines = refusal(tmp_path / "params.yaml")
    assert lines == ["params.yaml: there is no such file; run this in the repository's root"]


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    lines = refusal(tmp_path / "params.yaml")
    assert lines == ["params.yaml: cannot be read (Is a directory); give a readable file"]


PROGRAM = """\
import sys
from ducklane.errors import exits_cleanly
from ducklane.settings import load
try:
    exits_cleanly(load)()
finally:
    heavy = {"ray", "torch", "mlflow", "gym_duckietown"} & set(sys.modules)
    assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", 1),
        (VALID.replace("  lr:", "\tlr:"), 1),
        (b"\xff", 1),
        (replaced(("rllib.lr", "fast")), 1),
        (replaced(("rllib.lr", "-1"), ("export.opset", "99")), 2),
        (replaced(("network.conv_filters", "[[1, 90, 1]]")), 1),
        (None, 1),
    ],
)
def test_a_program_ends_with_code_2_before_anything_heavy_is_imported(
    tmp_path: Path, content: str | bytes | None, lines: int
) -> None:
    if content is not None:
        written(tmp_path, content)
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == lines
    assert all(
        line.startswith("params.yaml: ") or "params.yaml:27:" in line for line in ended.stderr.splitlines()
    )


SAVED = [
    # (timesteps_total, train_batch_size, env_per_worker, num_workers, most iterations between checkpoints)
    (8192, 512, 1, 0, 16),
    (8000, 512, 1, 0, 16),
    (512, 512, 1, 0, 1),
    (100, 512, 1, 0, 1),
    # while one robot starts a new episode the others continue: 2048 + 31 steps
    (262144, 2048, 32, 0, 127),
    (262144, 2048, 32, 2, 125),
    # of as many processes as there may be: 2048 + 64 * 31 steps
    (262144, 2048, 32, -1, 66),
]


@pytest.mark.parametrize(("steps", "batch", "environments", "workers", "most"), SAVED)
def test_a_training_run_that_may_save_nothing_is_refused(
    tmp_path: Path, steps: int, batch: int, environments: int, workers: int, most: int
) -> None:
    def changed(every: int, at_end: str) -> Path:
        text = replaced(
            ("rllib.train_batch_size", str(batch)),
            ("rllib.env_per_worker", str(environments)),
            ("rllib.num_workers", str(workers)),
            ("tune.checkpoint_freq", str(every)),
            ("tune.checkpoint_at_end", at_end),
        )
        return written(tmp_path, text.replace("timesteps_total: 8192", f"timesteps_total: {steps}"))

    assert refusal(changed(most + 1, "false")) == [
        f"params.yaml: tune.checkpoint_freq: {most + 1} may save nothing: from 0 to {steps} steps "
        f"(stop.timesteps_total), {batch} an iteration (rllib.train_batch_size), there may be only {most} "
        f"iterations, and checkpoint_at_end is false; give at most {most}, or set checkpoint_at_end: true"
    ]
    load(changed(most, "false"))
    load(changed(most + 1, "true"))


def test_the_shipped_file_loads_and_explains_every_key() -> None:
    load(SHIPPED)
    for line in SHIPPED.read_text().splitlines():
        if re.match(r"\s+\w+:\s*\S", line):
            assert re.search(r"\s# \S", line), f"no comment: {line}"


def test_the_shipped_file_holds_exactly_the_keys_of_the_settings() -> None:
    def names(value: object) -> object:
        return {key: names(inner) for key, inner in value.items()} if isinstance(value, dict) else None

    shipped = YAML(typ="safe", pure=True).load(SHIPPED.read_text())
    assert names(shipped) == names(load(SHIPPED).as_dict())


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "1E-3", ".001", "1.e-3"])
def test_a_number_may_be_written_in_any_usual_way(tmp_path: Path, number: str) -> None:
    assert load(written(tmp_path, replaced(("rllib.lr", number)))).rllib.lr == 0.001


@pytest.mark.parametrize("content", ["\ufeff" + VALID, VALID.replace("\n", "\r\n"), "---\n" + VALID])
def test_what_editors_do_to_a_file_does_not_matter(tmp_path: Path, content: str) -> None:
    assert load(written(tmp_path, content)) == load(written(tmp_path, VALID))


def test_whole_numbers_are_accepted_as_floats(tmp_path: Path) -> None:
    gamma = load(written(tmp_path, replaced(("rllib.gamma", "1")))).rllib.gamma
    assert gamma == 1
    assert isinstance(gamma, float)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(written(tmp_path, VALID))
    with pytest.raises(ValueError, match="frozen"):
        settings.rllib.lr = 1.0


def test_the_digest_depends_on_the_settings_alone(tmp_path: Path) -> None:
    digest = load(written(tmp_path, VALID)).digest()
    assert load(written(tmp_path, "# a comment\n" + replaced(("rllib.lr", "3e-4")))).digest() == digest
    assert load(written(tmp_path, replaced(("rllib.lr", "4e-4")))).digest() != digest


@pytest.mark.parametrize("map_name", ["loop_empty", "[loop_empty, udem1]"])
@pytest.mark.filterwarnings("error")
def test_settings_survive_a_round_trip_through_json(tmp_path: Path, map_name: str) -> None:
    changes = ("simulator.backend", "batched"), ("simulator.map_name", map_name)
    settings = load(written(tmp_path, replaced(*changes)))
    copy = tmp_path / "copy.yaml"
    with copy.open("w") as file:
        YAML(typ="safe", pure=True).dump(settings.as_dict(), file)
    assert load(copy) == settings


ORIGINAL = replaced(
    ("simulator.max_steps", "5000"),
    ("ray.num_cpus", "8"),
    ("ray.num_gpus", "0"),
    ("ray.object_store_memory", "78643200"),
    ("rllib.num_gpus", "1"),
    ("rllib.num_workers", "8"),
    ("rllib.gpu_per_worker", "1"),
    ("rllib.env_per_worker", "2"),
    ("rllib.lr", "0.0001"),
).replace("timesteps_total: 8192", "timesteps_total: 2000000")
"""The values of the original trainer from which this project started."""


def test_the_original_trainers_values_load_and_keep_their_meaning(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ORIGINAL))
    assert settings.simulator.model_dump() == {
        "backend": "gym-duckietown",
        "seed": 1,
        "map_name": "loop_empty",
        "max_steps": 5000,
        "camera_width": 640,
        "camera_height": 480,
        "accept_start_angle_deg": 40,
        "full_transparency": True,
        "fidelity": "fast",
        "distortion": True,
        "domain_rand": False,
        "dynamics_rand": False,
        "camera_rand": False,
        "threads": -1,
    }
    assert settings.ray.model_dump() == {"num_cpus": 8, "num_gpus": 0, "object_store_memory": 78643200}
    original = {
        "env": "duckietown",
        "num_gpus": 1,
        "num_workers": 8,
        "gpu_per_worker": 1,
        "env_per_worker": 2,
        "framework": "torch",
        "lr": 0.0001,
    }
    assert original.items() <= settings.rllib.model_dump().items()
    original_tune = {
        "stop": {"timesteps_total": 2_000_000},
        "checkpoint_at_end": True,
        "trial_name_creator": "trainable_name",
        "checkpoint_freq": 1,
        "keep_checkpoints_num": 2,
        "checkpoint_score_attr": "episode_reward_mean",
    }
    assert original_tune.items() <= settings.tune.model_dump().items()


# --- any file


def leaves(settings: dict[str, object], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in settings.items():
        found += leaves(value, (*prefix, key)) if isinstance(value, dict) else [(*prefix, key)]
    return found


LEAVES = leaves(YAML(typ="safe", pure=True).load(VALID))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
# ruamel writes keys such as ":0" in a way that it cannot read
KEYS = st.text(st.characters(exclude_characters=":?"), max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(key=st.sampled_from(LEAVES), value=VALUES)
def test_any_value_of_any_key_loads_or_is_refused_naming_the_key(
    tmp_path_factory: pytest.TempPathFactory, key: tuple[str, ...], value: object
) -> None:
    content = YAML(typ="safe", pure=True).load(VALID)
    section = content
    for name in key[:-1]:
        section = section[name]
    section[key[-1]] = value
    path = tmp_path_factory.mktemp("settings") / "params.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    try:
        settings = load(path)
    except SettingsError as error:
        for line in error.problems:
            assert line.startswith(f"{path}: ")
            assert len(line.splitlines()) == 1
            assert key[-1] in line
    else:
        assert isinstance(settings, Settings)


YAML_LIKE = st.text(alphabet="ab:{}[]-#&*!|>'\"%@?,.=~<\t\n 01", max_size=60).map(str.encode)


@given(st.binary(max_size=200) | YAML_LIKE)
def test_arbitrary_bytes_are_refused_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("settings"), content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert all(line.startswith(str(path)) and len(line.splitlines()) == 1 for line in caught.value.problems)
