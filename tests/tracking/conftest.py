"""Real SQLite stores, made once a session and copied; TensorFlow is not imported here."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.store.db.utils
import pytest

from pipeline import doctor, tracking
from pipeline.config import Tracking
from pipeline.tracking import life, moved
from pipeline.tracking.location import DATABASE, locate, prepare
from pipeline.tracking.store import Store
from pipeline.tracking.tracker import Tracker


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has made, with no runs."""
    # For each store that it opens MLflow loads its 67 migrations to learn which is the newest.
    newest = cache(mlflow.store.db.utils._get_latest_schema_revision)
    mlflow.store.db.utils._get_latest_schema_revision = newest
    location = locate(Tracking(root=str(tmp_path_factory.mktemp("template"))))
    prepare(location)
    assert location.database is not None
    return location.database


@pytest.fixture
def config(tmp_path: Path, empty_database: Path) -> Tracking:
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copy(empty_database, root / DATABASE)
    return Tracking(root=str(root), system_metrics=False)


@pytest.fixture
def begin(config: Tracking, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Tracker]]:
    """``begin(resume_run_id=None, **Tracking)`` starts trackers; those left open are finished."""
    monkeypatch.setattr("pipeline.tracking.delivery.INTERVAL", 0.01)
    monkeypatch.setattr("pipeline.tracking.delivery.LONGEST_WAIT", 0.05)
    begun: list[Tracker] = []

    def start(resume_run_id: str | None = None, **arguments: Any) -> Tracker:
        tracker = tracking.start(config, resume_run_id=resume_run_id, **arguments)
        assert isinstance(tracker, Tracker)
        begun.append(tracker)
        return tracker

    yield start
    for tracker in begun:
        tracker.finish("KILLED")


@pytest.fixture
def saved() -> Callable[..., Path]:
    """``saved(folder, content="w")``: the folder, made, with one file: a checkpoint."""

    def save(folder: Path, content: str = "w") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_text(content)
        return folder

    return save


@pytest.fixture
def stored() -> Callable[..., list[tuple[int, float]]]:
    """``stored(store, run_id, key="loss")``: step and value of each point that MLflow has."""

    def read(store: Store, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in store.history(run_id, key)]

    return read


@pytest.fixture
def settled() -> Callable[[Tracker], Tracker]:
    """``settled(tracker)``: the tracker, when all that it was told has been delivered."""

    def wait(tracker: Tracker) -> Tracker:
        end = time.monotonic() + 60
        while not tracker._journal.complete:
            assert time.monotonic() < end, tracker.problems
            time.sleep(0.005)
        return tracker

    return wait


@pytest.fixture
def outage() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """``with outage(reason):`` no store takes points or files."""

    @contextlib.contextmanager
    def begin(reason: str = "the server is gone") -> Iterator[None]:
        def refuse(*_: Any) -> None:
            raise ConnectionError(reason)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "send_points", refuse)
            patch.setattr(Store, "send_file", refuse)
            yield

    return begin


@pytest.fixture
def gone() -> life.Life:
    """A process of this machine that has ended, ten seconds after its last beat."""
    process = subprocess.Popen(["true"])
    process.wait()
    return life.Life(process.pid, socket.gethostname(), time.time() - 10)


@pytest.fixture
def die(gone: life.Life) -> Callable[[Tracker], str]:
    """``die(tracker)``: what SIGKILL leaves of it, had it been of the process that is ``gone``.

    Returns the run's id.
    """

    def kill(tracker: Tracker) -> str:
        tracker._delivery._stop = True
        tracker._delivery._wake.set()
        assert tracker._delivery._thread is not None
        tracker._delivery._thread.join()
        tracker._pulse._stopped.set()
        tracker._pulse._thread.join()
        gone.write(life.pulse(tracker.store.location.journals, tracker.run_id))
        tracker._journal.close()
        tracker._lock.release()
        return tracker.run_id

    return kill


@pytest.fixture
def healthy(config: Tracking, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """The store with addresses of its own in place of the template's; trackers do not wait."""
    location = locate(config)
    moved.rewrite(location, moved.find(location))
    monkeypatch.setattr("pipeline.tracking.delivery.INTERVAL", 0.01)
    monkeypatch.setattr("pipeline.tracking.tracker.PATIENCE", 0.1)
    return config


@pytest.fixture
def examine(
    healthy: Tracking, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """``examine("--apply")``: the doctor's exit code and what it printed, of a healthy store."""

    def run(*arguments: str, root: Path | str = healthy.root) -> tuple[int, str]:
        capsys.readouterr()
        code = doctor.main([*arguments, f'tracking.root="{root}"'])
        return code, capsys.readouterr().out

    return run
