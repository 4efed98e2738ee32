"""The MLflow UI, driven in a real browser without a screen.

`make screenshots` trains two runs that differ in the learning rate, compares them as a user does, and writes
the pictures in docs/images/; and it takes pictures of the report that the last `make repro` wrote. The tests
drive the UI with the same code.

MLflow generates the names of its classes. What is looked for instead: test ids, the roles and labels that
screen readers use, the text that is read, and names of the libraries that draw tables and charts (AG Grid's
row-id and col-id, Plotly's js-plotly-plot and js-line).
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from clones import REPOSITORY, Project, clone, set_param
from PIL import Image
from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver import ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

IMAGES = REPOSITORY / "docs" / "images"
PATIENCE_S = 240.0
"""For how long something may take to appear: a server on a busy machine takes minutes to start."""

REDRAWN: tuple[type[Exception], ...] = (
    exceptions.NoSuchElementException,
    exceptions.StaleElementReferenceException,
    exceptions.ElementClickInterceptedException,
    exceptions.ElementNotInteractableException,
)
"""What is said of an element while a page is still being drawn."""

CHART = '//*[@data-testid="experiment-view-compare-runs-card"]'
TICK = 'input[starts-with(@aria-label, "Press Space to toggle row selection")]'
METRIC = "episode_reward_mean"

BUDGET = {
    "simulator.max_steps": 100,
    "rllib.env_per_worker": 16,
    "rllib.train_batch_size": 1024,
    "rllib.minibatch_size": 256,
    "tune.stop.timesteps_total": 32768,
}
"""Of the runs in the pictures: a minute or two each, and their curves part."""

REPORT = REPOSITORY / "results" / "report.html"
REPORT_WINDOWS = {"report": (1280, 1400), "report-narrow": (400, 1400)}
"""Picture of the report -> size of the window."""

Found = TypeVar("Found")


def train_two(project: Project, budget: Mapping[str, object]) -> None:
    """Record two runs that differ in the learning rate.

    Args:
        project: a clone.
        budget: settings of both, by their keys.
    """
    for key, value in budget.items():
        set_param(project.root / "params.yaml", key, value)
    project.type("dvc exp run --name default train")
    project.type("dvc exp run --name low-lr -S rllib.lr=0.0003 train")


@contextmanager
def make_ui(project: Project) -> Iterator[str]:
    """`make ui` in a clone; gives the address that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a clone uses the programs that are there: its set-up counts as done
    server = project.start(f"make --old-file=setup ui PORT={port}", start_new_session=True)
    try:
        yield _printed_address(server)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _printed_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    printed = ""
    for line in server.stdout:
        printed += line
        if found := re.match(r"open (\S+)$", line):
            # what nobody reads would stop the server once the pipe is full
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return found[1]
    raise AssertionError(f"make ui ended without an address:\n{printed}")


def chromium() -> webdriver.Chrome:
    """Debian's Chromium without a window; a context manager that closes it."""
    options = ChromeOptions()
    options.binary_location = _program("chromium")
    options.add_argument("--headless=new")
    options.add_argument("--window-size=1400,1000")
    options.add_argument("--lang=en-US")
    # containers often have a /dev/shm that is too small for a page
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:  # Chromium's sandbox refuses root
        options.add_argument("--no-sandbox")
    return webdriver.Chrome(options, ChromeService(_program("chromedriver")))


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing: run `make setup-tests`"
    return found


