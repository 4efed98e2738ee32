"""Repairs the store of a checkout that was moved or copied with its mlflow.db and mlartifacts/.

MLflow stores the locations of each experiment's, run's and model's files as absolute addresses. After a move
it would write to the old place again, and find no files there; in a copy it would write into the original.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = "mlartifacts"
"""Folder next to the sqlite file, with the artifacts of its runs."""

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Tables and columns with such addresses."""


OURS = re.compile(
    rf"(file:///(?:.*/)?{FOLDER})(/(?:[0-9a-f]{{32}}|models/m-[0-9a-f]+)/artifacts)?",
)
"""The address of an experiment's folder, or of one of its runs or models."""


def artifacts_beside(file: Path) -> str:
    """Address of the folder for artifacts next to a sqlite file."""
    return (file.resolve().parent / FOLDER).as_uri()


def follow(file: Path) -> str | None:
    """Update addresses in a sqlite file that still point to another folder to the files next to it.

    Files that exist only in the other folder keep their addresses.

    Returns:
        what was done, in words; None if nothing had to change.
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
    """Table, column, row, address and correct address of each entry that has to be updated."""
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
    """The corrected address; None if the present one is correct or means something else."""
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
