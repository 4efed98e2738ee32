"""If a program is not available, the tests that need it are named as not run, and the rest run."""

from __future__ import annotations

import pytest

TESTS = """
import pytest

@pytest.fixture
def browser(): ...

@pytest.fixture
def pages(browser): ...

def test_in_a_browser(pages): ...

def test_of_anything_else(): ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of two tests on a machine without any program."""
    pytester.makeconftest(
        "from programs import MissingPrograms\n"
        "def pytest_configure(config): config.pluginmanager.register(MissingPrograms())"
    )
    pytester.makepyfile(TESTS)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    return pytester


def test_tests_whose_programs_are_missing_are_named_and_the_rest_run(suite: pytest.Pytester) -> None:
    done = suite.runpytest_inprocess("-n", "0")
    assert done.ret == pytest.ExitCode.OK
    done.stdout.fnmatch_lines(
        [
            "*1 not run: no browser: apt-get install chromium chromium-driver*",
            "NOT RUN *::test_in_a_browser",
            "*1 passed*",
        ]
    )


def test_ci_skips_no_tests(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    suite.runpytest_inprocess("-n", "0").assert_outcomes(passed=2)
