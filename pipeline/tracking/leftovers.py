"""Files that nothing needs any more: what killed processes and deleted runs have left behind.

Only what is certain to be spare is named. A checkpoint in a run's working folder is, once MLflow
holds it or a later one of the same run, file by file; a journal never is.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.tracking.location import BUSY_TIMEOUT, Location
from pipeline.tracking.models import CHECKPOINT, Models
from pipeline.tracking.store import Store


@dataclass(frozen=True)
class Leftover:
    """A folder that can be removed. ``wrong``: it should not be there at all."""

    path: Path
    why: str
    wrong: bool = True


def of_run(store: Store, run_id: str, status: str, delivered: bool) -> list[Leftover]:
    """What can go of the working folder of a run that no process trains.

    Args:
        status: of MLflow; DELETED for a run that is in its trash.
        delivered: whether the run's journal holds nothing that MLflow has yet to be sent.
    """
    work = store.location.work / run_id
    if not work.is_dir():
        return []
    if status == "DELETED":
        return [Leftover(work, "its run is deleted")]
    if delivered and status == "FINISHED":
        return [Leftover(work, "its run is finished, and everything of it delivered")]
    found = []
    if delivered and status != "RUNNING" and _has_files(work / "outbox"):
        found.append(Leftover(work / "outbox", "all of it was delivered"))
    kept = work / "checkpoints"
    if delivered and status != "RUNNING" and _published(store, run_id, kept):
        return [*found, Leftover(kept, "MLflow holds these checkpoints too", wrong=False)]
    for pattern, why in (
        (".unfinished-*", "a checkpoint that a killed process did not finish"),
        ("fetched-*", "a copy of a checkpoint that MLflow holds"),
    ):
        found += [Leftover(path, why) for path in sorted(kept.glob(pattern))]
    return found


def of_store(location: Location) -> list[Leftover]:
    """Files of checkpoints that are deleted, or whose run is gone; for a store on this disk.

    A process that is killed while it replaces a checkpoint leaves the old one's files.
    """
    if location.database is None:
        return []
    query = (
        "SELECT model_id FROM logged_models WHERE model_type = ? AND (lifecycle_stage = 'deleted' "
        "OR source_run_id NOT IN (SELECT run_uuid FROM runs))"
    )
    with contextlib.closing(sqlite3.connect(location.database, timeout=BUSY_TIMEOUT)) as database:
        ids = [row[0] for row in database.execute(query, (CHECKPOINT,))]
    folders = [location.root / "artifacts" / "models" / model_id for model_id in ids]
    why = "a checkpoint that is deleted, or whose run is"
    return [Leftover(folder, why) for folder in folders if folder.is_dir()]


def remove(folders: Sequence[Path]) -> None:
    """Remove folders, and those they were in where these are empty then. Raises OSError."""
    for folder in folders:
        shutil.rmtree(folder)
    for parent in {folder.parent for folder in folders}:
        with contextlib.suppress(OSError):  # not empty
            parent.rmdir()


def size(path: Path) -> str:
    """How much room a folder takes, in words; files that are linked count once."""
    files = {
        (status.st_dev, status.st_ino): status.st_size
        for file in path.rglob("*")
        if file.is_file() and (status := file.stat())
    }
    taken = float(sum(files.values()))
    for unit in ("bytes", "kB", "MB"):
        if taken < 1000:
            return f"{taken:.3g} {unit}"
        taken /= 1000
    return f"{taken:,.1f} GB"


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _published(store: Store, run_id: str, folder: Path) -> bool:
    """Whether MLflow holds the last checkpoint, and each in ``folder`` or one after it."""
    here = {int(path.name.split("-")[1]): path for path in folder.glob("step-*")}
    if not here:
        return False
    models = Models(store, run_id)
    held = {checkpoint.step: checkpoint for checkpoint in models.checkpoints()}
    last = max((step for step, c in held.items() if "last" in c.roles), default=-1)
    return max(here) <= last and all(
        models.holds(held[step], path) for step, path in here.items() if step in held
    )
