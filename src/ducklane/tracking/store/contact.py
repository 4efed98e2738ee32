"""The first contact with the MLflow store: finds out within seconds whether it can be used.

MLflow itself tries for minutes to reach a database, and would create its tables in any file or schema.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy

from ducklane.errors import UserError
from ducklane.tracking.store.address import VARIABLE, Address
from ducklane.tracking.store.moved import follow
from ducklane.tracking.store.trouble import (
    CORRECT,
    ENDPOINT,
    WRITABLE,
    Words,
    redirected,
    refusal,
    refused,
    trouble,
)

LIMIT_S = 8.0
"""Seconds after which a store that has not answered yet counts as unreachable."""

LOCK_S = 60.0
"""Seconds that a process waits while others create the tables of a new sqlite file."""

TIME_LIMITS = {
    "mysqlconnector": "connection_timeout",
    "mysqldb": "connect_timeout",
    "pg8000": "timeout",
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "pyodbc": "timeout",
    "pysqlite": "timeout",
}
"""Database driver -> its name for the connection timeout, in seconds."""

_reached: set[str] = set()


@contextmanager
def first_contact(place: Address) -> Iterator[None]:
    """A context in which to open a store; on this process's first contact, checks that the store can be used.

    Later the store may be unreachable for a while; how long to wait is then for the caller to decide.

    Raises:
        TrackingError: it cannot be used.
    """
    if place.uri in _reached:
        yield
        return
    with _alone(place):
        knock(place)
        if place.file and (moved := follow(place.file)):
            print(f"MLflow store {place.shown}: {moved}", file=sys.stderr, flush=True)
        yield
    _reached.add(place.uri)


def _settle_environment(place: Address) -> None:
    """Set the environment variables that MLflow and the drivers read."""
    os.environ.update(place.credentials)
    # MLflow's seven tries would take minutes, and a server that restarts is back within seconds
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(round(LIMIT_S)))
    host = urlsplit(place.uri).hostname if place.is_server else None
    if host and _is_here(host):
        # no proxy leads to this machine itself
        names = [name for key in ("no_proxy", "NO_PROXY") if (name := os.environ.get(key))]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*names, host]))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _alone(place: Address) -> Iterator[None]:
    """Let one process at a time create the tables of a sqlite file: two at once would fail."""
    folder = _nearest(place.file.parent) if place.file else None
    if folder is None or not os.access(folder, os.R_OK):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCK_S
        while not _lock(descriptor) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: int) -> bool:
    """Try to lock a folder; succeeds also on file systems without locks."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def knock(place: Address) -> int | None:
    """Check that the store can be used; nothing is written.

    Returns:
        the number of its runs; None for a server, and for a file that the first run will create.

    Raises:
        TrackingError: it cannot be used, or does not answer within LIMIT_S and a second.
    """
    _settle_environment(place)
    try:
        if place.file:
            _check_file(place, place.file)
            if not place.file.exists():
                return None
        if place.is_server:
            return _within(LIMIT_S + 1, partial(_knock_at_server, place))
        return _within(LIMIT_S + 1, partial(_knock_at_database, place)) if place.is_database else None
    except UserError:
        raise
    except Exception as error:
        raise trouble(error, place) from None


def _within(seconds: float, work: Callable[[], int | None]) -> int | None:
    """Do work that may never end: not every name lookup or connection has a timeout of its own."""
    done: list[int | None] = []
    failed: list[Exception] = []

    def guarded() -> None:
        try:
            done.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError
    return done[0]


def _knock_at_server(place: Address) -> None:
    # imported here: MLflow takes seconds to load
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        get_default_host_creds(place.uri),
        ENDPOINT,
        "POST",
        json={"max_results": 1},
        max_retries=min(2, int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])),
        timeout=LIMIT_S,
        raise_on_status=False,
    )
    moved_to = answer.url if any(hop.status_code in (301, 302, 303) for hop in answer.history) else None
    words = redirected(moved_to) if moved_to else refusal(answer.status_code, answer.text, place)
    if words:
        raise refused(place, words)


def _check_file(place: Address, file: Path) -> None:
    """Refuse a sqlite file that cannot be read and written, or created."""
    folder = _nearest(file.parent)
    if not folder.is_dir() or file.is_dir():
        what = f"{folder} is not a folder" if not folder.is_dir() else f"{file} is a folder"
        raise refused(place, (f"cannot be created: {what}", CORRECT))
    for path in (file, folder) if file.exists() else (folder,):
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise refused(place, (f"{path} cannot be written", WRITABLE))


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _knock_at_database(place: Address) -> int:
    url = sqlalchemy.make_url(place.uri)
    limit = TIME_LIMITS.get(url.get_driver_name())
    limits = {limit: round(LIMIT_S)} if limit and limit not in url.query else {}
    engine = sqlalchemy.create_engine(url, connect_args=limits, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        if not tables:
            return 0
        if words := _other_schema(place, tables, connection):
            raise refused(place, words)
        count = sqlalchemy.text("select count(*) from runs where lifecycle_stage = 'active'")
        return int(connection.execute(count).scalar_one()) if "runs" in tables else 0


def _other_schema(place: Address, tables: set[str], connection: sqlalchemy.Connection) -> Words | None:
    """The problem with the tables; None if they are this MLflow's, or if it may add its own to them."""
    revision = None
    if "alembic_version" in tables:
        revision = connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
    if "runs" not in tables:
        return ("belongs to another program", CORRECT) if place.file or revision else None
    migrations = _migrations()
    if revision is None or not migrations:
        return None
    if not _names(migrations, "revision", revision):
        return (
            f"was written by a newer MLflow than {version('mlflow')} (schema {revision})",
            "install that version, or use another store",
        )
    if _names(migrations, "down_revision", revision):
        which = place.uri if place.file else f'"${VARIABLE}"'
        cure = f"back it up, then run `mlflow db upgrade {which}`"
        return f"was written by an older MLflow than {version('mlflow')} (schema {revision})", cure
    return None


def _migrations() -> list[str]:
    """The migrations from each schema of MLflow to the next, as source code."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return [path.read_text() for path in folder.glob("*.py")]


def _names(migrations: list[str], what: str, revision: str) -> bool:
    line = re.compile(rf"^{what}\b.*=\s*['\"]{re.escape(revision)}['\"]", re.MULTILINE)
    return any(line.search(migration) for migration in migrations)
