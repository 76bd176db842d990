"""A disk that is full: training goes on, and nothing is lost, spoilt or stored twice.

One is made by the system, by a limit on the size of files; the others by calls that say so.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import doctor, tracking
from pipeline.config import Tracking
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.location import DATABASE
from pipeline.tracking.models import Models
from pipeline.tracking.store import Store
from pipeline.tracking.tracker import Tracker

Begin = Callable[..., Tracker]
Saved = Callable[..., Path]
Settled = Callable[[Tracker], Tracker]
Stored = Callable[..., list[tuple[int, float]]]


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


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
def test_a_full_disk_delays_points_and_spoils_nothing(
    config: Tracking, stored: Stored, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, config.root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run_id, limit, written, slowest, failed, left = json.loads(done.stdout)
    assert limit - 200 < written <= limit  # both were full
    assert slowest < 1.0
    assert failed.startswith("notes/long.txt cannot be put aside for the store in ")
    assert failed.endswith(f"File too large. Make room there; the run goes on with resume={run_id}")
    assert left == 0
    store = tracking.open_store(config)
    assert stored(store, run_id) == [(step, step / 3) for step in range(20_000)]
    with sqlite3.connect(Path(config.root) / DATABASE) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    folder, _ = Models(store, run_id).fetch("best", tmp_path / "fetched")
    assert (folder / "weights").read_text() == "w"


def test_a_checkpoint_that_the_full_disk_does_not_take_is_told_and_training_goes_on(
    begin: Begin, saved: Saved, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = begin()
    folder = saved(tmp_path / "c")
    with monkeypatch.context() as disk:
        disk.setattr(os, "link", full)
        disk.setattr("shutil.copy2", full)
        tracker.checkpoint(folder, tracker.ranking(5, {"val/loss": 0.5}), best=True)
    tracker.checkpoint(folder, tracker.ranking(6, {"val/loss": 0.4}), best=True)
    assert tracker.finish("FINISHED") == 0
    assert [c.step for c in Models(tracker.store, tracker.run_id).checkpoints()] == [6]
    assert stored(tracker.store, tracker.run_id, "val/loss") == [(5, 0.5), (6, 0.4)]
    warning = tracker.warning
    assert warning is not None
    assert warning.startswith(f"run {tracker.run_id} is without the checkpoint of step 5: ")
    assert "No space left on device" in warning


def test_points_that_were_sent_from_memory_are_not_sent_again_after_a_kill(
    begin: Begin, settled: Settled, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = begin()
    with monkeypatch.context() as disk:
        for step in range(10):
            tracker.log({"loss": step / 3}, step)
        disk.setattr(os, "write", full)  # of the journal alone: the store is elsewhere
        for step in range(10, 20):
            tracker.log({"loss": step / 3}, step)
        settled(tracker)
        tracker._delivery._stop = True  # killed
        tracker._delivery._wake.set()
        tracker._lock.release()
    resumed = begin(tracker.run_id)
    for step in range(5, 30):
        resumed.log({"loss": step / 3}, step)
    assert resumed.finish("FINISHED") == 0
    assert stored(resumed.store, tracker.run_id) == [(step, step / 3) for step in range(30)]
    monkeypatch.setattr(tracker, "_finished", 0)  # the fixture's end would write to its journal


def test_what_fits_neither_the_journal_nor_the_store_is_saved_elsewhere(
    begin: Begin, settled: Settled, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 0.1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tracker = begin()
    for step in range(10):
        tracker.log({"loss": step / 3}, step)
    settled(tracker)
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        disk.setattr(Store, "send_points", full)
        for step in range(10, 30):
            tracker.log({"loss": step / 3}, step)
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
    assert stored(tracker.store, tracker.run_id) == [(step, step / 3) for step in range(30)]
    assert tracker.store.recorded(tracker.run_id).status == "FINISHED"


def test_delivery_goes_on_where_an_upload_failed_and_leaves_no_pending_model(
    begin: Begin, saved: Saved, settled: Settled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = settled(begin())
    client, tries = tracker.store.client, []
    send = client.log_model_artifacts

    def refuse(model_id: str, folder: str) -> None:
        tries.append(model_id)
        if len(tries) < 3:
            full()
        send(model_id, folder)

    monkeypatch.setattr(client, "log_model_artifacts", refuse)
    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 30.0)
    tracker.checkpoint(saved(tmp_path / "c"), tracker.ranking(5, {"loss": 0.1}), best=True)
    assert tracker.finish("FINISHED") == 0
    models = client.search_logged_models([tracker.store.recorded(tracker.run_id).experiment_id])
    assert [model.model_id for model in models] == [tries[2]]
    assert isinstance(tracker._delivery, Delivery)
