from __future__ import annotations

from pathlib import Path

import pytest
import suite_times

from ducklane.errors import UserError

CASES = """<testsuites><testsuite>
<testcase classname="tests.e2e.test_ui" name="test_a@comparing" time="40.25" />
<testcase classname="tests.e2e.test_ui" name="test_b@comparing" time="2.0" />
<testcase classname="tests.test_policy" name="test_c@tests/test_policy.py" time="0.5" />
</testsuite></testsuites>"""


def test_times_are_listed_by_file_longest_first(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(CASES)
    (tmp_path / "test_seconds.json").write_text('{"seconds": 90}')
    report = suite_times.collect(tmp_path)
    assert report == {
        "seconds": 90,
        "files": [
            {"file": "tests/e2e/test_ui.py", "tests": 2, "seconds": 42.2},
            {"file": "tests/test_policy.py", "tests": 1, "seconds": 0.5},
        ],
    }
    written = suite_times.table({**report, "machine": {"cores": 2, "cpu": "a processor"}})
    assert "| `tests/e2e/test_ui.py` | 2 | 42 |" in written
    assert "| 1 others | 1 | 0 |" in written
    assert "took 1.5 minutes on 2 cores" in written


def test_without_a_test_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `make test` first"):
        suite_times.collect(tmp_path)
