"""What is wrong in a store, and how to mend it. ``pipeline.doctor`` shows it to a person.

Finding something changes nothing. Each finding knows what mends it; before it does anything it
takes the run's lock, so that what another process trains meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import Timeout
from mlflow.entities import LoggedModelStatus, Run
from mlflow.exceptions import MlflowException

from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking import leftovers, life, moved
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Journal
from pipeline.tracking.leftovers import Leftover
from pipeline.tracking.location import locked
from pipeline.tracking.models import Models
from pipeline.tracking.store import Store

TAG = "doctor"  # on a run whose status the doctor has set


@dataclass(frozen=True)
class Finding:
    """One thing, and what can be done about it."""

    subject: str  # a run or a folder
    what: str
    remedy: str
    mend: Callable[[], None]  # raises StoreError, with the reason, where it cannot be done
    wrong: bool = True  # otherwise it only takes room

    def apply(self) -> str | None:
        """Mend it. Returns why that could not be done."""
        try:
            self.mend()
        except Exception as error:  # of the store, the disk, MLflow: the other findings go on
            return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return None


@dataclass
class Diagnosis:
    """All findings, in the order in which they are to be mended, and what else is to be known."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _State:
    """A run as MLflow and the folder of journals show it together."""

    run_id: str
    status: str  # MLflow's, or DELETED
    process: life.Life | None  # that said it trains the run
    alive: bool
    known: bool  # whether ``alive`` was found out: there is a journal here, or the process was
    points: int  # not delivered
    others: int  # records of other kinds
    ending: str | None  # the status that the journal will set


def diagnose(config: Tracking) -> Diagnosis:
    """Look at the whole store that ``config`` names; change nothing.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    store = Store.existing(config)
    found = Diagnosis()
    try:
        found.findings += _addresses(store)
        states = {run_id: _state(store, run_id) for run_id in sorted(_candidates(store))}
        present = {run_id: state for run_id, state in states.items() if state is not None}
        for state in present.values():
            if state.alive:
                who = state.process or "another process"
                found.notes.append(f"run {state.run_id} is being trained by {who}")
        idle = [state for state in present.values() if state.known and not state.alive]
        found.findings += [f for state in idle if (f := _unfinished(store, state))]
        found.findings += _uploads(store, present)
        found.findings += [f for state in idle if (f := _folders(store, state))]
        found.findings += _files(store)
    except (MlflowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise StoreError(f"The store {store.location.uri} cannot be read: {first}") from error
    foreign = [run_id for run_id, state in states.items() if state is None]
    if foreign:
        found.notes.append(
            f"{len(foreign)} run(s) with a journal here are not in {store.location.uri}, and left "
            f"alone: {', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}. For those of "
            "another store name that one: tracking=server tracking.uri=…"
        )
    return found


# What there is ------------------------------------------------------------------------------------


def _candidates(store: Store) -> set[str]:
    """Runs that may need something: RUNNING, with something left to deliver, or with files."""
    location = store.location
    found = {path.name for path in location.work.glob("*") if path.is_dir()}
    found |= {path.stem for path in location.journals.glob("*.alive")}
    for path in location.journals.glob("*.jsonl"):
        journal = Journal(location.journals, path.stem, readonly=True)
        if not journal.complete:
            found.add(path.stem)
        journal.close()
    experiments = [e.experiment_id for e in store.client.search_experiments()]
    token: str | None = None
    while experiments:
        page = store.client.search_runs(
            experiments, "attributes.status = 'RUNNING'", page_token=token
        )
        found |= {run.info.run_id for run in page}
        token = page.token
        if not token:
            break
    return found


def _state(store: Store, run_id: str) -> _State | None:
    """``None`` for a run that this store does not hold."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    journals = store.location.journals
    here = (journals / f"{run_id}.jsonl").exists()
    process = life.Life.read(life.pulse(journals, run_id)) or _tagged(run)
    # Without a journal only the run's tag says who trains it, and on a server's run a process of
    # another machine with the same name may be meant.
    ours = process is not None and process.ended() and not store.location.remote
    waiting: Counter[str] = Counter()
    ending = None
    if here:
        journal = Journal(journals, run_id, readonly=True)
        for record, _ in journal.tail():
            waiting["points"] += len(record.get("metrics", ()))
            waiting["others"] += "metrics" not in record
            ending = record.get("status", ending)
        journal.close()
    return _State(
        run_id,
        "DELETED" if run.info.lifecycle_stage == "deleted" else run.info.status,
        process,
        life.trained(journals, run_id),
        here or ours,
        waiting["points"],
        waiting["others"],
        ending,
    )


def _tagged(run: Run) -> life.Life | None:
    """The process that created the run, if it was one of this machine."""
    found = life.tagged(run.data.tags.get(life.PROCESS_TAG, ""), run.info.start_time / 1000)
    return found if found and found.host == life.Life.of_this_process().host else None


# What is wrong ------------------------------------------------------------------------------------


def _addresses(store: Store) -> list[Finding]:
    addresses = moved.find(store.location)
    counts = Counter(address.folder for address in addresses)
    return [
        Finding(
            str(store.location.root),
            f"{count:,} artifact addresses still name {folder}: it was moved or copied",
            f"let them name {store.location.root / 'artifacts'}",
            partial(_readdress, store, folder),
        )
        for folder, count in sorted(counts.items())
    ]


