"""All private parts of Ray that this project depends on; constraints.txt pins the version.

tests/training/test_ray_private.py fails when a name is gone or its meaning has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.tune
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray.rllib.policy.sample_batch import MultiAgentBatch
from ray.rllib.utils.minibatch_utils import MiniBatchCyclicIterator
from ray.train._internal.session import _TrainingResult
from ray.tune.registry import ENV_CREATOR, _global_registry
from ray.tune.schedulers import ASHAScheduler


@contextmanager
def only_what_trains() -> Iterator[None]:
    """Within this context `ray.init` starts only Ray's object store, scheduler and workers.

    Otherwise it would also start the autoscaler's monitor, the log monitor and the dashboard's server, even
    with the dashboard disabled. Each is a Python process that loads Ray: on two cores they delay a training
    run by five seconds, and the first takes one more to end. `ray.init` has no option for this; `ray start`
    has options for two of them.
    """
    init, start_api_server = RayParams.__init__, Node.start_api_server

    def without_monitors(self: RayParams, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{**kwargs, "no_monitor": True, "include_log_monitor": False})

    def no_server(self: Node, **_: Any) -> None:
        self._webui_url = ""  # the value without a dashboard

    RayParams.__init__, Node.start_api_server = without_monitors, no_server
    try:
        yield
    finally:
        RayParams.__init__, Node.start_api_server = init, start_api_server


def environment_creator(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """The creator of the environment that is registered with Tune under a name.

    RLlib's own env runner uses it too, but only to build gymnasium's vector environments.
    """
    create: Callable[[Mapping[str, Any]], Any] = _global_registry.get(ENV_CREATOR, name)
    return create


def restore(algorithm: Any, checkpoint: Path, counters: Mapping[str, float]) -> None:
    """Restore an algorithm from a checkpoint, with counters that are not in it.

    Given the checkpoint alone, Tune's `restore` counts iterations and seconds from 0.
    """
    saved = ray.tune.Checkpoint.from_directory(str(checkpoint))
    algorithm.restore(_TrainingResult(checkpoint=saved, metrics=dict(counters)))


def recall(scheduler: ASHAScheduler, trial_id: str, steps: float, score: float) -> None:
    """Make ASHA, with its single bracket, record a result of a trial that Tune does not know."""
    (bracket,) = scheduler._brackets
    bracket.on_result(_UnknownTrial(trial_id), steps, score)


class _UnknownTrial:
    """A trial, as far as a bracket uses it."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def hand_over(scheduler: ASHAScheduler, trial_id: str, recalled_as: str) -> None:
    """Assign the results that `recall` recorded to the trial that continues."""
    for _, recorded in scheduler._trial_info[trial_id]._rungs:
        if recalled_as in recorded:
            recorded[trial_id] = recorded.pop(recalled_as)


def batch_of(minibatches: MiniBatchCyclicIterator) -> MultiAgentBatch:
    """The batch from which RLlib draws minibatches."""
    batch: MultiAgentBatch = minibatches._batch
    return batch


def draw_from(minibatches: MiniBatchCyclicIterator, batch: MultiAgentBatch) -> None:
    """Make RLlib draw its minibatches from another batch with the same number of steps."""
    minibatches._batch = batch
