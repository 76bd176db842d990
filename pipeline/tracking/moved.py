"""A store whose folder was moved or copied: MLflow's database still names the old one.

Every artifact address in it is absolute. Until they are rewritten, a moved run's artifacts are not
found, and what is trained in a copy writes into the original's folder. Nothing here needs MLflow:
the addresses are read and rewritten in SQLite itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import StoreError
from pipeline.tracking.location import BUSY_TIMEOUT, DATABASE, Location, options

# Where MLflow 3 keeps addresses. A column that another version does not have is passed over.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
    ("workspaces", "default_artifact_root"),
)

# How far below an experiment's own address theirs lie: <run>/artifacts, models/<model>/artifacts.
LAYOUT = {"experiments": 0, "runs": 2, "logged_models": 3}


@dataclass(frozen=True)
class Address:
    """One artifact address in the database, and what it should be here."""

    table: str
    column: str
    row: int
    old: str
    new: str
    folder: Path  # the old artifact folder that ``old`` lies in


def find(location: Location) -> list[Address]:
    """The addresses that are to be rewritten; none for a store that was not moved, or a server.

    An address is rewritten when the folder it lies in was left behind and its files are here, or
    nowhere. What was trained after the move, into the old folder, is still found there and stays.
    """
    if location.database is None or not location.database.exists():
        return []
    with _connected(location.database) as connection:
        addresses = [
            (table, column, row, text, path)
            for table, column in COLUMNS
            for row, text in _texts(connection, table, column)
            if (path := _path(text)) is not None
        ]
    old = {f for table, *_, path in addresses if (f := _artifacts_of(table, path)) is not None}
    paths = [path for *_, path in addresses]
    left = [folder for folder in old if _left_behind(folder, location, paths)]
    found = []
    for table, column, row, text, path in addresses:
        folder = next((folder for folder in left if path.is_relative_to(folder)), None)
        if folder is None:
            continue
        here = location.root / "artifacts" / path.relative_to(folder)
        if table == "experiments" or here.exists() or not path.exists():
            new = here.as_uri() if text.startswith("file:") else str(here)
            found.append(Address(table, column, row, text, new, folder))
    return found


def rewrite(location: Location, addresses: Sequence[Address]) -> None:
    """Put the new addresses in the database: all of them, or none when it is interrupted."""
    assert location.database is not None
    with _connected(location.database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for a in addresses:
            connection.execute(
                f"UPDATE {a.table} SET {a.column} = ? WHERE rowid = ? AND {a.column} = ?",
                (a.new, a.row, a.old),
            )
        connection.commit()


def refuse(location: Location, uri: str) -> None:
    """Raise ``StoreError`` if ``uri`` is an address that the move of a folder has left behind."""
    path = _path(uri)
    if location.database is None or path is None:
        return
    if path.is_relative_to(location.root / "artifacts"):
        return
    for address in find(location):
        if address.old == uri:
            doctor = " ".join(["python -m pipeline.doctor --apply", *options(location)])
            raise StoreError(
                f"The store {location.root} was moved or copied: its artifact addresses still name "
                f"{address.folder}. Rewrite them with: {doctor}"
            )


@contextlib.contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT)) as connection:
        connection.isolation_level = None
        yield connection


def _texts(connection: sqlite3.Connection, table: str, column: str) -> list[tuple[int, str]]:
    with contextlib.suppress(sqlite3.OperationalError):  # no such table or column
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} LIKE '%/%'")
        return [(row, text) for row, text in rows if isinstance(text, str)]
    return []


def _path(address: str) -> Path | None:
    """The local path of an address; ``None`` for one that names another place."""
    if address.startswith("/"):
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None


def _artifacts_of(table: str, path: Path) -> Path | None:
    """The folder of all artifacts of the store that an address in ``table`` was made by."""
    if table not in LAYOUT:
        return None
    base = (path, *path.parents)[min(LAYOUT[table], len(path.parts) - 1)]
    # An experiment that MLflow's own pages made has a folder of its own in it.
    return next((folder for folder in (base, base.parent) if folder.name == "artifacts"), None)


def _left_behind(folder: Path, location: Location, paths: Sequence[Path]) -> bool:
    """Whether ``folder`` is where this store's artifacts were, and no longer are.

    An experiment's artifacts may also lie elsewhere on purpose, on a disk that is not mounted now,
    and several folders may share one database. So files of the old folder have to be here; or the
    database lies in this store's folder, and the old one has a database of its own or is gone
    without a run.
    """
    here = location.root / "artifacts"
    if folder == here or (folder.exists() and here.exists() and os.path.samefile(folder, here)):
        return False
    below = [path.relative_to(folder) for path in paths if path.is_relative_to(folder)]
    below = [path for path in below if len(path.parts) > 1]  # of runs and models
    if any((here / path).exists() for path in below):
        return True
    if location.database != location.root / DATABASE:
        return False
    return (folder.parent / DATABASE).exists() if folder.exists() else not below
