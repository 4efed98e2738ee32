"""The store's address: relative to the root, refused if unusable, shown without passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from ducklane.tracking.store.address import AddressError, address, masked

UNSET = "unset MLFLOW_TRACKING_URI for mlflow.db at the repository's root"

Told = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: Told) -> Path:
    """A repository's root as DVC names it; the command itself runs in a copy."""
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(copy)
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    return root


@pytest.mark.parametrize("told", ["", "  ", "sqlite:///mlflow.db", " sqlite:///./x/../mlflow.db\n"])
def test_a_relative_sqlite_file_is_at_the_root_even_in_a_copy(
    root: Path, monkeypatch: Told, told: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    assert address().uri == address().shown == f"sqlite:///{root}/mlflow.db"
    assert address().file == root / "mlflow.db"


@pytest.mark.parametrize(
    ("told", "file"),
    [
        ("sqlite:////srv/duck lane/m#1 50%.db", "/srv/duck lane/m#1 50%.db"),
        ("sqlite+pysqlite:////srv/mlflow.db?timeout=3", "/srv/mlflow.db"),
        ("sqlite:///~/mlflow.db", str(Path.home() / "mlflow.db")),
    ],
)
def test_an_absolute_sqlite_file_is_where_it_says(monkeypatch: Told, told: str, file: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    assert address().file == Path(file)


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ("./mlruns", UNSET),
        ("mlruns", UNSET),
        ("/var/mlruns", UNSET),
        ("file:///var/mlruns", UNSET),
        ("file:mlruns", UNSET),
        ("localhost:5000", "write http://localhost:5000"),
        ("127.0.0.1:5000", "write http://127.0.0.1:5000"),
        ("mlflow.example.org:5000/team", "write http://mlflow.example.org:5000/team"),
        ("/srv/mlflow.db", "write sqlite:////srv/mlflow.db"),
        ("sqlite:mlflow.db", "write sqlite:///mlflow.db"),
        ("sqlite:///:memory:", "names no file"),
        ("databricks", "a Databricks workspace"),
        ("nosuch://x", "for which MLflow has no store"),
        ("postgres://u@h/d", "write postgresql://"),
        ("http://", "write http://HOST:PORT"),
        ("http://h:5000/#/experiments/1?searchFilter=", "write http://h:5000"),
    ],
)
def test_an_invalid_store_is_refused_in_one_complete_line_with_the_fix(
    monkeypatch: Told, told: str, cure: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    with pytest.raises(AddressError) as refused:
        address()
    assert str(refused.value).startswith(f"MLFLOW_TRACKING_URI: {told} ")
    assert cure in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("http://ann:se%40cret@host:5000", "http://ann:***@host:5000"),
        ("https://secret@host", "https://***@host"),
        ("postgresql+psycopg2://ann:se%40cret@host/db", "postgresql+psycopg2://ann:***@host/db"),
        ("mysql+pymysql://ann@host/db?password=secret&x=1", "mysql+pymysql://ann@host/db?password=***&x=1"),
    ],
)
def test_a_password_is_not_shown(monkeypatch: Told, told: str, shown: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    assert address().shown == shown


@pytest.mark.parametrize("password", ["se@cret", "se/cret", "se?cret", "se#cret"])
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_password_that_ends_too_early_is_refused_and_not_shown(
    monkeypatch: Told, scheme: str, password: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://ann:{password}@host/db")
    with pytest.raises(AddressError, match="@ as %40, : as %3A, / as %2F") as refused:
        address()
    assert "cret" not in str(refused.value)


def test_mlflow_gets_a_servers_password_separately_from_the_address(monkeypatch: Told) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:se%40cret@host:5000/team/")
    place = address()
    assert place.uri == "http://host:5000/team"
    assert dict(place.credentials) == {
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": "se@cret",
    }


def test_messages_of_other_programs_are_passed_on_without_passwords(monkeypatch: Told) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:s%40lt@host/db?sslpassword=p3pper")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "vin egar")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mustard\n")
    monkeypatch.setenv("PGPASSWORD", "a")
    said = (
        "for s@lt or s%40lt, p3pper, vin egar, vin%20egar, 'Bearer mustard\\n', 'Basic YW5uOnZpbiBlZ2Fy', "
        "http://bob:ketch/up@proxy:3128 and a say no"
    )
    assert masked(said) == (
        "for *** or ***, ***, ***, ***, 'Bearer ***\\n', 'Basic ***', "
        "http://bob:***@proxy:3128 and *** say no"
    )
