"""Real SQLite stores, made once a session and copied; TensorFlow is not imported here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.store.db.utils
import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.tracking.location import DATABASE, locate, prepare
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
