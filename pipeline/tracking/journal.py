"""The truth about a run: an append-only file of everything that is to reach MLflow, in order.

One JSON object a line: ``{"metrics": {...}, "step": 500, "time": 1760000000000}`` for points, and
others (params, tags, files, checkpoints, status) that ``delivery.py`` reads. Values that are not
finite are the texts ``NaN``, ``Infinity`` and ``-Infinity``. A sidecar file holds how many bytes
have been delivered. Both together are all that is needed to go on after a kill at any moment:

* a line torn by a kill is cut off when the journal is opened;
* lines after the delivered mark are delivered again, which stores nothing twice (``Store``);
* a resumed run repeats steps since its checkpoint, and points that are here already are dropped.

When the disk is full, lines wait in memory, at the place in the file they will have, and are
written with the next line that can be.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]

READ = 1 << 18  # bytes read at once; a line is some hundred


class Journal:
    """The journal of one run. One process writes it (``tracker`` holds a lock).

    Args:
        readonly: only look, which any process may while another one writes. Otherwise the file is
            made where there is none, and a torn last line, which may be one that is just being
            written, is cut off.
    """

    def __init__(self, folder: Path, run_id: str, readonly: bool = False) -> None:
        self.path = folder / f"{run_id}.jsonl"
        self._mark = folder / f"{run_id}.delivered"
        self._lock = threading.Lock()
        self._unwritten = bytearray()
        self._recorded: dict[tuple[str, int], tuple[float, int]] = {}
        self._last: dict[str, tuple[int, float, int]] = {}
        self.last_checkpoint: int | None = None  # its step, as ``remember`` finds it
        flags = os.O_RDONLY if readonly else os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._file = os.open(self.path, flags, 0o644)
        self._size = self._end_of_lines()
        if not readonly and self._size < os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._size)
        mark = self._read_mark()
        self.delivered = min(mark, self._size)
        if not readonly and mark > self._size:
            # Lines that a full disk did not take, or a crash of the machine took, were delivered.
            # What is written in their place has not been, and must not count as such.
            self.mark(self._size)

    def remember(self) -> None:
        """Read all points, so that those which come again are known. For a run that resumes."""
        for record, _ in self._records(0):
            if "checkpoint" in record:
                self.last_checkpoint = int(record["checkpoint"]["step"])
            for key, value in record.get("metrics", {}).items():
                self.know(key, record["step"], float(value), record["time"])

    def know(self, key: str, step: int, value: float, time_: int) -> None:
        """Count a point as recorded, for one that only the store remembers."""
        self._recorded.setdefault((key, step), (value, time_))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append the points that are new. Never raises for a full disk."""
        now = int(time.time() * 1000)
        with self._lock:
            fresh: dict[str, float | str] = {}
            for key, value in metrics.items():
                last = self._last.get(key)
                if (last and last[0] == step) or (key, step) in self._recorded:
                    continue
                number = float(value)
                self._last[key] = (step, number, now)
                fresh[key] = number if math.isfinite(number) else _text(number)
            if fresh:
                self._append({"metrics": fresh, "step": step, "time": now})

    def point(self, key: str, step: int) -> tuple[float, int] | None:
        """Value and time under which (key, step) was recorded, if it is recent or repeated."""
        if (key, step) in self._recorded:
            return self._recorded[key, step]
        last = self._last.get(key)
        return (last[1], last[2]) if last and last[0] == step else None

    def next_step(self, prefix: str) -> int:
        """One more than the last remembered step of metrics whose name begins with ``prefix``."""
        steps = [step for key, step in self._recorded if key.startswith(prefix)]
        return max(steps, default=-1) + 1

    def append(self, record: Record) -> int:
        """Append any other record. Returns the position behind it."""
        with self._lock:
            return self._append(record)

    def pending(self, points: int = 1000) -> list[tuple[Record, int]]:
        """What is next to be delivered, each with the position behind it.

        Either some records of metrics with at most ``points`` points together (one larger record
        comes alone), or one single record of another kind.
        """
        batch: list[tuple[Record, int]] = []
        count = 0
        for record, end in self._records(self.delivered):
            size = len(record.get("metrics", ()))
            if batch and (size == 0 or count + size > points):
                break
            batch.append((record, end))
            count += size
            if size == 0:
                break
        return batch

    def tail(self) -> Iterator[tuple[Record, int]]:
        """Everything that is not delivered."""
        return self._records(self.delivered)

    def mark(self, position: int) -> None:
        """Note that all before ``position`` has been delivered."""
        self.delivered = position
        temporary = self._mark.with_suffix(".delivered.new")
        try:
            temporary.write_text(str(position))
            os.replace(temporary, self._mark)
        except OSError:  # a full disk: what is delivered again is not stored again
            return

    def undelivered(self) -> int:
        """Points and other records that have not reached the store."""
        return sum(len(record.get("metrics", (0,))) for record, _ in self.tail())

    @property
    def complete(self) -> bool:
        """Whether everything has been delivered."""
        with self._lock:
            return self.delivered >= self._size + len(self._unwritten)

    def flush(self) -> None:
        """Wait until the disk holds what was appended, as far as there is room on it."""
        with self._lock:
            self._settle()
            self._write()
        with contextlib.suppress(OSError):  # a full disk may tell so only now
            os.fsync(self._file)

    def spill(self, folder: Path) -> Path | None:
        """Write the lines that the journal's own disk has no room for into a file in ``folder``.

        Appended to the journal, they stand where they would have. Raises OSError.
        """
        self.flush()
        with self._lock:
            if not self._unwritten:
                return None
            file = folder / f"{self.path.stem}.rest"
            file.write_bytes(self._unwritten)
            return file

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, record: Record) -> int:
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._settle()
        self._unwritten += line
        end = self._size + len(self._unwritten)
        self._write()
        return end

    def _write(self) -> None:
        if not self._unwritten:
            return
        try:
            written = os.write(self._file, self._unwritten)
            if written < len(self._unwritten):  # the disk became full within the line
                os.ftruncate(self._file, self._size)
            else:
                self._size, self._unwritten = self._size + written, bytearray()
        except OSError:
            pass

    def _settle(self) -> None:
        """After a write that a signal's exception cut off: see what of it the file holds."""
        if not self._unwritten:
            return
        beyond = os.fstat(self._file).st_size - self._size
        if beyond == len(self._unwritten):
            self._size, self._unwritten = self._size + beyond, bytearray()
        elif beyond > 0:
            os.ftruncate(self._file, self._size)

    def _records(self, position: int) -> Iterator[tuple[Record, int]]:
        rest = b""
        while True:
            with self._lock:
                start = position + len(rest)
                if start < self._size:
                    data = os.pread(self._file, min(READ, self._size - start), start)
                else:
                    behind = start - self._size
                    data = bytes(self._unwritten[behind : behind + READ])
            rest += data
            *lines, rest = rest.split(b"\n")
            for line in lines:
                position += len(line) + 1
                yield _parse(line), position
            if not data:
                return

    def _end_of_lines(self) -> int:
        """The size of the file less a torn last line."""
        position = os.fstat(self._file).st_size
        while position > 0:
            start = max(0, position - READ)
            data = os.pread(self._file, position - start, start)
            newline = data.rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            position = start
        return 0

    def _read_mark(self) -> int:
        try:
            return int(self._mark.read_text())
        except (OSError, ValueError):
            return 0


def _text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _parse(line: bytes) -> Record:
    """A record; an empty one for a line that a failing disk has spoilt, to be passed over.

    Passed over and not left out: its place has to be marked as delivered like any other, or the
    journal would never be complete.
    """
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
