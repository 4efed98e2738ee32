"""docs/parameters.md and docs/metrics.md match the settings and metrics in the code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import reference_pages as reference

from ducklane import settings
from ducklane.tracking import runs as tracking

REPOSITORY = Path(__file__).resolve().parents[1]
PARAMS = REPOSITORY / "params.yaml"


def rows(page: str) -> dict[str, list[str]]:
    """The cells of each setting's row."""
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {key.strip("`"): others for key, *others in cells}


def test_the_page_is_up_to_date() -> None:
    page = (REPOSITORY / reference.PARAMETERS_PAGE).read_text()
    assert page == reference.parameters(PARAMS), "run `make reference`"


def test_the_metrics_page_is_up_to_date() -> None:
    assert (REPOSITORY / reference.METRICS_PAGE).read_text() == reference.metrics(), "run `make reference`"


@pytest.mark.parametrize("page", reference.TABLES)
def test_a_benchmarks_table_is_up_to_date(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert page.read_text() == reference.with_table(page, reference.TABLES[page]), "run `make reference`"


def test_every_setting_is_on_the_page_with_its_default_and_its_meaning() -> None:
    found = rows(reference.parameters(PARAMS))
    content = settings.read_yaml(PARAMS)
    assert isinstance(content, dict)
    assert found.keys() == tracking.flatten(content).keys()
    assert all(len(cells) == 3 and all(cells) for cells in found.values())
    assert found["tune.stop.timesteps_total"][0] == f"`{content['tune']['stop']['timesteps_total']}`"
    assert found["rllib.restore_from"][0] == "`null`"
    assert found["simulator.domain_rand"][:2] == ["`false`", "true or false"]
    assert found["rllib.clip_param"][2] == "PPO's clip of the probability ratio; > 0"


def test_a_changed_setting_changes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (PARAMS, *(REPOSITORY / page for page in reference.TABLES)):
        (tmp_path / file.relative_to(REPOSITORY)).parent.mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / file.relative_to(REPOSITORY))
    shutil.copytree(REPOSITORY / reference.RESULTS, tmp_path / reference.RESULTS)
    monkeypatch.chdir(tmp_path)
    reference.main()
    before = rows(reference.PARAMETERS_PAGE.read_text())
    text = PARAMS.read_text()
    changed = text.replace("clip_param: 0.2 ", "clip_param: 0.3 ", 1).replace("PPO's clip of", "bound on", 1)
    assert changed != text
    (tmp_path / "params.yaml").write_text(changed)
    reference.main()
    after = rows(reference.PARAMETERS_PAGE.read_text())
    different = {key for key in before if before[key] != after[key]}
    assert different == {"rllib.clip_param"}
    assert after["rllib.clip_param"] == ["`0.3`", "a number > 0", "bound on the probability ratio; > 0"]
