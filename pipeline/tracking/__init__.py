"""Where runs are kept: a journal on disk (the truth), a thread that delivers it, and MLflow.

Only this package imports mlflow, and importing the package does not: mlflow takes about two
seconds, and a config that is wrong should be refused before that. So the functions below import
what they need when they are called.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Tracking
    from pipeline.tracking.store import Store
    from pipeline.tracking.tracker import AnyTracker

# MLflow reads these when it is imported. It would otherwise report usage to its makers, and print
# the address of a run on standard output, whose last line is ours.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A server that goes away would hold a call for four minutes. Ours are tried again by the thread
# that makes them, for as long as the run lasts, so one call may fail within seconds.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")


def check(config: Tracking) -> None:
    """Raise ``StoreError`` where a store cannot be reached or written. Without MLflow, unless a
    local store is to be made, and so at once."""
    from pipeline.tracking import location

    location.prepare(location.locate(config))


def open_store(config: Tracking, existing: bool = False) -> Store:
    """The store that ``config`` names, created if it is a local one that is not there yet.

    ``existing``: it must be there, since a run in it is meant.

    Raises:
        StoreError: it cannot be reached, read or written; the text says what to do.
    """
    from pipeline.tracking.store import Store

    return Store.open(config, existing)


def start(
    config: Tracking,
    *,
    params: dict[str, object] | None = None,
    tags: dict[str, str] | None = None,
    run_name: str | None = None,
    resume_run_id: str | None = None,
) -> AnyTracker:
    """Begin a run, or go on with ``resume_run_id``; see ``tracker.start``."""
    from pipeline.tracking import tracker

    return tracker.start(
        config, params=params or {}, tags=tags or {}, run_name=run_name, resume_run_id=resume_run_id
    )