def _readdress(store: Store, folder: Path) -> None:
    with locked(store.location):
        for path in store.location.journals.glob("*.lock"):
            if life.locked(store.location.journals, path.stem):
                raise StoreError(f"run {path.stem} is being trained: wait until it has ended")
        addresses = [a for a in moved.find(store.location) if a.folder == folder]
        moved.rewrite(store.location, addresses)


def _unfinished(store: Store, state: _State) -> Finding | None:
    """A run whose process died, or which has not been delivered, or both."""
    if state.status == "DELETED":  # MLflow takes nothing for it; it may be restored
        return None
    dead = state.status == "RUNNING"
    waiting = bool(state.points or state.others)
    ended = state.ending not in (None, "RUNNING")
    what, remedy = [], []
    if dead and not ended:
        who = f"{state.process} is gone" if state.process else "no process trains it"
        what.append(f"says RUNNING, but {who}")
    if waiting:
        what.append(f"{state.points:,} points and {state.others:,} other records undelivered")
        remedy.append("deliver them")
    if dead:
        remedy.append(f"set its status to {state.ending if ended else 'KILLED'}")
    if not what:
        return None
    mend = partial(_conclude, store, state)
    return Finding(f"run {state.run_id}", "; ".join(what), ", ".join(remedy), mend)


def end_dead(store: Store, run_id: str) -> None:
    """Deliver what a run's dead process has left, and end the run: as KILLED, unless it had ended.

    Raises:
        StoreError: a process trains it, or the store does not take it.
    """
    state = _state(store, run_id)
    if state is not None and not state.alive and state.status == "RUNNING":
        _conclude(store, state)


def _conclude(store: Store, state: _State) -> None:
    """Deliver a run's journal; if nothing in it ends the run, end it as KILLED."""
    with _held(store, state.run_id):
        journal = Journal(store.location.journals, state.run_id)
        try:
            journal.remember()
            delivery = Delivery(store, state.run_id, journal)
            delivery.recall()
            delivery.models.sweep()
            delivery.drain()
            if store.client.get_run(state.run_id).info.status == "RUNNING":
                host, now = life.Life.of_this_process().host, time.time()
                said = (
                    f"KILLED by pipeline.doctor on {host} at {time.ctime(now)}, because "
                    f"{state.process or 'its process'} was gone"
                )
                seen = state.process.time if state.process else now
                journal.append({"tags": {TAG: said}})
                journal.append({"status": "KILLED", "time": int(seen * 1000)})
                delivery.drain()
        finally:
            journal.close()
        life.pulse(store.location.journals, state.run_id).unlink(missing_ok=True)
    if delivery.refused:
        raise StoreError(f"MLflow refused for good: {'; '.join(delivery.refused)}")


def _uploads(store: Store, states: dict[str, _State]) -> list[Finding]:
    """Models that an interrupted upload has left PENDING."""
    counts: Counter[str] = Counter()
    experiments = [e.experiment_id for e in store.client.search_experiments()]
    token: str | None = None
    while experiments:
        page = store.client.search_logged_models(experiments, page_token=token)
        pending = (m for m in page if m.status == LoggedModelStatus.PENDING)
        counts.update(m.source_run_id for m in pending if m.source_run_id)
        token = page.token
        if not token:
            break
    found = []
    for run_id, count in sorted(counts.items()):
        state = states.get(run_id) or _state(store, run_id)
        if state is not None and state.known and not state.alive:
            what = f"{count} model(s) left PENDING by an interrupted upload"
            found.append(
                Finding(f"run {run_id}", what, "delete them", partial(_sweep, store, run_id))
            )
    return found


def _sweep(store: Store, run_id: str) -> None:
    with _held(store, run_id):
        Models(store, run_id).sweep()


def _folders(store: Store, state: _State) -> Finding | None:
    found = _left(store, state)
    if not found:
        return None
    paths = [leftover.path for leftover in found]
    text = "; ".join(f"{x.path.name}, {leftovers.size(x.path)}: {x.why}" for x in found)
    if len(found) == 1:
        text = f"{leftovers.size(paths[0])}: {found[0].why}"
    subject = str(
        (paths[0] if len(paths) == 1 else paths[0].parent).relative_to(store.location.root)
    )
    mend = partial(_clear, store, state.run_id, paths)
    return Finding(subject, text, "remove", mend, any(x.wrong for x in found))


def _left(store: Store, state: _State) -> list[Leftover]:
    delivered = not state.points and not state.others
    return leftovers.of_run(store, state.run_id, state.status, delivered)


def _clear(store: Store, run_id: str, paths: list[Path]) -> None:
    with _held(store, run_id):
        state = _state(store, run_id)  # it may have been resumed since, and have ended again
        spare = [leftover.path for leftover in _left(store, state)] if state else []
        leftovers.remove([p for p in paths if any(p.is_relative_to(s) for s in spare)])


def _files(store: Store) -> list[Finding]:
    return [
        Finding(
            str(leftover.path.relative_to(store.location.root)),
            f"{leftovers.size(leftover.path)}: {leftover.why}",
            "remove",
            partial(leftovers.remove, [leftover.path]),
        )
        for leftover in leftovers.of_store(store.location)
    ]


@contextlib.contextmanager
def _held(store: Store, run_id: str) -> Iterator[None]:
    """Hold the run's lock, so that no process takes it up meanwhile."""
    store.location.journals.mkdir(parents=True, exist_ok=True)
    if life.trained(store.location.journals, run_id):
        raise StoreError(f"run {run_id} is being trained now")
    try:
        with life.lock(store.location.journals, run_id):
            yield
    except Timeout:
        raise StoreError(f"run {run_id} is being trained now") from None
