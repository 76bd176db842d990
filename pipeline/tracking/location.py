"""Where the store lies, and whether it can be written: checked before anything is trained.

MLflow finds out late and slowly: a corrupt SQLite file costs it a hundred seconds of retries, an
absent server four minutes, and processes that create one database at once destroy it. Everything
here is asked first, and answered within seconds.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from pipeline.config import Tracking
from pipeline.errors import StoreError, did_you_mean

DATABASE = "mlflow.db"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")
SERVER_TIMEOUT = 3.0  # seconds a server may take to answer the first knock
LOCK_TIMEOUT = 120.0  # seconds: creating a database takes one to twelve
BUSY_TIMEOUT = 20.0  # seconds another process may hold the database, as MLflow's own


@dataclass(frozen=True)
class Location:
    """A store's address, and the local folder that belongs to it whatever the address is."""

    uri: str  # MLflow tracking URI
    root: Path  # absolute; journals, checkpoints in progress, the local store
    database: Path | None  # the SQLite file, where it is one
    artifacts: str | None  # where new experiments keep artifacts; None: the server decides

    @property
    def remote(self) -> bool:
        """Whether others may write to this store from machines whose journals are not here."""
        return self.database is None

    @property
    def journals(self) -> Path:
        return self.root / "journals"

    @property
    def work(self) -> Path:
        return self.root / "work"


def locate(config: Tracking) -> Location:
    """Read ``tracking.uri`` and ``tracking.root``; touches nothing.

    Raises:
        StoreError: the address has a scheme that MLflow does not know.
    """
    root = Path(config.root).expanduser().absolute()
    if "?" in str(root) or unquote(str(root)) != str(root):
        raise StoreError(
            f"tracking.root={root}: a database address cannot hold `?` or `%` and two digits. "
            "Set tracking.root to a folder without them."
        )
    artifacts = (root / "artifacts").as_uri()  # a URI, because `#` and `%` in a path need quoting
    if config.uri is None:
        database = root / DATABASE
        return Location(f"sqlite:///{database}", root, database, artifacts)
    uri = str(config.uri).rstrip("/")
    if not uri:
        raise StoreError(
            "tracking=server needs an address: add tracking.uri=http://host:5000, or set "
            "MLFLOW_TRACKING_URI."
        )
    scheme = urlsplit(uri).scheme if "://" in uri else uri.split(":")[0]
    known = {*SCHEMES, *(plugin.name for plugin in entry_points(group="mlflow.tracking_store"))}
    if scheme.split("+")[0] not in known:
        raise StoreError(
            f"tracking.uri={uri!r} is not an MLflow tracking address. "
            f"{did_you_mean(scheme, known - {'file', 'file-plugin'})} For a local store leave "
            "tracking.uri out and set tracking.root to a folder."
        )
    if scheme == "sqlite":
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        return Location(f"sqlite:///{database}", root, database, artifacts)
    return Location(uri, root, None, None if scheme.startswith("http") else artifacts)


def options(location: Location) -> list[str]:
    """The overrides by which a verb finds this store again, quoted for a shell."""
    values = {}
    if location.database != location.root / DATABASE:
        values["tracking.uri"] = location.uri
    if location.root != Path(Tracking.root).absolute():
        values["tracking.root"] = str(location.root)
    given = ["tracking=server"] if location.uri.startswith("http") else []
    for key, value in values.items():
        plain = re.fullmatch(r"[\w/.:@-]+", value)  # Hydra wants others in quotes of its own
        given.append(f"{key}={value}" if plain else f'{key}="{value}"')
    return [shlex.quote(option) for option in given]


def shown(location: Location) -> str:
    """The address as one would type it in the current folder."""
    here = Path.cwd()
    if location.database is not None and location.database.is_relative_to(here):
        return f"sqlite:///{location.database.relative_to(here)}"
    return location.uri


def require(location: Location) -> None:
    """Raise ``StoreError`` where the store is a local one that nobody has made yet."""
    if location.database is not None and not _exists(location.database):
        raise StoreError(
            f"There are no runs here: {location.database} does not exist. Start from the folder "
            "that holds mlruns, or give tracking.root=<that mlruns>."
        )


