"""A sweep in MLflow: a parent run, and its trials nested below it.

The words by which they find each other are tags, so that any process, of any machine, can join.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.tracking import life

if TYPE_CHECKING:
    from pipeline.tracking.store import Store

PARENT_TAG = "mlflow.parentRunId"  # by which MLflow's pages nest
SPACE_TAG = "sweep/space"  # of a parent, JSON: swept key -> its values
COMMAND_TAG = "sweep/command"  # of a parent, JSON: the overrides
FLAGS_TAG = "sweep/flags"  # of a parent, JSON: --config-dir and the like
ORIGIN_TAG = "sweep/origin"  # of a parent: digest of command and flags
BEST_TAG = "sweep/best"  # of a parent: id of the best trial
TRIAL_TAG = "sweep/trial"  # of a trial: its number, from 1
OVERRIDES_TAG = "sweep/overrides"  # of a trial: what it sets
PRUNED_TAG = "sweep/pruned"  # of a trial: why it was given up
DEATHS_TAG = "sweep/deaths"  # of a trial: how often its process died
CONFIG_TAG = "digest/config"  # of any run


@dataclass(frozen=True)
class TrialRun:
    """One run of a trial; a trial that failed and was tried again has several."""

    run_id: str
    number: int  # from 0
    overrides: str
    digest: str  # of its config
    status: str
    pruned: str | None
    deaths: int
    start: int  # ms since 1970
    alive: bool  # a process trains it
    metrics: dict[str, float]

    @property
    def done(self) -> bool:
        return self.status == "FINISHED"


@dataclass(frozen=True)
class Parent:
    """A sweep that was begun."""

    run_id: str
    status: str
    alive: bool
    command: list[str]
    flags: list[str]


def trials(store: Store, parent_id: str, digest: str | None = None) -> list[TrialRun]:
    """The runs of a sweep's trials, the newest first; ``digest``: only those of that config.

    Raises:
        StoreError: the store does not answer.
    """
    condition = f"tags.`{PARENT_TAG}` = '{parent_id}'"
    if digest:
        condition += f" and tags.`{CONFIG_TAG}` = '{digest}'"
    found = []
    for run in store.search(condition):
        tags = run.data.tags
        found.append(
            TrialRun(
                run_id=run.info.run_id,
                number=int(tags.get(TRIAL_TAG, 0)) - 1,
                overrides=tags.get(OVERRIDES_TAG, ""),
                digest=tags.get(CONFIG_TAG, run.info.run_id),
                status=run.info.status,
                pruned=tags.get(PRUNED_TAG),
                deaths=int(tags.get(DEATHS_TAG, 0)),
                start=run.info.start_time,
                alive=run.info.status == "RUNNING"
                and life.trained(store.location.journals, run.info.run_id),
                metrics=dict(run.data.metrics),
            )
        )
    return found


def one_each(runs: Iterable[TrialRun]) -> list[TrialRun]:
    """Of the runs of each trial the one that counts: the finished, else the newest; by number."""
    chosen: dict[str, TrialRun] = {}
    for run in sorted(runs, key=lambda run: (run.done, run.start)):
        chosen[run.digest] = run
    return sorted(chosen.values(), key=lambda run: run.number)


def parent(store: Store, run_id: str) -> Parent:
    """The sweep with this id, or an unambiguous beginning of one.

    Raises:
        StoreError: there is no such run, or it is no sweep.
    """
    run = store.recorded(run_id)
    if SPACE_TAG not in run.tags:
        above = run.tags.get(PARENT_TAG)
        hint = f" It is a trial of sweep {above}." if above else " resume=… goes on with a run."
        raise StoreError(f"Run {run.run_id} is no sweep.{hint}")
    return Parent(
        run.run_id,
        run.status,
        run.status == "RUNNING" and life.trained(store.location.journals, run.run_id),
        json.loads(run.tags.get(COMMAND_TAG, "[]")),
        json.loads(run.tags.get(FLAGS_TAG, "[]")),
    )


def last_of(store: Store, origin: str) -> Parent | None:
    """The newest sweep that was begun by this command (``ORIGIN_TAG``)."""
    found = store.tagged(ORIGIN_TAG, origin)
    return parent(store, found[0]) if found else None


def reap(store: Store, parent_id: str) -> list[TrialRun]:
    """End the trials whose process is gone as KILLED, their points delivered. Returns them."""
    from pipeline.tracking.diagnosis import end_dead

    dead = [t for t in trials(store, parent_id) if t.status == "RUNNING" and not t.alive]
    for trial in dead:
        end_dead(store, trial.run_id)
        store.send_tags(trial.run_id, {DEATHS_TAG: str(trial.deaths + 1)})
    return dead
