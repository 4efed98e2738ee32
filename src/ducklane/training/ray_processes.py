"""Ray without the processes that nobody asks anything.

`ray.init` starts, beside what runs a training, a monitor that would add machines to a cluster, one that would
hand on what workers print, and the server of a dashboard, also where there is to be none. Each is a Python
that loads Ray: on two cores a training begins five seconds later, and the first takes one more to end.
`ray.init` has no option for this; `ray start` has, for two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams


@contextmanager
def only_what_trains() -> Iterator[None]:
    """In here `ray.init` starts Ray's store, its scheduler and workers, and no more."""
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
