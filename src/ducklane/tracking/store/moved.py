"""A checkout that was moved or copied together with its mlflow.db and mlartifacts/.

MLflow writes into the database where the files of each experiment, run and model are, as absolute addresses.
After a move it would write to the old place again, and find nothing there; in a copy it would write into the
original.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = "mlartifacts"
"""Beside the sqlite file: what the runs in it keep as files."""

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Tables and columns that hold such addresses."""


OURS = re.compile(
    rf"(file:///(?:.*/)?{FOLDER})(/(?:[0-9a-f]{{32}}|models/m-[0-9a-f]+)/artifacts)?",
)
"""An experiment's folder, or that of one of its runs or models."""


def artifacts_beside(file: Path) -> str:
    """Address of the folder for files beside a sqlite file."""
    return (file.resolve().parent / FOLDER).as_uri()


def follow(file: Path) -> str | None:
    """Let a sqlite file name the files that lie beside it, where it still names another folder's.

    What lies in the other folder alone stays named there.

    Returns:
        what was done, in words; None if nothing had to be.
    """
    if not file.exists():
        return None
    here = artifacts_beside(file)
    with closing(sqlite3.connect(file, timeout=8, isolation_level=None)) as database:
        if not _astray(database, here):
            return None
        database.execute("BEGIN IMMEDIATE")
        astray = _astray(database, here)
        for table, column, row, _, after in astray:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, row))
        database.execute("COMMIT")
    if not astray:
        return None
    before = _path(OURS.sub(r"\1", astray[0][3])).parent
    return f"was moved here from {before}; the files of its runs are those in {FOLDER}/ beside it"


def _astray(database: sqlite3.Connection, here: str) -> list[tuple[str, str, int, str, str]]:
    """Table, column, row, address and right address of what has to be named anew."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    astray = []
    for table, column in ADDRESSES:
        if table not in tables:
            continue
        query = (
            f"SELECT rowid, {column} FROM {table} "
            f"WHERE {column} LIKE 'file:///%/{FOLDER}%' AND substr({column}, 1, ?) <> ?"
        )
        for row, before in database.execute(query, (len(here), here)):
            if after := _right(before, here):
                astray.append((table, column, row, before, after))
    return astray


def _right(address: str, here: str) -> str | None:
    """The address beside the file, None if the one that stands is right or means something else."""
    match = OURS.fullmatch(address)
    if match is None:
        return None
    root, rest = match[1], match[2] or ""
    old, new = _path(root), _path(here)
    if new.exists() and old.exists() and old.samefile(new):
        return None
    if rest and not _path(here + rest).exists() and _path(address).exists():
        return None
    return here + rest


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
