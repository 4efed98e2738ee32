"""The private parts of Ray that are used: they are in one file, and still mean what they are used for."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.minibatch_utils import MiniBatchCyclicIterator
from ray.tune import register_env
from ray.tune.schedulers import ASHAScheduler

from ducklane.training import ray_private

REPOSITORY = Path(__file__).parents[2]


def test_no_other_file_imports_private_parts_of_ray() -> None:
    private = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for folder in ("src", "pipeline")
        for path in Path(REPOSITORY, folder).rglob("*.py")
        for name in imported(path)
        if name.startswith("ray.") and "._" in name and path.name != "ray_private.py"
    }
    assert not private


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_rays_version_is_pinned() -> None:
    pinned = re.search(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == version("ray")


def test_an_environment_is_created_by_its_registered_creator() -> None:
    register_env("of one's own", lambda config: config["value"])
    assert ray_private.environment_creator("of one's own")({"value": 7}) == 7


def test_asha_counts_recalled_results() -> None:
    scheduler = ASHAScheduler(time_attr="t", metric="m", mode="max", max_t=100, grace_period=10)
    ray_private.recall(scheduler, "one", 10, 1.0)
    ray_private.recall(scheduler, "two", 10, 2.0)
    (bracket,) = scheduler._brackets
    recorded = [scores for _, scores in bracket._rungs if scores]
    assert recorded == [{"one": 1.0, "two": 2.0}]


def test_minibatches_are_drawn_from_the_given_batch() -> None:
    batches = [MultiAgentBatch({"p": SampleBatch({"a": np.full(8, value)})}, 8) for value in (0, 1)]
    minibatches = MiniBatchCyclicIterator(batches[0], num_epochs=1, minibatch_size=4)
    assert ray_private.batch_of(minibatches) is batches[0]
    ray_private.draw_from(minibatches, batches[1])
    drawn = [np.asarray(minibatch.policy_batches["p"]["a"]) for minibatch in minibatches]
    assert [len(part) for part in drawn] == [4, 4]
    assert all((part == 1).all() for part in drawn)
