"""Two runs are compared in the MLflow UI, which `make ui` opens, by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
from clones import Project, clone
from screenshots import METRIC, Pages, chromium, make_ui, train_two

LR = {"default": "0.001", "low-lr": "0.0003"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after two small trainings with different learning rates."""
    cloned = clone(tmp_path_factory.mktemp("ui") / "ducklane")
    train_two(cloned, {"tune.stop.timesteps_total": 512})
    return cloned


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    """What `make ui` prints while it serves."""
    with make_ui(project) as printed:
        yield printed


@pytest.fixture
def pages(address: str) -> Iterator[Pages]:
    """A browser at that address."""
    with chromium() as browser:
        pages = Pages(browser)
        pages.open(address)
        yield pages


def recorded(project: Project, run_id: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in project.store.get_metric_history(run_id, METRIC)]


def test_the_runs_are_listed_by_the_names_of_their_experiments(project: Project, pages: Pages) -> None:
    listed = pages.listed()
    assert listed.keys() == LR.keys()
    pages.toggle_columns("Dataset", "rllib.lr", METRIC)
    for name, run_id in listed.items():
        assert pages.cell(run_id, "params.`rllib.lr`") == LR[name]
        reward = pages.cell(run_id, f"metrics.`{METRIC}`")
        assert float(reward) == pytest.approx(recorded(project, run_id)[-1][1])


def test_nobody_else_on_the_network_can_open_it(address: str, pages: Pages) -> None:
    port = urlsplit(address).port
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


def test_two_runs_are_compared_by_lr_and_by_both_curves(project: Project, pages: Pages) -> None:
    runs = pages.listed()
    pages.select(*runs.values())
    pages.compare()
    assert pages.differing_params() == {"rllib.lr": LR}
    pages.open_metric(METRIC)
    assert sorted(pages.legend()) == [f"{name} ({METRIC})" for name in sorted(LR)]
    assert len(pages.lines()) == 2
    curves = {name: recorded(project, run_id) for name, run_id in runs.items()}
    assert [step for step, _ in curves["low-lr"]] == list(range(64, 513, 64))
    assert pages.points() == curves
