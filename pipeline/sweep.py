"""A sweep as a whole: a parent run that its trials nest below, from the command to the verdict.

Hydra's sweepers and launchers choose and start the trials (``pipeline.trial`` is one of them); this
begins the parent, follows how the trials end, and ends it truthfully, also on Ctrl-C. A sweep that
did not finish is gone on with by its own command, or by ``sweep.resume=<id>``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pipeline import tracking, trial_process
from pipeline.console import Console, complain
from pipeline.data import reused
from pipeline.errors import ConfigError, StoreError
from pipeline.signals import Stopped, StopSignals
from pipeline.tracking import pages, sweeps
from pipeline.trial import SWEEP

if TYPE_CHECKING:
    from pipeline.tracking.store import Store
    from pipeline.tracking.tracker import AnyTracker

NEW = "new"
XLA_FLAGS = "TF_XLA_FLAGS"
LOOK_EVERY = 1.0  # seconds between two looks at how many trials have ended
# What joblib raises where a worker was killed; the others' trials are cut off with it.
BROKEN_POOL = ("TerminatedWorkerError", "BrokenProcessPool", "ShutdownExecutorError")


@dataclass(frozen=True)
class Command:
    """A command that starts several trials.

    Attributes:
        config: what all trials share.
        overrides, flags: as on the command line.
        space: swept key -> its values, or the text of an interval.
        total: how many trials, where that is known.
        here: this process starts the trials, no worker of a launcher's.
    """

    config: DictConfig
    overrides: list[str]
    flags: list[str]
    space: dict[str, list[str] | str]
    total: int | None
    here: bool

    @property
    def origin(self) -> str:
        """Digest by which the same command finds its sweep again."""
        same = [o for o in self.overrides if not o.startswith("sweep.resume=")]
        return hashlib.sha256(json.dumps([same, self.flags]).encode()).hexdigest()


def recall(config: DictConfig) -> tuple[list[str], list[str]]:
    """Overrides and flags of the sweep that ``config.sweep.resume`` names.

    Raises:
        StoreError: there is no such sweep.
    """
    store = tracking.open_store(config.tracking, existing=True)
    found = sweeps.parent(store, config.sweep.resume)
    return found.command, found.flags


def run(command: Command, launch: Callable[[], None], outcomes: Path) -> None:
    """Run the trials by ``launch`` below one parent run.

    Args:
        outcomes: a folder in which each trial, when it ends, writes a file of JSON.

    Raises:
        UserError: the sweep cannot begin.
        SystemExit: stopped by a signal; the parent is KILLED.
    """
    config = command.config
    if config.tracking.kind == "off":
        launch()
        return
    for key in ("tracking.kind", "tracking.root", "tracking.uri"):
        if key in command.space:
            raise ConfigError(f"{key}: the trials of a sweep are kept together, in one store")
    with StopSignals() as signals, _reusing():
        try:
            if command.here:
                trial_process.prepare()
            _run(command, launch, outcomes, signals)
        except Stopped as stopped:
            raise SystemExit(stopped.exit_code) from None


def _run(
    command: Command, launch: Callable[[], None], outcomes: Path, signals: StopSignals
) -> None:
    config, console = command.config, Console()
    store = tracking.open_store(config.tracking)
    earlier = _earlier(store, command)
    if earlier is not None:
        sweeps.reap(store, earlier.run_id)
        done = sum(trial.done for trial in sweeps.one_each(sweeps.trials(store, earlier.run_id)))
        console.line(
            f"goes on with sweep {earlier.run_id}; finished trials: {done}; "
            "sweep.resume=new begins another"
        )
    with signals.deferred():
        tracker = _begin(command, earlier)
    status = "FAILED"
    try:
        signals.answer()
        _arrange_pages(command, store, tracker.run_id)
        if earlier is None:
            trials = f"{command.total} trials" if command.total else "trials"
            console.line(f"sweep {tracker.run_id}: {trials} over {', '.join(command.space)}")
        with _joined(command, tracker.run_id), _followed(tracker, command, outcomes):
            _launch(launch, store, tracker.run_id)
        status = "FAILED" if any(o["message"] for o in read(outcomes)) else "FINISHED"
    except (Stopped, SystemExit, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        with signals.ignored():
            _end(command, store, tracker, status, console)


def _earlier(store: Store, command: Command) -> sweeps.Parent | None:
    """The sweep to go on with."""
    asked = command.config.sweep.resume
    if asked == NEW:
        return None
    if asked is None:
        found = sweeps.last_of(store, command.origin)
        return None if found is None or found.status == "FINISHED" or found.alive else found
    return sweeps.parent(store, asked)


def _begin(command: Command, earlier: sweeps.Parent | None) -> AnyTracker:
    config = command.config
    settings = copy.deepcopy(config.tracking)
    settings.system_metrics = False  # its trials measure the machine
    tags = {
        sweeps.SPACE_TAG: json.dumps(command.space),
        sweeps.COMMAND_TAG: json.dumps([o for o in command.overrides if not _resumes(o)]),
        sweeps.FLAGS_TAG: json.dumps(command.flags),
        sweeps.ORIGIN_TAG: command.origin,
    }
    return tracking.start(
        settings,
        params=_params(config),
        tags=tags if earlier is None else {},
        run_name=config.tracking.run_name or _name(command),
        resume_run_id=earlier.run_id if earlier else None,
    )


def _arrange_pages(command: Command, store: Store, run_id: str) -> None:
    """Have MLflow's pages open with the metrics that the sweep is about."""
    from pipeline.sweep_report import objectives_of

    config = command.config
    params = [_param(config, key) for key in command.space]
    view = pages.view_tags(
        run_id,
        [param for param in params if param],
        config.objective.metric,
        objectives_of(command),
    )
    try:
        store.tag_experiment(run_id, view)
    except StoreError as error:  # the sweep is as good without
        complain(f"warning: MLflow's pages show it their own way: {error}")


