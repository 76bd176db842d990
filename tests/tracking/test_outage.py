"""Stores that do not answer or are locked: training goes on, and no point is lost or twice.

The servers are real ones, killed with SIGKILL.
"""

from __future__ import annotations

import json
import shutil
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
from pipeline.tracking.location import DATABASE
from pipeline.tracking.tracker import Tracker

Begin = Callable[..., Tracker]
Stored = Callable[..., list[tuple[int, float]]]
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


@pytest.mark.slow
def test_a_server_that_is_away_for_ten_seconds_costs_training_nothing_and_loses_no_point(
    server: Server, away: Tracking, stored: Stored
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
    assert stored(store, tracker.run_id) == [(step, step / 3) for step in range(POINTS)]
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


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_server_that_stays_away_lets_the_process_end_and_the_doctor_delivers(
    server: Server, away: Tracking, stored: Stored, capsys: pytest.CaptureFixture[str]
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
    assert stored(store, run_id) == [(step, step / 3) for step in range(POINTS)]
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
    begin: Begin, config: Tracking, stored: Stored, impatient: None
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
    assert stored(tracker.store, tracker.run_id) == [(step, step / 3) for step in range(POINTS)]
