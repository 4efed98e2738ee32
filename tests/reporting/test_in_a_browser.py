"""The report in a real browser: it fits, it plays, it can be read in light and dark, and it loads nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from screenshots import chromium, open_report
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from ducklane.reporting.origin import Recorded
from ducklane.reporting.report import render
from ducklane.reporting.results import Results
from ducklane.settings import Settings

LEAST_CONTRAST = 4.5
"""Of text, by the Web Content Accessibility Guidelines, level AA."""

TEXTS = """
const rgb = color => (color.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const paper = element => {
  for (let at = element; at; at = at.parentElement) {
    const shape = at.closest('svg') && at.tagName == 'text' ? at.previousElementSibling : null;
    if (shape && shape.tagName == 'rect') return rgb(getComputedStyle(shape).fill);
    const color = rgb(getComputedStyle(at).backgroundColor);
    if (color.length == 3 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll('body *')) {
  const texts = [...element.childNodes].filter(node => node.nodeType == 3);
  const own = texts.map(node => node.data.trim()).join('');
  if (!own || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  found.push([own.slice(0, 30), rgb(element.tagName == 'text' ? style.fill : style.color), paper(element)]);
}
return found;
"""

OVERFLOWING = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')]
  .filter(element => element.checkVisibility() && element.getBoundingClientRect().right > wide + 0.5)
  .filter(element => !element.closest('thead'))
  .map(element => element.outerHTML.slice(0, 80));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Chromium without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def report(results: Results, own_settings: Settings, run: Recorded, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    slower = own_settings.model_copy(update={"rllib": own_settings.rllib.model_copy(update={"lr": 0.0003})})
    path.write_text(render(results, slower, run, None))
    return path


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_has_to_be_scrolled_to_the_side(browser: Chrome, report: Path, width: int) -> None:
    open_report(browser, report, (width, 900))
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.execute_script("return innerWidth") == width
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    assert browser.execute_script(OVERFLOWING) == []


def test_the_film_plays(browser: Chrome, report: Path) -> None:
    open_report(browser, report, (1280, 900))
    film = "return document.querySelector('video')"
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script(f"{film}.readyState") > 0)
    assert browser.execute_script(f"{film}.duration") == pytest.approx(1.5, abs=0.1)
    assert browser.execute_script(f"{film}.error") is None
    # with its sound on, a film plays only after a click
    browser.execute_script("const film = document.querySelector('video'); film.muted = true; film.play()")
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script(f"{film}.currentTime") > 0.1)


def test_it_asks_nobody_for_anything_and_complains_of_nothing(browser: Chrome, report: Path) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        open_report(browser, report, (1280, 900))
        asked: Any = browser.execute_script(
            "return performance.getEntriesByType('resource').map(r => r.name)"
        )
        pictures = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    finally:
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    assert [name for name in asked if not name.startswith("data:")] == []
    assert min(pictures) > 100
    # what the page's own policy forbids would be complained of here
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(("width", "dark"), list(itertools.product([400, 1280], [False, True])))
def test_every_text_can_be_read(browser: Chrome, report: Path, width: int, dark: bool) -> None:
    open_report(browser, report, (width, 900), dark)
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    texts = browser.execute_script(TEXTS)
    assert len(texts) > 100
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) == dark
    faint = {
        text: contrast(ink, paper) for text, ink, paper in texts if contrast(ink, paper) < LEAST_CONTRAST
    }
    assert faint == {}


def contrast(one: list[float], other: list[float]) -> float:
    """Of two colours, by the guidelines' formula."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: list[float]) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in color[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
