"""Two runs are compared in the MLflow UI, which `make ui` opens, by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
from comparing import EXPERIMENTS, Session
from screenshots import METRIC, Pages, chromium, make_ui
from selenium.webdriver import Chrome

from ducklane.tracking.runs import PARENT_RUN

LR = {"lr-1": "0.0005", "lr-2": "0.002"}
WIDE = (3000, 1000)
"""Pixels of a window with room for all columns: those that are out of sight are not drawn."""

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
    pages.browser.set_window_size(*WIDE)
    pages.toggle_columns(METRIC)
    for name, lr in LR.items():
        assert pages.cell(listed[name], "params.`rllib.lr`") == lr
        reward = pages.cell(listed[name], f"metrics.`{METRIC}`")
        assert float(reward) == pytest.approx(recorded(session, listed[name])[-1][1])


def test_the_page_opens_on_the_columns_by_which_runs_are_compared(session: Session, pages: Pages) -> None:
    pages.browser.set_window_size(*WIDE)
    run = session.run_of("slower")
    logged = run.data.metrics
    for name in ("best/episode_reward_mean", "evaluate/distance_m", "evaluate/survived"):
        shown = pages.cell(run.info.run_id, f"metrics.`{name}`")
        assert float(shown.rstrip("…").rstrip(".")) == pytest.approx(logged[name], rel=1e-3, abs=1e-3)
    assert pages.cell(run.info.run_id, "params.`rllib.lr`") == "0.0003"
    assert pages.cell(run.info.run_id, "tags.`recipe_digest`") == run.data.tags["recipe_digest"]


@pytest.fixture
def nested(session: Session) -> Iterator[tuple[str, str]]:
    """Ids of a run and of one that is nested in it, a scoring of its model under other settings."""
    store, parent = session.project.store, session.run_of("lr-1").info.run_id
    # only the entry that the list shows: the scoring itself is tested elsewhere
    run = store.create_run("1", run_name="evaluate: episodes 3", tags={PARENT_RUN: parent})
    yield parent, run.info.run_id
    store.delete_run(run.info.run_id)


def test_nested_runs_are_folded_under_their_experiment(nested: tuple[str, str], pages: Pages) -> None:
    parent, child = nested
    assert child not in pages.listed().values()
    pages.unfold(parent)
    assert "evaluate: episodes 3" in pages.cell(child, "attributes.`Run Name`")


def test_a_run_shows_its_datasets_and_its_model_the_scores(
    session: Session, address: str, pages: Pages
) -> None:
    run = session.run_of("slower")
    server = address.partition("#")[0]
    pages.browser.get(f"{server}#/experiments/1/runs/{run.info.run_id}")
    used = run.inputs.dataset_inputs[0].dataset
    pages.wait_for_text("Datasets", f"{used.name} ({used.digest})")
    models = session.project.store.search_logged_models(["1"], f"source_run_id = '{run.info.run_id}'")
    pages.browser.get(f"{server}#/experiments/1/models/{models[0].model_id}")
    pages.wait_for_text("evaluate/distance_m", "loop_empty: 2 starts", "rllib.lr")


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
