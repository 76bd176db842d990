"""What the doctor finds in a store, what it leaves alone, and what mending it comes to."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import doctor, tracking
from pipeline.config import Tracking
from pipeline.errors import ConfigError, StoreError
from pipeline.tracking import life
from pipeline.tracking.journal import Journal
from pipeline.tracking.location import DATABASE, locate
from pipeline.tracking.models import Models
from pipeline.tracking.store import Store
from pipeline.tracking.tracker import Tracker

Die = Callable[[Tracker], str]
Examine = Callable[..., tuple[int, str]]
Outage = Callable[..., AbstractContextManager[None]]
Saved = Callable[..., Path]
Settled = Callable[[Tracker], Tracker]
Stored = Callable[..., list[tuple[int, float]]]
HOST = socket.gethostname()


def database(config: Tracking) -> bytes:
    return (Path(config.root) / DATABASE).read_bytes()


def steps(store: Store, run_id: str) -> list[int]:
    return [point.step for point in store.history(run_id, "loss")]


def test_a_healthy_store_is_said_to_be(config: Tracking, examine: Examine) -> None:
    tracker = tracking.start(config)
    tracker.log({"loss": 1.0}, 1)
    tracker.finish("FINISHED")
    assert examine() == (0, "nothing is wrong\n")


def test_without_a_store_it_says_so_and_makes_none(tmp_path: Path, examine: Examine) -> None:
    with pytest.raises(StoreError, match="There is no store at .*Train first, or name its folder"):
        examine(root=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="keeps no runs to look after"):
        doctor.main(["tracking=off"])


def test_a_run_whose_process_died_is_delivered_and_then_ends_as_killed(
    config: Tracking,
    examine: Examine,
    gone: life.Life,
    settled: Settled,
    die: Die,
    outage: Outage,
    stored: Stored,
) -> None:
    tracker = tracking.start(config, params={"seed": 0})
    settled(tracker)
    with outage():
        for step in range(1200):
            tracker.log({"loss": step / 3}, step)
        run_id = die(tracker)
    before = database(config)
    code, said = examine()
    assert (code, database(config) == before) == (1, True)
    assert f"run {run_id}: says RUNNING, but process {gone.pid} on {HOST} is gone; " in said
    assert "1,200 points and 0 other records undelivered" in said
    assert "remedy: deliver them, set its status to KILLED" in said
    assert said.endswith("1 wrong; --apply does what is listed\n")

    code, said = examine("--apply")
    assert code == 0, said
    store = tracking.open_store(config)
    assert stored(store, run_id) == [(step, step / 3) for step in range(1200)]
    run = store.client.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("KILLED", int(gone.time * 1000))
    assert run.data.tags["doctor"].startswith(f"KILLED by pipeline.doctor on {HOST} at ")
    assert run.data.tags["doctor"].endswith(f"process {gone.pid} on {HOST} was gone")
    assert examine() == (0, "nothing is wrong\n")


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no-locks"])
def test_a_run_that_is_alive_is_not_touched(
    config: Tracking, examine: Examine, saved: Saved, settled: Settled, locks: bool
) -> None:
    tracker = tracking.start(config)
    tracker.log({"loss": 1.0}, 1)
    settled(tracker)
    saved(tracker.folder / "checkpoints" / ".unfinished-00000001")
    experiment = tracker.store.recorded(tracker.run_id).experiment_id
    tracker.store.client.create_logged_model(experiment, "m", tracker.run_id)
    if not locks:  # a file system that knows none: only the pulse says that the process lives
        os.unlink(tracker._lock.lock_file)
    before = database(config)
    code, said = examine("--apply")
    assert said == (
        f"note: run {tracker.run_id} is being trained by process {os.getpid()} on {HOST}\n"
        "nothing is wrong\n"
    )
    assert (code, database(config) == before) == (0, True)
    assert (tracker.folder / "checkpoints" / ".unfinished-00000001").exists()
    tracker.finish("FINISHED")


def test_when_a_process_has_ended(gone: life.Life) -> None:
    this = psutil.Process()
    assert gone.ended()
    assert not life.Life(this.pid, HOST, time.time()).ended()
    assert life.Life(this.pid, HOST, this.create_time() - 60).ended()  # the number, given again
    assert not life.Life(1, "another machine", time.time() - 300).ended()
    assert life.Life(1, "another machine", time.time() - 900).ended()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert life.Life(zombie.pid, HOST, time.time()).ended()
    zombie.wait()


def test_a_pulse_that_a_full_disk_spoilt_says_nothing(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"pid": null, "host": "a", "time": 1}'):
        (tmp_path / "run.alive").write_text(text)
        assert life.Life.read(tmp_path / "run.alive") is None


def test_a_process_killed_before_it_had_a_journal_is_known_by_the_runs_tag(
    config: Tracking, examine: Examine, gone: life.Life
) -> None:
    store = tracking.open_store(config)
    ours, foreign = (store.create_run("default", None, {}) for _ in range(2))
    alive = store.create_run("default", None, {})
    store.send_tags(ours, {"process": f"{gone.pid} on {HOST}"})
    store.send_tags(foreign, {"process": f"{gone.pid} on another machine"})
    code, said = examine("--apply")
    assert (code, f"run {ours}: says RUNNING, but process {gone.pid}" in said) == (0, True)
    found = [store.recorded(run_id).status for run_id in (ours, foreign, alive)]
    assert found == ["KILLED", "RUNNING", "RUNNING"]


def test_a_run_that_ended_during_an_outage_gets_its_points_and_its_own_status(
    config: Tracking, examine: Examine, settled: Settled, outage: Outage
) -> None:
    tracker = tracking.start(config)
    settled(tracker)
    with outage("the server is gone"):
        for step in range(20):
            tracker.log({"loss": float(step)}, step)
        assert tracker.finish("FAILED", "boom") == 22
    assert tracker.warning == (
        f"22 points and records of run {tracker.run_id} have not reached sqlite:///{config.root}/"
        f"mlflow.db (the server is gone). They are kept in {config.root}/journals/{tracker.run_id}"
        ".jsonl; when the store is back, deliver them with: python -m pipeline.doctor --apply "
        f"tracking.root={config.root}"
    )
    code, said = examine()
    assert "20 points and 2 other records undelivered" in said
    assert "remedy: deliver them, set its status to FAILED" in said
    assert "is gone" not in said
    code, said = examine("--apply")
    assert code == 0, said
    store = tracking.open_store(config)
    assert steps(store, tracker.run_id) == list(range(20))
    run = store.recorded(tracker.run_id)
    assert (run.status, "doctor" in run.tags) == ("FAILED", False)
    assert store.text(tracker.run_id, "traceback.txt") == "boom"
    assert not list((tracker.folder / "outbox").iterdir())


@pytest.mark.slow
def test_a_doctor_that_is_cut_off_delivers_nothing_twice(
    config: Tracking,
    examine: Examine,
    settled: Settled,
    die: Die,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = settled(tracking.start(config))
    send = Store.send_points
    with outage():
        for step in range(2500):
            tracker.log({"loss": float(step)}, step)
        run_id = die(tracker)
    sent = 0

    def lossy(self: Store, run_id: str, points: Any) -> None:
        nonlocal sent
        send(self, run_id, points)
        sent += 1
        if sent == 2:
            raise ConnectionError("the answer got lost")

    with monkeypatch.context() as network:
        network.setattr(Store, "send_points", lossy)
        code, said = examine("--apply")
    assert code == 1
    assert f"run {run_id}: deliver them, set its status to KILLED: not done: the answer" in said
    store = tracking.open_store(config)
    assert (len(steps(store, run_id)), store.recorded(run_id).status) == (2000, "RUNNING")
    code, said = examine("--apply")
    assert "1,500 points and 0 other records undelivered" in said
    assert (code, steps(store, run_id)) == (0, list(range(2500)))


@pytest.mark.slow
def test_what_another_machine_did_with_the_run_since_is_not_repeated(
    config: Tracking,
    examine: Examine,
    saved: Saved,
    settled: Settled,
    die: Die,
    outage: Outage,
    tmp_path: Path,
) -> None:
    first = tracking.start(config)
    for step in range(10):
        first.log({"loss": float(step)}, step)
    settled(first)
    with outage():
        for step in range(10, 30):
            first.log({"loss": float(step)}, step)
        first.checkpoint(saved(tmp_path / "c"), first.ranking(29, {"loss": 29.0}), best=True)
        first._journal.append({"status": "FAILED", "time": int(time.time() * 1000)})
        run_id = die(first)
    # The other one has its own root, and so its own journal; it goes on from step 5.
    there = Tracking(root=str(tmp_path / "there"), uri=locate(config).uri, system_metrics=False)
    second = tracking.start(there, resume_run_id=run_id)
    for step in range(5, 25):
        second.log({"loss": float(step)}, step)
    second.finish("FINISHED")

    assert examine("--apply")[0] == 0
    store = tracking.open_store(config)
    assert steps(store, run_id) == list(range(30))
    assert store.recorded(run_id).status == "FINISHED"
    # And resumed here: what was sent from there is known.
    third = tracking.start(config, resume_run_id=run_id)
    for step in range(20, 40):
        third.log({"loss": float(step)}, step)
    third.finish("FINISHED")
    assert steps(store, run_id) == list(range(40))


def test_uploads_that_were_interrupted_are_swept(
    config: Tracking, examine: Examine, saved: Saved, tmp_path: Path
) -> None:
    tracker = tracking.start(config)
    tracker.checkpoint(saved(tmp_path / "c"), tracker.ranking(5, {"loss": 0.1}), best=True)
    tracker.finish("FINISHED")
    store, run_id = tracker.store, tracker.run_id
    experiment = store.recorded(run_id).experiment_id
    store.client.create_logged_model(experiment, "checkpoint-9", run_id, {}, {"step": "9"})
    foreign = store.client.create_run(experiment).info.run_id  # of a notebook: not ours to judge
    store.client.create_logged_model(experiment, "theirs", foreign)
    before = database(config)
    code, said = examine()
    assert f"run {run_id}: 1 model(s) left PENDING by an interrupted upload" in said
    assert (code, database(config) == before) == (1, True)
    assert examine("--apply")[0] == 0
    left = {model.name for model in store.client.search_logged_models([experiment])}
    assert left == {"checkpoint-5", "theirs"}


def test_folders_go_when_mlflow_holds_what_is_in_them(
    config: Tracking, examine: Examine, saved: Saved, settled: Settled, die: Die
) -> None:
    tracker = tracking.start(config)
    kept = tracker.folder / "checkpoints"
    tracker.checkpoint(
        saved(kept / "step-00000005", "w" * 1234), tracker.ranking(5, {"loss": 0.1}), best=True
    )
    saved(kept / ".unfinished-00000009-77", "w" * 2_500_000)
    run_id = die(settled(tracker))
    work = f"work/{run_id}/checkpoints"
    code, said = examine()
    assert f"{work}/.unfinished-00000009-77: 2.5 MB: a checkpoint that a killed process" in said
    code, said = examine("--apply")
    assert code == 0
    assert f"{work}: 1.23 kB: MLflow holds these checkpoints too" in said
    assert not kept.exists()
    folder, step = Models(tracker.store, run_id).fetch("last", Path(config.root) / "fetched")
    assert (step, (folder / "weights").read_text()) == (5, "w" * 1234)


def test_checkpoints_that_only_take_room_are_not_called_wrong(
    config: Tracking, examine: Examine, saved: Saved
) -> None:
    tracker = tracking.start(config)
    folder = saved(tracker.folder / "checkpoints" / "step-00000005")
    tracker.checkpoint(folder, tracker.ranking(5, {"loss": 0.1}), best=True)
    tracker.finish("KILLED")
    code, said = examine()
    assert code == 0
    assert said.endswith("nothing is wrong; --apply does what is listed\n")
    assert folder.exists()


@pytest.mark.parametrize(
    "how",
    [
        "newer",
        pytest.param("damaged", marks=pytest.mark.slow),
        pytest.param("none", marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_that_mlflow_does_not_hold_stays(
    config: Tracking, examine: Examine, saved: Saved, how: str
) -> None:
    tracker = tracking.start(config)
    kept = tracker.folder / "checkpoints"
    folder = saved(kept / "step-00000005", "weights")
    if how != "none":
        tracker.checkpoint(folder, tracker.ranking(5, {"loss": 0.1}), best=True)
    tracker.finish("KILLED")
    if how == "newer":  # killed between the writing of it and the line in the journal
        saved(kept / "step-00000009", "weights")
    if how == "damaged":
        [file] = (tracker.store.location.root / "artifacts").rglob("weights")
        file.write_text("wei")
    assert examine("--apply") == (0, "nothing is wrong\n")
    assert (folder / "weights").read_text() == "weights"


@pytest.mark.slow
def test_the_files_of_deleted_runs_and_checkpoints_are_removed(
    config: Tracking, examine: Examine, saved: Saved, settled: Settled, die: Die, tmp_path: Path
) -> None:
    tracker = tracking.start(config)
    tracker.checkpoint(saved(tmp_path / "c"), tracker.ranking(5, {"loss": 0.1}), best=True)
    saved(tracker.folder / "checkpoints" / "step-00000009")
    run_id = die(settled(tracker))
    store = tracker.store
    [model] = Models(store, run_id).checkpoints()
    store.client.delete_logged_model(model.model_id)  # killed before it removed the files
    store.client.delete_run(run_id)
    files = Path(config.root) / "artifacts" / "models" / model.model_id
    assert files.exists()
    code, said = examine()
    assert code == 1
    assert f"work/{run_id}: 1 bytes: its run is deleted" in said
    assert f"artifacts/models/{model.model_id}: 1 bytes: a checkpoint that is deleted" in said
    assert (examine("--apply")[0], files.exists(), tracker.folder.exists()) == (0, False, False)
    assert (store.location.journals / f"{run_id}.jsonl").exists()  # the run can be restored


def test_journals_of_another_store_are_left_alone(config: Tracking, examine: Examine) -> None:
    tracking.open_store(config)
    journals = Path(config.root) / "journals"
    Journal(journals, "0" * 32).log({"loss": 1.0}, 1)
    code, said = examine("--apply")
    assert code == 0
    assert f"note: 1 run(s) with a journal here are not in sqlite:///{config.root}" in said
    assert Journal(journals, "0" * 32, readonly=True).undelivered() == 1
