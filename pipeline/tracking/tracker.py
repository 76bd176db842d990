"""What a training run talks to. Nothing here waits for MLflow but ``start`` and ``finish``.

``Tracker`` writes to the journal; ``delivery.py`` brings it to MLflow. ``off.py`` has the tracker
with the same words that keeps nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking import life
from pipeline.tracking.location import options
from pipeline.tracking.names import metric_name, param_text
from pipeline.tracking.off import NullTracker

if TYPE_CHECKING:
    import numpy as np

    from pipeline.tracking.journal import Record
    from pipeline.tracking.models import Models, PublishedCheckpoint
    from pipeline.tracking.store import Store

PATIENCE = 30.0  # seconds without any success after which ``finish`` leaves the rest behind
ENDED = ("FINISHED", "FAILED", "KILLED")


def start(
    config: Tracking,
    *,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    run_name: str | None = None,
    resume_run_id: str | None = None,
) -> AnyTracker:
    """Begin a run, or go on with ``resume_run_id`` (an id or an unambiguous beginning of one).

    Args:
        params: the flat config, dotted keys to values.
        tags: set on the run beside ``config.tags``.

    Raises:
        StoreError: the store cannot be used, the run is not there, or another process trains it.
    """
    if config.kind == "off":
        return NullTracker(run_name)
    from pipeline.tracking.store import Store

    store = Store.open(config)
    if resume_run_id is None:
        run_id = store.create_run(
            config.experiment, run_name or config.run_name, {**config.tags, **tags}
        )
        tracker = Tracker(store, run_id, config.system_metrics)
        tracker.params(params)
    else:
        run_id = store.find(resume_run_id)
        tracker = Tracker(store, run_id, config.system_metrics, resumed=True)
        tracker.tags({life.PROCESS_TAG: life.tag(), **config.tags, **tags})
        tracker.params(params)
    return tracker


class Tracker:
    """One run in MLflow, from this process. Not for several processes at once: a lock sees to it.

    ``folder`` is a local working folder for checkpoints in progress; it is removed when the run
    has finished and everything has been delivered.
    """

    def __init__(
        self, store: Store, run_id: str, system_metrics: bool, resumed: bool = False
    ) -> None:
        from pipeline.tracking.delivery import Delivery
        from pipeline.tracking.journal import Journal
        from pipeline.tracking.pulse import Pulse

        self.run_id = run_id
        self.store = store
        self.folder = store.location.work / run_id
        self._outbox = self.folder / "outbox"
        self._outbox.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire()
        self._journal = Journal(store.location.journals, run_id)
        self._delivery = Delivery(store, run_id, self._journal)
        self._recorded_params: dict[str, str] = {}
        self._dataset: tuple[str, str] | None = None
        self._finishing = threading.Lock()
        self._finished: int | None = None
        self._problems: list[str] = []
        self._rest = ""
        sample = self._take_up() if resumed else 0
        self._delivery.start()
        self._pulse = Pulse(
            life.pulse(store.location.journals, run_id),
            self.log if system_metrics else None,
            sample,
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics at an optimizer step. A point that was recorded before is dropped.

        Characters that MLflow does not take in a name become ``_``.
        """
        self._journal.log({metric_name(k): v for k, v in metrics.items()}, int(step))

    def params(self, flat: Mapping[str, Any]) -> None:
        """Record config values. MLflow never changes a param: a changed one becomes a tag.

        A value that is longer than MLflow's limit is cut and marked ``cut/<key>``; the composed
        config, an artifact, has it whole.
        """
        from pipeline.tracking.store import PARAM_LENGTH

        fresh, tags = {}, {}
        for key, value in flat.items():
            name, text = metric_name(key), param_text(value)
            if len(text) > PARAM_LENGTH:
                tags[f"cut/{name}"] = f"{len(text)} characters; whole in the config artifact"
                text = text[:PARAM_LENGTH]
            known = self._recorded_params.get(name)
            if known is None:
                fresh[name] = text
            elif known != text:
                tags[f"resumed/{name}"] = text
        if fresh:
            self._journal.append({"params": fresh})
        self.tags(tags)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags on the run."""
        if tags:
            texts = {metric_name(key): str(value) for key, value in tags.items()}
            self._journal.append({"tags": texts})

    def text(self, text: str, path: str) -> None:
        """Keep ``text`` as the artifact ``path``.

        Raises:
            StoreError: the disk is full; nothing else of the run is lost.
        """
        with self._aside(path) as file:
            file.write_text(text, "utf-8")
        self._send(file, str(Path(path).parent))

    def file(self, path: Path, artifact_path: str | None = None) -> None:
        """Keep a copy of a file or folder, as it is now, below ``artifact_path``.

        Raises:
            StoreError: it cannot be copied, for a full disk say.
        """
        with self._aside(str(path)) as copy:
            if Path(path).is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copy2(path, copy)
        self._send(copy, artifact_path or "")

    def dataset(
        self, name: str, digest: str, source: Mapping[str, str], context: str = "training"
    ) -> None:
        """Record a dataset as MLflow input; checkpoints from now on say they were measured on it.

        Args:
            digest: of the decoded content. MLflow keeps its beginning, the tag ``digest/<context>``
                all of it.
        """
        self._dataset = (name, digest)
        record = {"name": name, "digest": digest, "source": dict(source), "context": context}
        self._journal.append({"dataset": record})
        self.tags({f"digest/{context}": digest})

    def ranking(self, step: int, metrics: Mapping[str, float]) -> Record:
        """What a checkpoint is ranked by: the run's own points, so that MLflow stores each once.

        To be taken before a later step is logged, for ``checkpoint`` then or later.
        """
        self.log(metrics, step)
        points = []
        for key in map(metric_name, metrics):
            found = self._journal.point(key, step)
            if found is not None:
                points.append([key, str(found[0]), found[1]])
        return {"step": int(step), "points": points, "dataset": self._dataset}

    def checkpoint(self, folder: Path, ranking: Record, best: bool) -> None:
        """Publish a checkpoint as the last and, where ``best``, the best one.

        Its files are linked, not copied, so the caller may remove ``folder`` at once, but must not
        write into them. One that a newer replaces before it was sent is never sent. Where the disk
        is full the checkpoint is left out, which ``warning`` will say, and training goes on.
        """
        try:
            with self._aside("checkpoint") as copy:
                shutil.copytree(folder, copy, copy_function=_link)
        except StoreError as error:
            self._problems.append(f"the checkpoint of step {ranking['step']}: {error}")
            return
        self._journal.flush()
        record = {**ranking, "folder": self._below(copy), "best": bool(best)}
        self._delivery.checkpoint({"checkpoint": record}, bool(best))

    def model(
        self,
        module: Any,
        name: str,
        example: Any,
        outputs: np.ndarray,
        pip_requirements: Sequence[str],
        step: int,
        metrics: Mapping[str, float],
    ) -> None:
        """Publish the final model, a ``tf.Module`` of the kind ``mlflow.tensorflow`` takes.

        Its ``__call__`` is a ``tf.function`` with an input signature. Saved here and now, sent in
        the background.

        Args:
            example: a few inputs, or several such by name; outputs: what the model makes of them.
                Both fix the signature, with a free first dimension.
        """
        from pipeline.tracking.packaging import save_model

        folder = self._outbox / uuid.uuid4().hex / "model"
        save_model(module, folder, example, outputs, pip_requirements)
        record = {**self.ranking(step, metrics), "folder": self._below(folder), "name": name}
        self._journal.append({"model": record})

    def finish(self, status: str, error: str | None = None, longest: float = math.inf) -> int:
        """Deliver what is left, keep ``error`` as ``traceback.txt``, and set the run's status.

        Args:
            longest: seconds that it may take where the store answers.

        Returns:
            How many points and records could not be delivered; they stay in the journal. Only the
            first call does anything.
        """
        if status not in ENDED:
            raise ValueError(f"status={status!r}: expected one of {', '.join(ENDED)}.")
        # Two threads may, when signals come.
        if not self._finishing.acquire(timeout=min(longest, threading.TIMEOUT_MAX)):
            return self._journal.undelivered()
        try:
            if self._finished is None:
                self._finished = self._finish(status, error, longest)
        finally:
            self._finishing.release()
        return self._finished

    def _finish(self, status: str, error: str | None, longest: float) -> int:
        if error:
            try:
                self.text(error, "traceback.txt")
            except StoreError:  # what went wrong may be just that, and must be told all the same
                self.tags({"error": error.strip().splitlines()[-1]})
        self._pulse.stop()
        self._journal.append({"status": status, "time": int(time.time() * 1000)})
        left = self._delivery.finish(PATIENCE, longest)
        if left:
            self._rest = self._spill()
        else:
            shutil.rmtree(self.folder if status == "FINISHED" else self._outbox, True)
        life.pulse(self.store.location.journals, self.run_id).unlink(missing_ok=True)
        self._lock.release()
        return left

    def published(self) -> list[PublishedCheckpoint]:
        """The checkpoints that MLflow holds whole, by step; ``StoreError``: it does not answer."""
        try:
            return self.models.checkpoints()
        except Exception as error:  # each kind of store raises its own
            reason = str(error).strip().split("\n")[0][:200]
            uri = self.store.location.uri
            raise StoreError(f"{uri} cannot be asked for checkpoints: {reason}") from error

    @property
    def models(self) -> Models:
        """The run's checkpoints and models in MLflow."""
        return self._delivery.models

    @property
    def last_checkpoint(self) -> int | None:
        """The step of the checkpoint that an earlier process published last from here."""
        return self._journal.last_checkpoint

    @property
    def problems(self) -> list[str]:
        """What MLflow refused for good, and why the store did not answer, for the person."""
        failing = self._delivery.failing_since is not None
        refused = [*self._problems, *self._delivery.refused]
        return [*refused, *([self._delivery.last_error] if failing else [])]

    @property
    def warning(self) -> str | None:
        """After ``finish``: what MLflow does not have, why, and how it gets it; else None."""
        problems = "; ".join(self.problems)
        if not self._finished:
            return f"run {self.run_id} is without {problems}" if problems else None
        location = self.store.location
        doctor = " ".join(["python -m pipeline.doctor --apply", *options(location)])
        return (
            f"{self._finished:,} points and records of run {self.run_id} have not reached "
            f"{location.uri} ({problems or 'it did not answer in time'}). They are kept in "
            f"{self._journal.path}{self._rest}; when the store is back, deliver them with: {doctor}"
        )

    def _spill(self) -> str:
        """Save the lines for which the journal's disk is too full. Returns what to do with them."""
        try:
            rest = self._journal.spill(Path(tempfile.gettempdir()))
        except OSError as error:
            return f", but for the last, which fit on no disk ({error.strerror}) and are lost"
        return f", whose disk is full: first run cat {rest} >> {self._journal.path}" if rest else ""

    @contextlib.contextmanager
    def _aside(self, name: str) -> Iterator[Path]:
        """A place in the outbox for what is to be sent under ``name``."""
        folder = self._outbox / uuid.uuid4().hex
        try:
            folder.mkdir()
            yield folder / Path(name).name
        except (OSError, shutil.Error) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreError(
                f"{name} cannot be put aside for the store in {self._outbox}: "
                f"{getattr(error, 'strerror', None) or error}. Make room there; the run goes on "
                f"with resume={self.run_id}"
            ) from error

    def _send(self, file: Path, artifact_path: str) -> None:
        to = "" if artifact_path == "." else artifact_path
        self._journal.append({"file": self._below(file), "to": to})

    def _below(self, path: Path) -> str:
        """Relative to the root, so that a project folder that was moved can still deliver."""
        return path.relative_to(self.store.location.root).as_posix()

    def _acquire(self) -> FileLock:
        journals = self.store.location.journals
        lock = life.lock(journals, self.run_id)
        try:
            lock.acquire()
        except Timeout:
            who = life.Life.read(life.pulse(journals, self.run_id)) or "another process"
            raise StoreError(
                f"Run {self.run_id} is still being trained by {who}. Stop that one first."
            ) from None
        return lock

    def _take_up(self) -> int:
        """Learn what an earlier process has recorded. Returns the number of the next sample."""
        self._journal.remember()
        recorded = self.store.recorded(self.run_id)
        self._recorded_params = recorded.params
        waiting = {key for record, _ in self._journal.tail() for key in record.get("params", {})}
        self._recorded_params |= dict.fromkeys(waiting - set(recorded.params), "")
        self._delivery.recall()
        self._delivery.models.sweep()
        self.store.set_status(self.run_id, "RUNNING")
        # Once more in its place, after an end that still waits.
        self._journal.append({"status": "RUNNING", "time": int(time.time() * 1000)})
        return self._journal.next_step("system/")


AnyTracker = Tracker | NullTracker


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
