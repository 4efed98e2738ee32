"""The first contact with the MLflow store: whether it lets us in, told within seconds.

MLflow itself tries for minutes to reach a database, and would write its tables into any file or schema.
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
"""After which a store is away that has not answered the first time."""

LOCK_S = 60.0
"""For how long a process waits while others make the tables of a new sqlite file."""

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
"""What drivers of databases call the limit for opening a connection, in seconds."""

_reached: set[str] = set()


@contextmanager
def first_contact(place: Address) -> Iterator[None]:
    """Around the opening of a store: where this process has not been there yet, see whether it lets us in.

    Later a store may be away for a while: who is at work then decides how long to wait.

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
    """What MLflow and the drivers look for in the environment."""
    os.environ.update(place.credentials)
    # seven tries would last minutes, and a server that is started anew is back within some seconds
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(round(LIMIT_S)))
    host = urlsplit(place.uri).hostname if place.is_server else None
    if host and _is_here(host):
        # no proxy leads to this very machine
        names = [name for key in ("no_proxy", "NO_PROXY") if (name := os.environ.get(key))]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*names, host]))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _alone(place: Address) -> Iterator[None]:
    """One process at a time makes the tables of a sqlite file: two at once would end in an error."""
    folder = _nearest(place.file.parent) if place.file else None
    if folder is None or not os.access(folder, os.R_OK):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + LOCK_S
        while not _lock(descriptor) and time.monotonic() < until:
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: int) -> bool:
    """Whether nobody else has it; on file systems without locks nobody has."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def knock(place: Address) -> int | None:
    """See whether the store lets us in; nothing is written.

    Returns:
        its runs, where they can be counted; None for a server, and for a file that the first run makes.

    Raises:
        TrackingError: it does not, or not within LIMIT_S and a second.
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
    """Do something that may never end: not all that looks up names or opens connections has a limit."""
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
    """Whether a sqlite file can be read and written, or made."""
    folder = _nearest(file.parent)
    if not folder.is_dir() or file.is_dir():
        what = f"{folder} is no folder" if not folder.is_dir() else f"{file} is a folder"
        raise refused(place, (f"cannot be made: {what}", CORRECT))
    for path in (file, folder) if file.exists() else (folder,):
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise refused(place, (f"{path} cannot be written", WRITABLE))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
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
    """Whose tables these are; None if they are this MLflow's, or if it may put its own beside them."""
    revision = None
    if "alembic_version" in tables:
        revision = connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
    if "runs" not in tables:
        return ("is a database of another program", CORRECT) if place.file or revision else None
    migrations = _migrations()
    if revision is None or not migrations:
        return None
    if not _names(migrations, "revision", revision):
        return (
            f"was written by a newer MLflow than {version('mlflow')} (schema {revision})",
            "install that one, or use another store",
        )
    if _names(migrations, "down_revision", revision):
        which = place.uri if place.file else f'"${VARIABLE}"'
        cure = f"take a copy of it, then `mlflow db upgrade {which}`"
        return f"was written by an older MLflow than {version('mlflow')} (schema {revision})", cure
    return None


def _migrations() -> list[str]:
    """The steps from each schema of MLflow's to the next."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return [path.read_text() for path in folder.glob("*.py")]


def _names(migrations: list[str], what: str, revision: str) -> bool:
    line = re.compile(rf"^{what}\b.*=\s*['\"]{re.escape(revision)}['\"]", re.MULTILINE)
    return any(line.search(migration) for migration in migrations)
