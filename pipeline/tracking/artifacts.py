"""Text artifacts of a run that may not have reached MLflow yet."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.tracking.journal import Journal
from pipeline.tracking.store import Store


def recorded_text(store: Store, run_id: str, path: str) -> str:
    """What stands in the text artifact ``path``, also where a killed process had not sent it.

    Raises:
        StoreError: neither MLflow nor the run's journal has it.
    """
    try:
        return store.text(run_id, path)
    except StoreError:
        waiting = _waiting(store, run_id, path)
        if waiting is None:
            raise
        return waiting


def _waiting(store: Store, run_id: str, path: str) -> str | None:
    try:
        journal = Journal(store.location.journals, run_id, readonly=True)
    except FileNotFoundError:
        return None
    try:
        for record, _ in journal.tail():
            file = Path(record.get("file", ""))
            if (Path(record.get("to", "")) / file.name).as_posix() == path:
                whole = store.location.root / file
                return whole.read_text("utf-8") if whole.is_file() else None
    finally:
        journal.close()
    return None
