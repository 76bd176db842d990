"""The thread that brings a run's journal to MLflow, and does not give up.

It takes records in order, points in batches of up to a thousand, and moves the journal's mark
after each. When the store does not answer it waits a little longer each time and goes on; training
never waits for it. What is left at the end stays in the journal for ``resume`` or ``doctor``.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mlflow.exceptions import MlflowException

from pipeline.tracking.journal import Journal, Record
from pipeline.tracking.models import Models
from pipeline.tracking.store import Point, Store

INTERVAL = 0.5  # seconds between looks at the journal: fewer, larger batches cost training less
LONGEST_WAIT = 5.0  # seconds between attempts while the store does not answer
BATCH = 1000  # points; MLflow's limit


class Delivery:
    """Delivers one journal to one run, in the background or until it is empty."""

    def __init__(self, store: Store, run_id: str, journal: Journal) -> None:
        self.store = store
        self.run_id = run_id
        self.journal = journal
        self.refused: list[str] = []  # what MLflow will never take, and why
        self.failing_since: float | None = None
        self.last_error = ""
        self._held: dict[tuple[str, int], Point] = {}
        self._root = store.location.root
        self._models: Models | None = None
        self._non_finite: set[str] = set()
        self._checkpoints: list[tuple[int, bool]] = []  # pending: position, best
        self._checkpoints_lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = False
        self._thread: threading.Thread | None = None
        for record, end in journal.tail():
            if "checkpoint" in record:
                self._checkpoints.append((end, record["checkpoint"]["best"]))

    def recall(self) -> None:
        """Learn which points the store has already: for a journal that an earlier process wrote.

        Another process may have sent them from another machine since, or the same one from memory
        because the disk was full. They are neither recorded nor sent a second time.
        """
        waiting = {key for record, _ in self.journal.tail() for key in record.get("metrics", ())}
        for last in self.store.latest_points(self.run_id):
            if last.key in waiting or self.journal.point(last.key, last.step) is None:
                for point in self.store.history(self.run_id, last.key):
                    self._held[point.key, point.step] = point
                    self.journal.know(point.key, point.step, point.value, point.time)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def checkpoint(self, record: Record, best: bool) -> None:
        """Append a checkpoint's record; it supersedes those that still wait."""
        with self._checkpoints_lock:
            self._checkpoints.append((self.journal.append(record), best))

    def finish(self, patience: float, longest: float = math.inf) -> int:
        """Wait until all is delivered, or until nothing could be for ``patience`` seconds.

        Args:
            longest: seconds to wait at most, whatever happens meanwhile.

        Returns:
            How many points and records are left in the journal.
        """
        began = time.monotonic()
        self._wake.set()
        while not self.journal.complete and self._thread is not None and self._thread.is_alive():
            failing = self.failing_since
            if failing is not None and time.monotonic() - max(failing, began) > patience:
                break
            if time.monotonic() - began > longest:
                break
            time.sleep(0.01)
        self._stop = True
        self._wake.set()
        if self._thread is not None and self.failing_since is None:
            self._thread.join(timeout=min(patience, longest))
        return 0 if self.journal.complete else self.journal.undelivered()

    def drain(self) -> None:
        """Deliver everything now, in this thread. Raises what the store raises."""
        while batch := self.journal.pending(BATCH):
            self._deliver(batch)

    def _run(self) -> None:
        wait = INTERVAL
        while not self._stop:
            try:
                batch = self.journal.pending(BATCH)
                while batch and not self._stop:
                    self._deliver(batch)
                    self.failing_since, wait = None, INTERVAL
                    batch = self.journal.pending(BATCH)
                if not self.journal.complete and not self.journal.pending(1):
                    # Bytes that are no records: a second writer, where the disk knows no locks.
                    raise OSError(f"{self.journal.path} was changed by another process")
            except Exception as error:  # any failure of a store is one to try again after
                self.failing_since = self.failing_since or time.monotonic()
                self.last_error = _first_line(error)
                self._wake.clear()
                wait = min(wait * 2, LONGEST_WAIT)
            self._wake.wait(wait)
            if self.failing_since is None:
                self._wake.clear()

    def _deliver(self, batch: list[tuple[Record, int]]) -> None:
        end = batch[-1][1]
        if "metrics" in batch[0][0]:
            self._points([record for record, _ in batch])
        else:
            self._attempt(partial(self._other, batch[0][0], end), next(iter(batch[0][0]), ""))
        self.journal.mark(end)
        _discard(self._root, batch[0][0])

    def _points(self, records: list[Record]) -> None:
        points = [
            Point(key, float(value), record["step"], record["time"])
            for record in records
            for key, value in record["metrics"].items()
        ]
        new = [point for point in points if (point.key, point.step) not in self._held]
        try:
            if new:
                self.store.send_points(self.run_id, new)
        except MlflowException as error:
            if not _final(error):
                raise
            for point in new:  # one of them is to blame, and must not hold up the others
                self._attempt(partial(self.store.send_points, self.run_id, [point]), point.key)
        for point in points:
            if not math.isfinite(point.value) and point.key not in self._non_finite:
                text = f"{point.value} at step {point.step}"
                self.store.send_tags(self.run_id, {f"nonfinite/{point.key}": text})
                self._non_finite.add(point.key)

    def _attempt(self, send: Callable[[], None], what: str) -> None:
        try:
            send()
        except (MlflowException, KeyError, TypeError) as error:  # the latter: not a record of ours
            if isinstance(error, MlflowException) and not _final(error):
                raise
            self.refused.append(f"{what}: {str(error).strip().splitlines()[0][:200]}")

    def _other(self, record: Record, end: int) -> None:
        if "params" in record:
            self.store.send_params(self.run_id, record["params"])
        elif "tags" in record:
            self.store.send_tags(self.run_id, record["tags"])
        elif "file" in record:
            file = self._root / record["file"]
            if file.exists():
                self.store.send_file(self.run_id, file, record["to"] or None)
        elif "dataset" in record:
            self.store.send_dataset(self.run_id, **record["dataset"])
        elif "checkpoint" in record:
            self._checkpoint(record["checkpoint"], end)
        elif "model" in record:
            model = record["model"]
            self.models.publish_model(
                self._root / model["folder"],
                model["name"],
                model["step"],
                self._points_of(model),
                _dataset_of(model),
            )
        elif "status" in record and not self.store.ended_since(self.run_id, record["time"]):
            self.store.set_status(self.run_id, record["status"], record["time"])

    def _checkpoint(self, checkpoint: Record, end: int) -> None:
        with self._checkpoints_lock:
            later = [best for position, best in self._checkpoints if position > end]
        roles = set()
        if checkpoint["best"] and not any(later):
            roles.add("best")
        if not later:
            roles.add("last")
        folder = self._root / checkpoint["folder"]
        if roles and folder.exists():
            self.models.publish(
                folder,
                checkpoint["step"],
                frozenset(roles),
                self._points_of(checkpoint),
                _dataset_of(checkpoint),
            )
        with self._checkpoints_lock:
            self._checkpoints = [item for item in self._checkpoints if item[0] > end]

    def _points_of(self, record: Record) -> list[Point]:
        """The metrics of a checkpoint or model, as the store has them where it does."""
        points = [
            Point(key, float(value), record["step"], time_)
            for key, value, time_ in record["points"]
        ]
        return [self._held.get((point.key, point.step), point) for point in points]

    @property
    def models(self) -> Models:
        if self._models is None:
            self._models = Models(self.store, self.run_id)
        return self._models


def _first_line(error: Exception) -> str:
    """What an error says first; SQLAlchemy's hint to programmers comes before that."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("(raised as")]
    return (lines or [repr(error)])[0][:300]


def _final(error: MlflowException) -> bool:
    """Whether MLflow would refuse the same again. A run deleted in the UI may be restored."""
    return error.error_code == "INVALID_PARAMETER_VALUE" and "'active' state" not in str(error)


def _dataset_of(record: Record) -> tuple[str, str] | None:
    given = record.get("dataset")
    return (given[0], given[1]) if given else None


def _discard(root: Path, record: Record) -> None:
    """Remove what was put aside for a delivery that is done."""
    for kind in ("checkpoint", "model"):
        if kind in record:
            shutil.rmtree((root / record[kind]["folder"]).parent, ignore_errors=True)
    if "file" in record and os.sep + "outbox" + os.sep in str(root / record["file"]):
        shutil.rmtree((root / record["file"]).parent, ignore_errors=True)
