"""Recorded runs, many at once, for whoever compares them.

A local store is read with SQLite alone, in a fraction of the seconds that importing MLflow takes
(``tables.py``); a server, another database, and tables that are not as we know them are asked
through MLflow's client (``asked.py``). Both give the same values.

Addresses of artifacts play no part, so a store that was moved or copied is read like any other.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.config import Tracking
from pipeline.errors import ConfigError, StoreError, did_you_mean, nearest
from pipeline.tracking.location import locate, require
from pipeline.tracking.names import SHORTEST_PREFIX

PARENT_TAG = "mlflow.parentRunId"


@dataclass(frozen=True)
class Run:
    """What a store holds of a run but its history and artifacts.

    Attributes:
        start, end: milliseconds since 1970; ``end`` is None while it runs.
        metrics: the last value of each.
    """

    run_id: str
    experiment: str
    name: str
    status: str
    start: int | None
    end: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def parent(self) -> str | None:
        """The run of the sweep that this is a trial of."""
        return self.tags.get(PARENT_TAG)


class Runs(Protocol):
    """A store that is open for reading. Deleted runs and experiments are left out."""

    def experiments(self) -> list[str]:
        """The names of all experiments: that of the newest run, then the others, newest first."""

    def beginning(self, start: str) -> list[str]:
        """The ids of the runs that begin with ``start``, the newest first."""

    def read(
        self,
        *,
        experiment: str | None = None,
        parent: str | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Run]:
        """Runs of one experiment, children of one run, runs of these whole ids, or all of them.

        The newest comes first, but for ``ids``, whose order is kept.
        """

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Step and value of every point of one metric, by step."""

    def close(self) -> None:
        """Let go of the store."""


@contextlib.contextmanager
def open_runs(config: Tracking) -> Iterator[Runs]:
    """The store that ``config`` names, which has to be there.

    Raises:
        ConfigError: tracking is off.
        StoreError: there is no store, or it cannot be read.
    """
    if config.kind == "off":
        raise ConfigError("tracking=off keeps no runs to compare. Use tracking=local.")
    runs = _open(config)
    try:
        yield runs
    finally:
        runs.close()


def read_runs(
    config: Tracking,
    *,
    experiment: str | None = None,
    parent: str | None = None,
    ids: Sequence[str] | None = None,
) -> list[Run]:
    """Runs of one experiment, children of one run, those of ``ids`` (beginnings do), or all.

    Raises:
        StoreError: there is no such experiment or run, or the store cannot be read.
    """
    with open_runs(config) as runs:
        if experiment is not None and experiment not in (known := runs.experiments()):
            raise StoreError(
                f"There is no experiment {experiment!r}. {did_you_mean(experiment, known)}"
            )
        if parent is not None:
            parent = find(runs, parent)
        whole = None if ids is None else [find(runs, run_id) for run_id in ids]
        return runs.read(experiment=experiment, parent=parent, ids=whole)


def read_history(config: Tracking, run_id: str, key: str) -> list[tuple[int, float]]:
    """Step and value of every point of one metric of a run, by step; empty where it has none."""
    with open_runs(config) as runs:
        return runs.history(find(runs, run_id), key)


def find(runs: Runs, start: str) -> str:
    """The whole id of the run whose id is, or alone begins with, ``start``.

    Raises:
        StoreError: no run, or several, begin so.
    """
    found = runs.beginning(start) if start.isalnum() else []
    if start in found:
        return start
    if len(start) < SHORTEST_PREFIX:
        raise StoreError(
            f"{start!r} is too short for a run: give at least {SHORTEST_PREFIX} characters."
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise StoreError(
            f"Several runs begin with {start!r}: {' or '.join(found[:3])}. Give more of it."
        )
    known = runs.beginning("")
    near = nearest(start, known) or known[:1]
    raise StoreError(
        f"There is no run {start!r}. "
        + (f"Nearest: {', '.join(near)}." if near else "The store holds no runs yet.")
    )


def stored_value(value: float, is_nan: bool = False) -> float:
    """A metric's value as it was logged: MLflow's tables hold an infinite one as the largest."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else float(value)


def _open(config: Tracking) -> Runs:
    location = locate(config)
    if location.database is not None:
        require(location)
        from pipeline.tracking.tables import SqliteRuns, UnknownTables

        with contextlib.suppress(UnknownTables):
            return SqliteRuns(location.database)
    from pipeline.tracking.asked import AskedRuns

    return AskedRuns(config)
