"""MLflow's SQLite tables, read without MLflow, whose import alone takes two to three seconds."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.errors import StoreError
from pipeline.tracking.location import BUSY_TIMEOUT, mend
from pipeline.tracking.runs import PARENT_TAG, Run, stored_value

NEEDED = {
    "experiments": {"experiment_id", "name", "lifecycle_stage", "creation_time"},
    "runs": {
        *("run_uuid", "experiment_id", "name", "status"),
        *("start_time", "end_time", "lifecycle_stage"),
    },
    "params": {"run_uuid", "key", "value"},
    "tags": {"run_uuid", "key", "value"},
    "latest_metrics": {"run_uuid", "key", "value", "is_nan"},
    "metrics": {"run_uuid", "key", "value", "is_nan", "step", "timestamp"},
}
ACTIVE = """
    FROM runs AS r JOIN experiments AS e ON e.experiment_id = r.experiment_id
    WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
"""
NEWEST_FIRST = " ORDER BY r.start_time DESC, r.run_uuid"
MOST_IDS = 500  # in one query; SQLite of some builds takes no more than 999


class UnknownTables(Exception):
    """The tables are not as another version of MLflow has them: ask MLflow itself."""


class SqliteRuns:
    """A local store, open for reading; see ``runs.Runs``.

    Nothing is written: the connection refuses to. It is not SQLite's read-only mode, in which a
    database whose writer was killed in the middle of a transaction could not be opened.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        try:
            uri = f"file:{quote(str(database))}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT)
            self._connection.execute("PRAGMA query_only = ON")
            self._require_tables()
        except sqlite3.Error as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Let go of the store."""
        self._connection.close()

    def experiments(self) -> list[str]:
        """The names of all experiments: that of the newest run, then the others, newest first."""
        newest = f"SELECT r.experiment_id {ACTIVE} {NEWEST_FIRST} LIMIT 1"
        query = f"""
            SELECT name FROM experiments WHERE lifecycle_stage = 'active'
            ORDER BY experiment_id = ({newest}) DESC, creation_time DESC, experiment_id DESC
        """
        return [name for (name,) in self._rows(query)]

    def beginning(self, start: str) -> list[str]:
        """The ids of the runs that begin with ``start``, the newest first."""
        query = f"SELECT r.run_uuid {ACTIVE} AND substr(r.run_uuid, 1, ?) = ? {NEWEST_FIRST}"
        return [run_id for (run_id,) in self._rows(query, (len(start), start))]

    def read(
        self,
        *,
        experiment: str | None = None,
        parent: str | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Run]:
        """The runs that are asked for, of one moment of the store."""
        wanted: list[tuple[str, Sequence[Any]]] = [("", ())]
        if experiment is not None:
            wanted = [(" AND e.name = ?", (experiment,))]
        elif parent is not None:
            children = "SELECT run_uuid FROM tags WHERE key = ? AND value = ?"
            wanted = [(f" AND r.run_uuid IN ({children})", (PARENT_TAG, parent))]
        elif ids is not None:
            pieces = [ids[i : i + MOST_IDS] for i in range(0, len(ids), MOST_IDS)]
            wanted = [(f" AND r.run_uuid IN ({','.join('?' * len(p))})", p) for p in pieces]
        self._connection.execute("BEGIN")  # one snapshot for all the queries
        try:
            found = [run for where, values in wanted for run in self._read(where, values)]
        finally:
            self._connection.rollback()
        if ids is not None:
            place = {run_id: index for index, run_id in enumerate(ids)}
            found.sort(key=lambda run: place[run.run_id])
        return found

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Step and value of every point of one metric, by step."""
        query = """
            SELECT step, value, is_nan FROM metrics
            WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp
        """
        rows = self._rows(query, (run_id, key))
        return [(step, stored_value(value, is_nan)) for step, value, is_nan in rows]

    def _read(self, where: str, values: Sequence[Any]) -> list[Run]:
        chosen = f"SELECT r.run_uuid {ACTIVE} {where}"
        pairs: dict[str, dict[str, dict[str, str]]] = {}
        for table in ("params", "tags"):
            pairs[table] = defaultdict(dict)
            query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({chosen})"
            for run_id, key, value in self._rows(query, values):
                pairs[table][run_id][key] = value
        metrics: dict[str, dict[str, float]] = defaultdict(dict)
        query = (
            f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN ({chosen})"
        )
        for run_id, key, value, is_nan in self._rows(query, values):
            metrics[run_id][key] = stored_value(value, is_nan)
        columns = "r.run_uuid, e.name, r.name, r.status, r.start_time, r.end_time"
        return [
            Run(
                run_id,
                experiment,
                name or pairs["tags"][run_id].get("mlflow.runName", ""),
                status,
                start,
                end,
                pairs["params"][run_id],
                pairs["tags"][run_id],
                metrics[run_id],
            )
            for run_id, experiment, name, status, start, end in self._rows(
                f"SELECT {columns} {ACTIVE} {where} {NEWEST_FIRST}", values
            )
        ]

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _require_tables(self) -> None:
        for table, columns in NEEDED.items():
            rows = self._connection.execute(f"PRAGMA table_info({table})")
            if not columns <= {row[1] for row in rows}:
                self.close()
                raise UnknownTables(table)

    def _told(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"The run database {self.database} cannot be read: {error}. {mend(error)}"
        )