class Pages:
    """MLflow's pages in a browser.

    Args:
        browser: shows them.
    """

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def open(self, address: str) -> None:
        """Go to a list of runs as soon as the server answers; close the chat that MLflow begins with."""

        def opened() -> bool:
            self.browser.get(address)
            return True

        self._until(opened, address, exceptions.WebDriverException)
        self._click('//button[@data-component-id="mlflow.assistant.chat_panel.close"]')
        self.listed()  # what is clicked before is forgotten

    def listed(self) -> dict[str, str]:
        """Name and id of the runs in the list."""
        rows = f"//*[@row-id][.//{TICK}]"

        def found() -> dict[str, str]:
            elements = self.browser.find_elements(By.XPATH, rows)
            return {
                row.find_element(By.XPATH, ".//a").text: row.get_attribute("row-id") or "" for row in elements
            }

        return self._until(found, rows)

    def toggle_columns(self, *names: str) -> None:
        """Show columns of the list, or hide those that are shown."""
        self._click('//*[@data-testid="column-selection-dropdown"]')
        for name in names:
            search = self._find('//input[@placeholder="Search columns"]')
            search.send_keys(Keys.CONTROL, "a")
            search.send_keys(name)
            # not the part of a longer name that the search makes bold
            whole = f'*[normalize-space()="{name}" and not(self::strong)]'
            self._click(f'//*[@data-testid="column-selector-tree"]//{whole}')
        search.send_keys(Keys.ESCAPE)

    def cell(self, run_id: str, column: str) -> str:
        """What stands in the list; a column as metrics.`loss/total` or params.`rllib.lr`."""
        return self._find(f'//*[@row-id="{run_id}"]//*[@col-id="{column}"][normalize-space()]').text

    def unfold(self, run_id: str) -> None:
        """Show the runs that are nested in one."""
        self._click(f'//*[@row-id="{run_id}"]//*[contains(@col-id, "Run Name")]//button')

    def wait_for_text(self, *texts: str) -> None:
        """Wait until a page shows all of these."""
        body = "//body"

        def shown() -> bool:
            read = self._find(body).text
            return all(text in read for text in texts)

        self._until(shown, ", ".join(texts))

    def select(self, *run_ids: str) -> None:
        """Tick runs in the list."""
        for run_id in run_ids:
            self._click(f'//*[@row-id="{run_id}"]//{TICK}')
        self._find('//*[@data-testid="runs-compare-button"]')

    def compare(self) -> None:
        """Compare the runs that are ticked."""
        self._click('//*[@data-testid="runs-compare-button"]')
        self._find('//h2[starts-with(., "Comparing")]')

    def differing_params(self) -> dict[str, dict[str, str]]:
        """Of runs that are being compared the params that differ: by param, and then by the run's name."""
        switch = '//button[@aria-label="Parameters - Show diff only"]'
        self._click(switch)
        self._find(f'{switch}[@aria-checked="true"]')
        names = self._texts('//tr[th[normalize-space()="Run Name:"]]/td')
        rows = f"{switch}/following::table[1]//tr"
        params = self._texts(f"{rows}/th")
        values = iter(self._texts(f"{rows}/td"))
        return {param: {name: next(values) for name in names} for param in params}

    def open_metric(self, name: str) -> None:
        """Of runs that are being compared draw the curves of a metric."""
        link = f'//a[normalize-space()="{name}"]'
        # it may be out of sight in a table that scrolls by itself
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", self._find(link))
        self._click(link)
        self._until(lambda: self.lines() and len(self.lines()) == len(self.legend()), CHART)

    def legend(self) -> list[str]:
        """What is written under the chart, one for each curve."""
        return self._texts(f'{CHART}//span[contains(., "({METRIC})")]')

    def lines(self) -> set[str]:
        """Shapes that the chart shows; MLflow gives runs one of few colours, and may give two the same."""
        lines = self.browser.find_elements(By.XPATH, f'{CHART}//*[contains(@class, "js-line")]')
        return {line.get_attribute("d") or "" for line in lines if line.is_displayed()}

    def points(self) -> dict[str, list[tuple[int, float]]]:
        """What the chart draws: steps and values by the run's name."""
        script = 'return arguments[0].querySelector(".js-plotly-plot").data.map(d => [d.name, d.x, d.y])'
        curves = self.browser.execute_script(script, self._find(CHART))
        return {name: list(zip(steps, values, strict=True)) for name, steps, values in curves}

    def picture(self, path: Path, window: tuple[int, int], top: str, what: str = "//main") -> None:
        """Write a picture of one element, in a window of this size that is scrolled to another."""
        self.browser.set_window_size(*window)
        self.browser.execute_script("arguments[0].scrollIntoView()", self._find(top))
        # the chart's tools lie over its curves
        self.browser.execute_script(
            "document.querySelectorAll('.modebar').forEach(tools => tools.style.visibility = 'hidden')"
        )
        path.parent.mkdir(exist_ok=True)
        self._find(what).screenshot(str(path))

    def _find(self, xpath: str) -> WebElement:
        return self._until(lambda: self.browser.find_element(By.XPATH, xpath), xpath)

    def _click(self, xpath: str) -> None:
        def clicked() -> bool:
            self.browser.find_element(By.XPATH, xpath).click()
            return True

        self._until(clicked, xpath)

    def _texts(self, xpath: str) -> list[str]:
        return [element.text for element in self.browser.find_elements(By.XPATH, xpath)]

    def _until(self, look: Callable[[], Found], what: str, *also: type[Exception]) -> Found:
        ignored = [*REDRAWN, *also]
        wait: WebDriverWait[Any] = WebDriverWait(self.browser, PATIENCE_S, ignored_exceptions=ignored)
        return wait.until(lambda _: look(), f"waited {PATIENCE_S} s for {what}")


def open_report(browser: webdriver.Chrome, report: Path, window: tuple[int, int], dark: bool = False) -> None:
    """Open a report as in a window of this size, in light or dark.

    Chromium's own windows are never narrower than 500 pixels.
    """
    width, height = window
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(report.absolute().as_uri())


def picture_report(browser: webdriver.Chrome, report: Path, folder: Path) -> None:
    """Write pictures of the top of a report in a wide and in a narrow window."""
    has_film = "return document.querySelector('video').readyState == 4"
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    for name, window in REPORT_WINDOWS.items():
        open_report(browser, report, window)
        WebDriverWait(browser, PATIENCE_S).until(lambda shown: shown.execute_script(has_film))
        with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as picture:
            # they are kept in git, and a palette makes them a third as large
            small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)
        small.save(folder / f"{name}.png", optimize=True)


def main() -> None:
    """Train, compare, and take the pictures."""
    if not REPORT.is_file():
        sys.exit(f"{REPORT}: is missing; run `make repro` first")
    with chromium() as browser:
        picture_report(browser, REPORT, IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder) / "ducklane")
        train_two(project, BUDGET)
        with make_ui(project) as address, chromium() as browser:
            pages = Pages(browser)
            pages.open(address)
            pages.select(*pages.listed().values())
            pages.picture(IMAGES / "runs.png", (1280, 560), top="//h2")
            pages.compare()
            pages.differing_params()
            details = '//*[@role="button"][.//*[@aria-label="collapse Run details"]]'
            pages.picture(IMAGES / "compare.png", (1280, 960), top=details)
            pages.open_metric(METRIC)
            pages.picture(IMAGES / "curves.png", (1280, 900), top=CHART, what=CHART)
    print(f"wrote {IMAGES}")


if __name__ == "__main__":
    main()
