"""Ray starts, if not at once then at the second try, or the user is told why it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from ducklane.errors import UserError
from ducklane.machine import Machine
from ducklane.resources import check_machine
from ducklane.settings import Settings, SettingsError
from ducklane.training.tuning import ray_cluster

ONE_CPU = Machine(cpus=1, gpus=0)


def test_a_second_try_starts_what_was_too_slow_at_the_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, tries = ray.init, []

    def slow_at_first(**options: Any) -> Any:
        tries.append(options)
        if len(tries) == 1:
            raise Exception("The current node timed out during startup.")
        return start(**options)

    monkeypatch.setattr(ray, "init", slow_at_first)
    with ray_cluster(settings.ray, ONE_CPU) as have:
        assert ray.cluster_resources()["CPU"] == have.cpus == 1
    assert len(tries) == 2


def test_a_cluster_has_what_ray_says_of_it(
    settings: Settings, changed: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 24.0, "GPU": 2.0, "memory": 1e9})
    with ray_cluster(settings.ray, ONE_CPU) as cluster:
        assert (cluster.cpus, cluster.gpus, cluster.name) == (24, 2, "the cluster at auto")
    check_machine(changed(rllib={"num_workers": 16, "num_gpus": 1}), cluster)
    with pytest.raises(SettingsError, match="and there are 24 in the cluster at auto; give 16, or -1"):
        check_machine(changed(rllib={"num_workers": 32}), cluster)


def test_ray_that_cannot_start_is_told_in_one_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # too long for the name of a socket
    elsewhere = str(tmp_path / ("far" * 40))
    monkeypatch.setenv("RAY_TMPDIR", elsewhere)
    with pytest.raises(UserError) as raised, ray_cluster(settings.ray, ONE_CPU):
        pass
    (problem,) = raised.value.problems
    assert "\n" not in problem
    assert problem.startswith("Ray did not start on this machine (")
    assert f"{elsewhere}/ray" in problem
    assert not ray.is_initialized()
