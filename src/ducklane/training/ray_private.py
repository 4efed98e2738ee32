"""All of Ray that is not public and that this project depends on; constraints.txt pins the version.

tests/training/test_ray_private.py notices when a name is gone or means something else.
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
    """In here `ray.init` starts Ray's store, its scheduler and workers, and no more.

    It would also start a monitor that adds machines to a cluster, one that hands on what workers print, and
    the server of a dashboard, even where there is to be none. Each is a Python that loads Ray: on two cores a
    training begins five seconds later, and the first takes one more to end. `ray.init` has no option for
    this; `ray start` has, for two of them.
    """
    init, start_api_server = RayParams.__init__, Node.start_api_server

    def without_monitors(self: RayParams, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{**kwargs, "no_monitor": True, "include_log_monitor": False})

    def no_server(self: Node, **_: Any) -> None:
        self._webui_url = ""  # as where a dashboard is not wanted

    RayParams.__init__, Node.start_api_server = without_monitors, no_server
    try:
        yield
    finally:
        RayParams.__init__, Node.start_api_server = init, start_api_server


def environment_creator(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """What makes the environment that was registered with Tune under a name.

    RLlib's own env runner asks for it, too, but only to make gymnasium's vector environments with it.
    """
    create: Callable[[Mapping[str, Any]], Any] = _global_registry.get(ENV_CREATOR, name)
    return create


def restore(algorithm: Any, checkpoint: Path, counters: Mapping[str, float]) -> None:
    """Let an algorithm go on from a checkpoint, with counters that are not in it.

    Given a checkpoint alone, Tune's `restore` begins to count iterations and seconds at 0.
    """
    saved = ray.tune.Checkpoint.from_directory(str(checkpoint))
    algorithm.restore(_TrainingResult(checkpoint=saved, metrics=dict(counters)))


def recall(scheduler: ASHAScheduler, trial_id: str, steps: float, score: float) -> None:
    """Let ASHA with one bracket count a result of a trial that Tune does not know."""
    (bracket,) = scheduler._brackets
    bracket.on_result(_Unknown(trial_id), steps, score)


class _Unknown:
    """A trial as a bracket sees it."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def hand_over(scheduler: ASHAScheduler, trial_id: str, recalled_as: str) -> None:
    """Let what `recall` made ASHA count be what this trial has reached."""
    for _, recorded in scheduler._trial_info[trial_id]._rungs:
        if recalled_as in recorded:
            recorded[trial_id] = recorded.pop(recalled_as)


def batch_of(minibatches: MiniBatchCyclicIterator) -> MultiAgentBatch:
    """The batch that RLlib draws minibatches from."""
    batch: MultiAgentBatch = minibatches._batch
    return batch


def draw_from(minibatches: MiniBatchCyclicIterator, batch: MultiAgentBatch) -> None:
    """Let RLlib draw its minibatches from another batch of as many steps."""
    minibatches._batch = batch
