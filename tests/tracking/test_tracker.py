"""A tracker over a real SQLite store: what reaches MLflow, and how often."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal
from pipeline.tracking.off import NullTracker
from pipeline.tracking.tracker import Tracker

Begin = Callable[..., Tracker]
Outage = Callable[..., AbstractContextManager[None]]
Stored = Callable[..., list[tuple[int, float]]]


def test_a_finished_run_holds_what_was_logged(begin: Begin, tmp_path: Path) -> None:
    tracker = begin(params={"seed": 3, "clip": None, "on": True}, tags={"who": "me"}, run_name="r1")
    tracker.log({"train/loss": 0.5, "acc@5": 1.0}, 10)
    tracker.text("a: 1\n", "config/composed.yaml")
    (tmp_path / "picture").write_text("p")
    tracker.file(tmp_path / "picture", "figures")
    (tmp_path / "picture").unlink()
    tracker.dataset("digits", "0123456789abcdef" * 4, {"tfds": "digits"})
    assert tracker.finish("FINISHED") == 0
    assert tracker.finish("FAILED") == 0
    store = tracker.store
    run = store.recorded(tracker.run_id)
    assert (run.status, run.name, run.experiment) == ("FINISHED", "r1", "default")
    assert run.params == {"seed": "3", "clip": "null", "on": "true"}
    assert run.tags["who"] == "me"
    assert run.metrics == {"train/loss": 0.5, "acc_5": 1.0}
    assert store.text(tracker.run_id, "config/composed.yaml") == "a: 1\n"
    assert store.text(tracker.run_id, "figures/picture") == "p"
    data = store.client.get_run(tracker.run_id).inputs.dataset_inputs[0]
    assert (data.dataset.name, data.dataset.digest) == ("digits", "0123456789abcdef" * 2)
    assert data.tags[0].value == "training"
    assert run.tags["digest/training"] == "0123456789abcdef" * 4
    assert not tracker.folder.exists()
    assert not list(store.location.journals.glob("*.alive"))


def test_ten_thousand_points_arrive_once_and_each_costs_little(
    begin: Begin, stored: Stored
) -> None:
    tracker = begin()
    for step in range(1000):
        tracker.log({f"m{i}": step / 7 for i in range(10)}, step)
    assert tracker.finish("FINISHED") == 0
    for key in ("m0", "m9"):
        assert stored(tracker.store, tracker.run_id, key) == [(s, s / 7) for s in range(1000)]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_status_is_what_finish_was_told(begin: Begin, status: str) -> None:
    tracker = begin()
    tracker.finish(status, "Traceback: boom" if status == "FAILED" else None)
    run = tracker.store.recorded(tracker.run_id[:8])
    assert run.status == status
    if status == "FAILED":
        assert tracker.store.text(tracker.run_id, "traceback.txt") == "Traceback: boom"


def test_a_status_that_mlflow_does_not_know_is_refused(begin: Begin) -> None:
    with pytest.raises(ValueError, match="expected one of FINISHED, FAILED, KILLED"):
        begin().finish("DONE")


def test_answers_that_get_lost_do_not_duplicate_points(
    begin: Begin, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = begin()
    send, calls = tracker.store.send_points, []

    def lossy(run_id: str, points: Any) -> None:
        send(run_id, points)
        calls.append(len(points))
        if len(calls) < 3:
            raise ConnectionError("the answer got lost")

    monkeypatch.setattr(tracker.store, "send_points", lossy)
    for step in range(200):
        tracker.log({"loss": float(step), "bad": math.nan}, step)
    assert tracker.finish("FINISHED") == 0
    assert len(calls) >= 3
    assert stored(tracker.store, tracker.run_id, "loss") == [(s, float(s)) for s in range(200)]
    assert len(tracker.store.history(tracker.run_id, "bad")) == 200


def test_a_crash_between_sending_and_noting_it_duplicates_nothing(
    begin: Begin, stored: Stored
) -> None:
    tracker = begin(params={"seed": 0})
    for step in range(50):
        tracker.log({"loss": float(step)}, step)
    tracker.finish("KILLED")
    mark = tracker.store.location.journals / f"{tracker.run_id}.delivered"
    mark.unlink()
    resumed = begin(tracker.run_id, params={"seed": 0})
    for step in range(30, 60):
        resumed.log({"loss": float(step)}, step)
    assert resumed.finish("FINISHED") == 0
    assert stored(resumed.store, tracker.run_id, "loss") == [(s, float(s)) for s in range(60)]
    assert resumed.store.recorded(tracker.run_id).status == "FINISHED"


def test_what_could_not_be_delivered_stays_and_is_delivered_on_resume(
    begin: Begin, outage: Outage, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 0.1)
    tracker = begin()
    with outage("server is gone"):
        for step in range(20):
            tracker.log({"loss": float(step)}, step)
        assert tracker.finish("FAILED", "boom") == 22  # points, traceback, status
        assert tracker.problems == ["server is gone"]
        assert tracker.store.recorded(tracker.run_id).status == "RUNNING"
    journal = Journal(tracker.store.location.journals, tracker.run_id)
    Delivery(tracker.store, tracker.run_id, journal).drain()
    assert stored(tracker.store, tracker.run_id, "loss") == [(s, float(s)) for s in range(20)]
    assert tracker.store.recorded(tracker.run_id).status == "FAILED"
    assert tracker.store.text(tracker.run_id, "traceback.txt") == "boom"


def test_a_record_that_mlflow_refuses_for_good_holds_nothing_up(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = begin()
    send = tracker.store.send_points

    def picky(run_id: str, points: Any) -> None:
        if any(point.key == "odd" for point in points):
            raise MlflowException("odd is odd", error_code=1000)  # INVALID_PARAMETER_VALUE
        send(run_id, points)

    monkeypatch.setattr(tracker.store, "send_points", picky)
    tracker.log({"a": 1.0, "odd": 2.0, "b": 3.0}, 1)
    assert tracker.finish("FINISHED") == 0
    assert tracker.store.recorded(tracker.run_id).metrics == {"a": 1.0, "b": 3.0}
    assert tracker.problems == ["odd: odd is odd"]


def test_infinite_values_never_rank_best_and_are_tagged(begin: Begin) -> None:
    good, bad = begin(), begin()
    good.log({"val/accuracy": 0.9}, 1)
    bad.log({"val/accuracy": math.inf}, 1)
    good.finish("FINISHED"), bad.finish("FINISHED")
    run = good.store.recorded(bad.run_id)
    assert math.isnan(run.metrics["val/accuracy"])
    assert run.tags["nonfinite/val/accuracy"] == "inf at step 1"
    for order in ("DESC", "ASC"):
        ranked = good.store.client.search_runs(
            [run.experiment_id], order_by=[f"metrics.`val/accuracy` {order}"]
        )
        assert ranked[0].info.run_id == good.run_id


def test_a_spoilt_last_line_does_not_hold_the_end_up(begin: Begin) -> None:
    tracker = begin()
    tracker.log({"loss": 1.0}, 1)
    tracker.finish("KILLED")
    with open(tracker.store.location.journals / f"{tracker.run_id}.jsonl", "ab") as journal:
        journal.write(b"\x00" * 20 + b"\n")
    left = Journal(tracker.store.location.journals, tracker.run_id)
    delivery = Delivery(tracker.store, tracker.run_id, left)
    delivery.drain()
    assert left.complete
    assert delivery.finish(patience=0.1) == 0


def test_long_and_changed_params_are_marked(begin: Begin) -> None:
    tracker = begin(params={"long": "x" * 7000, "duration": "5 epochs"})
    tracker.finish("FINISHED")
    resumed = begin(tracker.run_id, params={"duration": "9 epochs", "new": 1})
    resumed.finish("FINISHED")
    run = resumed.store.recorded(tracker.run_id)
    assert run.params == {"long": "x" * 6000, "duration": "5 epochs", "new": "1"}
    assert run.tags["cut/long"] == "7000 characters; whole in the config artifact"
    assert run.tags["resumed/duration"] == "9 epochs"


def test_a_run_cannot_be_trained_by_two_processes(begin: Begin) -> None:
    tracker = begin()
    with pytest.raises(StoreError, match=f"still being trained by process {os.getpid()} on"):
        begin(tracker.run_id)


def test_a_second_writer_where_locks_do_not_work_does_not_hang_the_end(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 0.1)
    tracker = begin()
    other = Journal(tracker.store.location.journals, tracker.run_id)
    tracker.log({"loss": 1.0}, 1)
    other.log({"a/much/longer/name/of/a/metric": 2.0}, 2)
    os.truncate(other.path, 10)
    tracker.log({"loss": 3.0}, 3)
    tracker.finish("FINISHED")
    assert "was changed by another process" in tracker.problems[-1]


def test_a_short_run_has_a_system_sample_and_a_resumed_one_goes_on_counting(
    begin: Begin, config: Tracking, stored: Stored
) -> None:
    config.system_metrics = True
    tracker = begin()
    tracker.finish("KILLED")
    resumed = begin(tracker.run_id)
    resumed.finish("FINISHED")
    key = "system/cpu_utilization_percentage"
    assert [step for step, _ in stored(tracker.store, tracker.run_id, key)] == [0, 1]


def test_the_environment_of_mlflow_does_not_confuse_it(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    tracker = begin()
    tracker.log({"loss": 1.0}, 1)
    assert tracker.finish("FINISHED") == 0
    run = tracker.store.recorded(tracker.run_id)
    assert (run.experiment, run.metrics) == ("default", {"loss": 1.0})


def test_tracking_off_writes_nothing_and_remembers_the_last_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = tracking.start(Tracking(kind="off"))
    assert isinstance(tracker, NullTracker)
    assert tracker.run_id.startswith("off-")
    assert tracker.folder.is_dir()
    for name in ("log", "params", "tags", "text", "file", "dataset", "checkpoint", "model"):
        assert callable(getattr(tracker, name))
    tracker.log({"loss": 1.0}, 1)
    assert tracker.last == {"loss": 1.0}
    assert tracker.finish("FINISHED") == 0
    assert not tracker.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_does_not_import_mlflow() -> None:
    code = "import sys, pipeline.tracking, pipeline.tracking.location, pipeline.ui; "
    code += "sys.exit('mlflow' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