def _param(config: DictConfig, key: str) -> str | None:
    """The param of runs that says what a swept key is: of ``optimizer`` it is its name."""
    value = OmegaConf.select(config, key)
    if not OmegaConf.is_config(value):
        return key
    return f"{key}.name" if OmegaConf.is_dict(value) and "name" in value else None


def _params(config: DictConfig) -> dict[str, Any]:
    return {
        "objective.metric": config.objective.metric,
        "objective.mode": config.objective.mode,
        "dataset.name": config.dataset.name,
        **{f"sweep.{key}": value for key, value in config.sweep.items() if key != "resume"},
    }


def _name(command: Command) -> str:
    """``sweep digits: units, seed``."""
    words = [o.removeprefix("+experiment=") for o in command.overrides if "experiment=" in o]
    keys = ", ".join(key.rpartition(".")[2] for key in command.space)
    return f"sweep {' '.join(words)}: {keys}"[:250].replace(" :", ":")


def _resumes(override: str) -> bool:
    return override.startswith("sweep.resume=")


@contextmanager
def _joined(command: Command, run_id: str) -> Iterator[None]:
    """Inside, trials that this process or one that it starts runs belong to the sweep."""
    said = {"id": run_id, "keys": list(command.space), "total": command.total}
    os.environ[SWEEP] = json.dumps(said)
    try:
        yield
    finally:
        del os.environ[SWEEP]


@contextmanager
def _reusing() -> Iterator[None]:
    """Inside, what one trial has decoded the next one takes, and what it has compiled too, where
    only numbers differ."""
    given = {name: os.environ.get(name) for name in (XLA_FLAGS, reused.FOLDER)}
    with tempfile.TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as folder:
        flags = f"{given[XLA_FLAGS] or ''} --tf_xla_persistent_cache_directory={folder}"
        os.environ.update({XLA_FLAGS: flags.strip(), reused.FOLDER: folder})
        try:
            yield
        finally:
            for name, value in given.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _launch(launch: Callable[[], None], store: Store, run_id: str) -> None:
    """Run the trials. A worker that is killed takes a launcher with it: then once more, which
    skips what is finished and goes on with what is not."""
    while True:
        try:
            launch()
            return
        except Exception as error:
            if type(error).__name__ not in BROKEN_POOL:
                raise
            dead = sweeps.reap(store, run_id)
            numbers = ", ".join(str(trial.number + 1) for trial in dead)
            complain(f"warning: a worker was killed in trial {numbers or '?'}; they are resumed")


# How it goes --------------------------------------------------------------------------------------


def read(outcomes: Path) -> list[dict[str, Any]]:
    """What the trials that have ended say, by their number."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(outcomes.glob("*.json"))]


@contextmanager
def _followed(tracker: AnyTracker, command: Command, outcomes: Path) -> Iterator[None]:
    """Inside, the parent's metrics say how far the sweep is."""
    over = threading.Event()

    def follow() -> None:
        known = 0
        while True:
            last = over.wait(LOOK_EVERY)
            found = read(outcomes)
            if len(found) > known:
                known = len(found)
                tracker.log(_progress(command, found), known)
            if last:
                return

    thread = threading.Thread(target=follow, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _progress(command: Command, found: Sequence[dict[str, Any]]) -> dict[str, float]:
    values = [o["value"] for o in found if o["value"] is not None]
    best = max if command.config.objective.mode == "max" else min
    counts = {
        "sweep/ended": len(found),
        "sweep/failed": sum(bool(o["message"]) for o in found),
        "sweep/pruned": sum(o["pruned"] for o in found),
    }
    return counts | ({f"best/{command.config.objective.metric}": best(values)} if values else {})


def _end(
    command: Command, store: Store, tracker: AnyTracker, status: str, console: Console
) -> None:
    from pipeline.sweep_report import report

    try:
        sweeps.reap(store, tracker.run_id)
        report(command, store, tracker, console)
    finally:
        tracker.finish(status)
        if tracker.warning:
            complain(f"warning: {tracker.warning}")
    if status != "FINISHED":
        console.line(f"go on with: python -m pipeline.train sweep.resume={tracker.run_id}")
    else:
        console.line("trials, figures and models: python -m pipeline.ui")
    console.line(f"sweep={tracker.run_id} status={status}")
