"""Stores that do not answer, are locked or full: training goes on, and no point is lost or twice.

The servers are real ones, killed with SIGKILL; the full disk is one that the system makes by a
limit on the size of files.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Server
from sqlalchemy import Engine, event

from pipeline import doctor, tracking
from pipeline.config import Tracking
from pipeline.tracking.journal import Journal
from pipeline.tracking.location import DATABASE
from pipeline.tracking.models import Models
from pipeline.tracking.store import Store
from pipeline.tracking.tracker import Tracker

POINTS = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, root / DATABASE)
    found = Server(Tracking(root=str(root)))
    yield found
    found.kill()


@pytest.fixture
def away(server: Server, tmp_path: Path) -> Tracking:
    server.start()
    return Tracking(root=str(tmp_path / "mlruns"), uri=server.uri, system_metrics=False)


def log(tracker: Tracker, begin: int, end: int, seconds: float = 0.0) -> list[float]:
    """Log a point for each step, spread over ``seconds``. Returns how long each call took."""
    taken = []
    started = time.perf_counter()
    for step in range(begin, end):
        while time.perf_counter() - started < seconds * (step - begin) / (end - begin):
            time.sleep(0.001)  # between the calls; the training's own work
        before = time.perf_counter()
        tracker.log({"loss": step / 3}, step)
        taken.append(time.perf_counter() - before)
    return taken


def never_waited(taken: list[float]) -> bool:
    """A call costs microseconds; a machine that is busy may keep a thread from running at times."""
    return bool(np.percentile(taken, 99) < 0.05 and max(taken) < 1.0)


def all_once(store: Store, run_id: str, points: int = POINTS) -> bool:
    history = [(point.step, point.value) for point in store.history(run_id, "loss")]
    return history == [(step, step / 3) for step in range(points)]


@pytest.mark.slow
def test_a_server_that_is_away_for_ten_seconds_costs_training_nothing_and_loses_no_point(
    server: Server, away: Tracking
) -> None:
    tracker = tracking.start(away)
    assert isinstance(tracker, Tracker)
    taken = log(tracker, 0, 5_000)
    server.kill()
    gone = time.monotonic()
    taken += log(tracker, 5_000, 15_000, seconds=7.0)
    server.begin()
    taken += log(tracker, 15_000, POINTS, seconds=1.0)
    assert tracker._delivery.failing_since is not None
    server.start()
    assert time.monotonic() - gone > 8
    assert tracker.finish("FINISHED") == 0
    assert tracker.warning is None
    assert never_waited(taken)
    store = tracking.open_store(away)
    assert all_once(store, tracker.run_id)
    assert store.recorded(tracker.run_id).status == "FINISHED"


TRAIN = """
import json, sys, time
from pipeline import tracking
from pipeline.config import Tracking
from pipeline.tracking import tracker as module
module.PATIENCE = 2.0
tracker = tracking.start(Tracking(**json.loads(sys.argv[1])))
for step in range(20_000):
    if step == 10_000:
        print(tracker.run_id, flush=True)
        sys.stdin.readline()  # the server is killed
    tracker.log({"loss": step / 3}, step)