def prepare(location: Location) -> None:
    """Make the folders and, for SQLite, the database; knock at a server's door.

    Raises:
        StoreError: something of it cannot be written or reached.
    """
    for folder in (location.root, location.journals, location.work):
        _writable_folder(folder, location.root)
    if location.database is not None:
        _writable_folder(location.root / "artifacts", location.root)
        _prepare_database(location)
    elif location.uri.startswith("http"):
        knock(location.uri)


@contextlib.contextmanager
def locked(location: Location) -> Iterator[None]:
    """Hold the store's lock, for what several processes must not do at once."""
    lock = FileLock(location.root / ".lock", timeout=LOCK_TIMEOUT)
    try:
        with lock:
            yield
    except Timeout:
        raise StoreError(
            f"Another process has held {lock.lock_file} for {LOCK_TIMEOUT:.0f} s. "
            "If none is running, remove that file."
        ) from None


def knock(uri: str) -> None:
    """Ask whether anything answers at ``uri`` at all.

    Raises:
        StoreError: nothing does, within ``SERVER_TIMEOUT`` seconds.
    """
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=SERVER_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in, the first call to MLflow shows
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise StoreError(
            f"No MLflow server answers at tracking.uri={uri} ({reason}). Start one "
            "(`mlflow server --host 127.0.0.1 --port 5000`), correct tracking.uri, or keep the "
            "run on this machine with tracking=local."
        ) from None


def _writable_folder(folder: Path, root: Path) -> None:
    """Create ``folder`` and write a byte in it: permissions say less than an attempt."""
    advice = "Set tracking.root to a folder that can be written, or use tracking=off."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
            probe.flush()
    except (FileExistsError, NotADirectoryError):
        raise StoreError(
            f"tracking.root={root}: a file stands where the folder {folder} is to be. {advice}"
        ) from None
    except OSError as error:
        raise StoreError(
            f"tracking.root={root}: {folder} cannot be written ({error.strerror}). {advice}"
        ) from None


def _prepare_database(location: Location) -> None:
    path = location.database
    assert path is not None
    if path.is_dir():
        raise StoreError(f"The database {path} is a folder. Remove it, or set tracking.root.")
    if path.parent != location.root:
        _writable_folder(path.parent, path.parent)
    if not _exists(path):
        with locked(location):
            if not _exists(path):
                _create_database(path, location.artifacts)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("BEGIN IMMEDIATE")  # takes the write lock, writes nothing
            connection.rollback()
    except sqlite3.Error as error:
        raise StoreError(
            f"The run database {path} cannot be used: {error}. {mend(error)}"
        ) from None


def mend(error: sqlite3.Error) -> str:
    """What to do about a database that cannot be used."""
    text = str(error)
    if "locked" in text:
        return "Another process is writing to it: end that, or try again."
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return "Make the file and its folder writable, or set tracking.root to another folder."
    return "Restore it from a backup, or move it away and a new one is made."


def _exists(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create_database(path: Path, artifacts: str | None) -> None:
    """Let MLflow make its tables beside ``path``, then put the file in place in one step.

    A process killed in between leaves no half-made database. Most of the time would go to waiting
    for the disk after each of MLflow's sixty-odd migrations, so the new file is written without
    (``synchronous=OFF``) and flushed once at the end.
    """
    from sqlalchemy import Engine, event

    from pipeline.tracking.quiet import silence

    silence()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    fresh = path.with_name(f".{path.name}.new")
    for leftover in path.parent.glob(f"{fresh.name}*"):
        leftover.unlink()

    def without_waiting(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", without_waiting)
    try:
        made = SqlAlchemyStore(f"sqlite:///{fresh}", artifacts)
        made.engine.dispose()
    finally:
        event.remove(Engine, "connect", without_waiting)
    with open(fresh, "rb") as file:
        os.fsync(file.fileno())
    os.replace(fresh, path)
