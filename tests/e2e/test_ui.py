"""Two runs are compared in the MLflow UI, which `make ui` opens, by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
from comparing import EXPERIMENTS, Session
from screenshots import METRIC, Pages, chromium, make_ui
from selenium.webdriver import Chrome

LR = {"lr-1": "0.0005", "lr-2": "0.002"}

# the whole session is typed before the first test
pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def address(session: Session) -> Iterator[str]:
    """What `make ui` prints while it serves."""
    with make_ui(session.project) as printed:
        yield printed


@pytest.fixture
def browser() -> Iterator[Chrome]:
    """Chromium without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def pages(address: str, browser: Chrome) -> Pages:
    """A browser at that address."""
    pages = Pages(browser)
    pages.open(address)
    return pages


def recorded(session: Session, run_id: str) -> list[tuple[int, float]]:
    points = session.project.store.get_metric_history(run_id, METRIC)
    return [(point.step, point.value) for point in points]


def test_the_runs_are_listed_by_the_names_of_their_experiments(session: Session, pages: Pages) -> None:
    listed = pages.listed()
    assert len(listed) == 1 + len(EXPERIMENTS)
    assert listed.keys() > set(EXPERIMENTS)
    pages.toggle_columns("Dataset", "rllib.lr", METRIC)
    for name, lr in LR.items():
        assert pages.cell(listed[name], "params.`rllib.lr`") == lr
        reward = pages.cell(listed[name], f"metrics.`{METRIC}`")
        assert float(reward) == pytest.approx(recorded(session, listed[name])[-1][1])


def test_nobody_else_on_the_network_can_open_it(address: str, pages: Pages) -> None:
    port = urlsplit(address).port
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


def test_two_runs_are_compared_by_lr_and_by_both_curves(session: Session, pages: Pages) -> None:
    listed = pages.listed()
    runs = {name: listed[name] for name in LR}
    pages.select(*runs.values())
    pages.compare()
    assert pages.differing_params() == {"rllib.lr": LR}
    pages.open_metric(METRIC)
    assert sorted(pages.legend()) == [f"{name} ({METRIC})" for name in sorted(LR)]
    assert len(pages.lines()) == 2
    curves = {name: recorded(session, run_id) for name, run_id in runs.items()}
    assert [step for step, _ in curves["lr-1"]] == [64, 128]
    assert pages.points() == curves