began = time.monotonic()
left = tracker.finish("FINISHED")
print(json.dumps([left, time.monotonic() - began, tracker.warning]), flush=True)
"""


@pytest.mark.slow
def test_a_server_that_stays_away_lets_the_process_end_and_the_doctor_delivers(
    server: Server, away: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, json.dumps(vars(away))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    server.kill()
    out, _ = process.communicate("killed\n", timeout=60)
    assert process.returncode == 0
    left, seconds, warning = json.loads(out)
    assert 10_000 < left <= POINTS + 2
    assert seconds < 2.0 + 10  # the patience and one call: refused, tried again after a second
    assert warning.startswith(
        f"{left:,} points and records of run {run_id} have not reached {away.uri} ("
    )
    assert warning.endswith(
        f"They are kept in {away.root}/journals/{run_id}.jsonl; when the store is back, deliver "
        f"them with: python -m pipeline.doctor --apply tracking=server tracking.uri={away.uri} "
        f"tracking.root={away.root}"
    )
    server.start()
    arguments = warning.split("python -m pipeline.doctor ")[1].split()
    assert doctor.main(arguments[1:]) == 1
    assert doctor.main(arguments) == 0
    said = capsys.readouterr().out
    assert f"run {run_id}: " in said
    assert "remedy: deliver them, set its status to FINISHED" in said
    store = tracking.open_store(away)
    assert all_once(store, run_id)
    assert store.recorded(run_id).status == "FINISHED"
    assert doctor.main(arguments[1:]) == 0


HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def impatient() -> Iterator[None]:
    """MLflow's wait for a locked database, 20 s, is 0.2 s: a lock of 3 s is as one of 300 s."""

    def shorter(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 200"), parameters

    event.listen(Engine, "before_cursor_execute", shorter, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorter)


@pytest.mark.exhaustive
def test_a_database_that_another_process_locks_costs_training_nothing_and_loses_no_point(
    begin: Callable[..., Tracker], config: Tracking, impatient: None
) -> None:
    tracker = begin()
    taken = log(tracker, 0, 5_000)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(Path(config.root) / DATABASE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    taken += log(tracker, 5_000, POINTS, seconds=3.0)
    assert "locked" in tracker.problems[0]
    holder.communicate(b"let go\n")
    assert tracker.finish("FINISHED") == 0
    assert never_waited(taken)
    assert all_once(tracker.store, tracker.run_id)


FULL = """
import json, os, resource, sqlite3, sys, time
from pathlib import Path
from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking import delivery
delivery.LONGEST_WAIT = 0.2
root = Path(sys.argv[1])
tracker = tracking.start(Tracking(root=str(root), system_metrics=False))
while not tracker._journal.complete:
    time.sleep(0.01)
# No file may grow beyond the database as it is: neither that, nor the journal when it is as long.
limit = (root / "mlflow.db").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
slowest = 0.0
for step in range(20_000):
    before = time.perf_counter()
    tracker.log({"loss": step / 3}, step)
    slowest = max(slowest, time.perf_counter() - before)
failed = ""
try:
    tracker.text("x" * 2 * limit, "notes/long.txt")
except StoreError as error:
    failed = str(error)
(root / "step").mkdir()
(root / "step" / "weights").write_text("w")
tracker.checkpoint(root / "step", tracker.ranking(19_999, {"loss": 19_999 / 3}), best=True)
while "full" not in str(tracker.problems) and "I/O" not in str(tracker.problems):
    time.sleep(0.01)
written = (root / "journals" / f"{tracker.run_id}.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
left = tracker.finish("FINISHED")
print(json.dumps([tracker.run_id, limit, written, slowest, failed, left]))
"""


@pytest.mark.exhaustive
def test_a_full_disk_delays_points_and_spoils_nothing(config: Tracking, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, config.root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run_id, limit, written, slowest, failed, left = json.loads(done.stdout)
    assert limit - 200 < written <= limit  # both were full
    assert slowest < 1.0
    assert failed.startswith("notes/long.txt cannot be put aside for the store in ")
    assert failed.endswith(f"File too large. Make room there; the run goes on with resume={run_id}")
    assert left == 0
    store = tracking.open_store(config)
    assert all_once(store, run_id)
    with sqlite3.connect(Path(config.root) / DATABASE) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    folder, _ = Models(store, run_id).fetch("best", tmp_path / "fetched")
    assert (folder / "weights").read_text() == "w"


def test_a_checkpoint_that_the_full_disk_does_not_take_is_told_and_training_goes_on(
    begin: Callable[..., Tracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    tracker = begin()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "weights").write_text("w")
    with monkeypatch.context() as disk:
        disk.setattr(os, "link", full)
        disk.setattr("shutil.copy2", full)
        tracker.checkpoint(tmp_path / "c", tracker.ranking(5, {"val/loss": 0.5}), best=True)
    tracker.checkpoint(tmp_path / "c", tracker.ranking(6, {"val/loss": 0.4}), best=True)
    assert tracker.finish("FINISHED") == 0
    assert [c.step for c in Models(tracker.store, tracker.run_id).checkpoints()] == [6]
    history = tracker.store.history(tracker.run_id, "val/loss")
    assert [(point.step, point.value) for point in history] == [(5, 0.5), (6, 0.4)]
    warning = tracker.warning
    assert warning is not None
    assert warning.startswith(f"run {tracker.run_id} is without the checkpoint of step 5: ")
    assert "No space left on device" in warning


def test_points_that_were_sent_from_memory_are_not_sent_again_after_a_kill(
    begin: Callable[..., Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    tracker = begin()
    with monkeypatch.context() as disk:
        for step in range(10):
            tracker.log({"loss": step / 3}, step)
        disk.setattr(os, "write", full)  # of the journal alone: the store is elsewhere
        for step in range(10, 20):
            tracker.log({"loss": step / 3}, step)
        while not tracker._journal.complete:
            time.sleep(0.005)
        tracker._delivery._stop = True  # killed
        tracker._delivery._wake.set()
        tracker._lock.release()
    resumed = begin(tracker.run_id)
    for step in range(5, 30):
        resumed.log({"loss": step / 3}, step)
    assert resumed.finish("FINISHED") == 0
    assert all_once(resumed.store, tracker.run_id, 30)
    monkeypatch.setattr(tracker, "_finished", 0)  # the fixture's end would write to its journal


def test_what_fits_neither_the_journal_nor_the_store_is_saved_elsewhere(
    begin: Callable[..., Tracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 0.1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tracker = begin()
    log(tracker, 0, 10)
    while not tracker._journal.complete:
        time.sleep(0.005)
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        disk.setattr(Store, "send_points", full)
        log(tracker, 10, 30)
        assert tracker.finish("FINISHED") == 21
    journal = tracker._journal.path
    advice = (
        f"whose disk is full: first run cat {tmp_path}/{tracker.run_id}.rest >> {journal}; when"
    )
    assert tracker.warning is not None
    assert advice in tracker.warning
    assert "([Errno 28] No space left on device)" in tracker.warning
    subprocess.run(advice.split("run ")[1].split(";")[0], shell=True, check=True)
    assert doctor.main(["--apply", f"tracking.root={tracker.store.location.root}"]) == 0
    assert all_once(tracker.store, tracker.run_id, 30)
    assert tracker.store.recorded(tracker.run_id).status == "FINISHED"


def test_checkpoints_with_values_that_are_not_finite_never_rank_best(
    begin: Callable[..., Tracker], tmp_path: Path
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "weights").write_text("w")
    runs = {}
    for value in (0.5, math.nan, math.inf, -math.inf, 0.25):
        tracker = begin()
        tracker.checkpoint(tmp_path / "c", tracker.ranking(5, {"val/loss": value}), best=True)
        tracker.finish("FINISHED")
        runs[tracker.run_id] = value
    client = tracker.store.client
    experiment = tracker.store.recorded(tracker.run_id).experiment_id
    for ascending, best in ((True, [0.25, 0.5]), (False, [0.5, 0.25])):
        order = [{"field_name": "metrics.val/loss", "ascending": ascending}]
        found = client.search_logged_models([experiment], order_by=order)
        assert [runs[model.source_run_id] for model in found[:2]] == best
        assert {model.tags.get("nonfinite/val/loss") for model in found[2:]} == {
            "nan",
            "inf",
            "-inf",
        }


# The journal --------------------------------------------------------------------------------------


def waiting(journal: Journal) -> list[int]:
    return [record["step"] for record, _ in journal.tail()]


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
    assert waiting(journal) == waiting(Journal(tmp_path, "run")) == [1, 2, 3]
    journal.mark(journal.pending()[-1][1])
    assert journal.complete
    assert Journal(tmp_path, "run").complete


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
    assert waiting(Journal(tmp_path, "run")) == [10, 11, 12]  # killed before any was delivered


def test_who_only_looks_leaves_a_line_that_is_being_written_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.log({"loss": 1.0}, 1)
    with open(journal.path, "ab") as file:
        file.write(b'{"metrics":{"loss":2.0},"st')
    size = journal.path.stat().st_size
    assert waiting(Journal(tmp_path, "run", readonly=True)) == [1]
    assert journal.path.stat().st_size == size
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path, "other", readonly=True)
    assert not (tmp_path / "other.jsonl").exists()
