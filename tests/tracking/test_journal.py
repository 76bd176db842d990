"""The journal alone, without MLflow."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pipeline.tracking.journal import Journal


def points(journal: Journal) -> list[tuple[str, int, float]]:
    return [
        (key, record["step"], float(value))
        for record, _ in journal.tail()
        for key, value in record.get("metrics", {}).items()
    ]


def steps(journal: Journal) -> list[int]:
    return [record["step"] for record, _ in journal.tail()]


def test_points_are_on_disk_before_anything_is_sent(tmp_path: Path) -> None:
    Journal(tmp_path, "run").log({"loss": 0.1 + 0.2}, 7)
    assert points(Journal(tmp_path, "run")) == [("loss", 7, 0.30000000000000004)]


@pytest.mark.parametrize("torn", range(1, 40, 6))
def test_a_line_torn_by_a_kill_is_cut_off_and_the_rest_stays(tmp_path: Path, torn: int) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"loss": 1.0}, 1)
    journal.log({"loss": 2.0}, 2)
    os.truncate(journal.path, journal.path.stat().st_size - torn)
    reopened = Journal(tmp_path, "run")
    reopened.log({"loss": 3.0}, 3)
    assert points(reopened) == [("loss", 1, 1.0), ("loss", 3, 3.0)]


def test_a_long_torn_tail_without_any_line_end_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(b"x" * 600_000)
    journal = Journal(tmp_path, "run")
    journal.log({"loss": 1.0}, 1)
    assert points(journal) == [("loss", 1, 1.0)]


def test_a_spoilt_line_in_the_middle_loses_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    for step in range(3):
        journal.log({"loss": float(step)}, step)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b"\x00" * 9 + b"\n" + lines[2])
    assert points(Journal(tmp_path, "run")) == [("loss", 0, 0.0), ("loss", 2, 2.0)]


def test_a_signal_in_the_middle_of_a_write_neither_loses_nor_repeats_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"loss": 1.0}, 1)
    write = os.write

    def interrupted(file: int, data: bytes) -> int:
        write(file, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as signals:
        signals.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.log({"loss": 2.0}, 2)
    journal.log({"loss": 3.0}, 3)
    assert steps(journal) == steps(Journal(tmp_path, "run")) == [1, 2, 3]
    journal.mark(journal.pending()[-1][1])
    assert journal.complete
    assert Journal(tmp_path, "run").complete


def test_who_only_looks_leaves_a_line_that_is_being_written_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"loss": 1.0}, 1)
    with open(journal.path, "ab") as file:
        file.write(b'{"metrics":{"loss":2.0},"st')
    size = journal.path.stat().st_size
    assert steps(Journal(tmp_path, "run", readonly=True)) == [1]
    assert journal.path.stat().st_size == size
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path, "other", readonly=True)
    assert not (tmp_path / "other.jsonl").exists()


def test_what_was_delivered_is_not_pending_after_reopening(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    for step in range(5):
        journal.log({"a": 1.0, "b": 2.0}, step)
    batch = journal.pending(points=4)
    assert [record["step"] for record, _ in batch] == [0, 1]
    journal.mark(batch[-1][1])
    reopened = Journal(tmp_path, "run")
    assert steps(reopened) == [2, 3, 4]
    assert reopened.undelivered() == 6
    assert not reopened.complete


def test_a_mark_beyond_what_the_disk_kept_does_not_hide_what_is_written_there(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, "run")
    for step in range(4):
        journal.log({"loss": 1.0}, step)
    journal.mark(journal.pending()[-1][1])
    os.truncate(journal.path, journal.path.stat().st_size // 2)  # the machine lost its power
    resumed = Journal(tmp_path, "run")
    for step in (10, 11, 12):
        resumed.log({"loss": 1.0}, step)
    assert steps(Journal(tmp_path, "run")) == [10, 11, 12]  # killed before any was delivered


def test_records_of_other_kinds_come_alone_and_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"a": 1.0}, 1)
    journal.append({"tags": {"x": "y"}})
    journal.log({"a": 2.0}, 2)
    kinds = []
    while batch := journal.pending():
        kinds.append([next(iter(record)) for record, _ in batch])
        journal.mark(batch[-1][1])
    assert kinds == [["metrics"], ["tags"], ["metrics"]]


def test_a_resumed_run_drops_points_it_repeats_and_keeps_new_ones(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    for step in (1, 2, 3):
        journal.log({"loss": float(step)}, step)
    resumed = Journal(tmp_path, "run")
    resumed.remember()
    for step in (2, 3, 4):
        resumed.log({"loss": float(step)}, step)
    assert points(resumed) == [("loss", 1, 1.0), ("loss", 2, 2.0), ("loss", 3, 3.0), ("loss", 4, 4)]


def test_values_that_are_not_finite_are_written_as_words(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"a": math.nan, "b": math.inf, "c": -math.inf}, 1)
    assert b'{"a":"NaN","b":"Infinity","c":"-Infinity"}' in journal.path.read_bytes()
    values = [value for _, _, value in points(journal)]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_a_full_disk_delays_points_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "run")
    write = os.write
    full = {"left": 150}

    def limited(file: int, data: bytes) -> int:
        if full["left"] <= 0:
            raise OSError(28, "No space left on device")
        written = write(file, data[: full["left"]])
        full["left"] -= written
        return written

    monkeypatch.setattr(os, "write", limited)
    for step in range(10):
        journal.log({"loss": float(step)}, step)
    assert journal.path.read_bytes().count(b"\n") == 2
    assert steps(journal) == list(range(10))
    full["left"] = 1 << 20
    journal.log({"loss": 10.0}, 10)
    assert steps(Journal(tmp_path, "run")) == list(range(11))
