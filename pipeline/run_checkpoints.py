"""The checkpoints of one run, on disk and in MLflow: which stay, and which one it goes on from.

On disk stay the last, the one before it, and for each of the two the best that it knows of, so
that one damaged folder costs some steps and nothing else. MLflow holds the last and the best.
They are written and published in a thread, from a copy of the variables, while training goes on,
and no more often than ``trainer.checkpoint_seconds`` says: a better one waits in memory meanwhile.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.assembly import Assembly
from pipeline.background import Background
from pipeline.console import Console, complain
from pipeline.errors import StoreError
from pipeline.strategy import device_names
from pipeline.tracking.tracker import AnyTracker, Tracker
from pipeline.training.checkpoints import Checkpoints, Manifest, read_manifest
from pipeline.training.kept import KeptState
from pipeline.training.progress import Progress
from pipeline.training.snapshot import Snapshot


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that may be usable. ``find`` gives its folder, or raises ``StoreError``."""

    step: int
    published: bool  # in MLflow, else on disk
    find: Callable[[], Path]


@dataclass(frozen=True)
class Taken:
    """A state that is to be saved. ``snapshot``: None, where it is the present one."""

    metrics: dict[str, float]
    progress: Progress
    ranking: dict[str, Any]
    best: bool
    snapshot: Snapshot | None

    @property
    def step(self) -> int:
        return int(self.ranking["step"])


class RunCheckpoints:
    """Saves, keeps, finds and restores the checkpoints of the run that ``tracker`` records."""

    def __init__(self, tracker: AnyTracker, parts: Assembly, console: Console) -> None:
        self.tracker = tracker
        self.parts = parts
        self.console = console
        self.devices = device_names(parts.strategy)
        self.on_disk = Checkpoints(
            tracker.folder / "checkpoints", parts.checkpointed(), self.devices
        )
        self._needed: list[set[int]] = []  # steps that the last, and the one before it, need
        self._warned: set[str] = set()
        self._unsaved: str | None = None
        self._writer = Background("checkpoints")
        self._seconds = parts.config.trainer.checkpoint_seconds
        self._saved_at = time.monotonic()
        self._held: Taken | None = None  # the best so far, while it is not on disk
        self._snapshots: list[Snapshot] = []  # that are free
        self._closed = False

    def begin(self, progress: Progress) -> None:
        """Save the initial state, so that a run always has a checkpoint; raises ``StoreError``."""
        folder = self.on_disk.save(0, {}, progress.state())
        self._publish(folder, self.tracker.ranking(0, {}), progress, best=False)

    def save(
        self,
        step: int,
        metrics: dict[str, float],
        progress: dict[str, Any],
        *,
        best: bool,
        due: bool = False,
        kept: bool = False,
    ) -> None:
        """Save the present state, beside training where that can be.

        Args:
            best: it is the best so far.
            due: save it in any case. Otherwise, where the last one is of just now or is still
                being written, the best is held in memory, and any other left out.
            kept: save the state that the trainer has kept instead.
        """
        recent = self._writer.busy or time.monotonic() < self._saved_at + self._seconds
        early = recent and self._seconds > 0  # with 0 every one is saved, and waited for
        if early and not due and not best:
            return
        # What is due in any case is the end: nobody trains on meanwhile.
        snapshot = None if due else self._snapshot(self.parts.trainer.kept if kept else None)
        ranking = self.tracker.ranking(step, metrics)
        taken = Taken(metrics, Progress(**progress), ranking, best, snapshot)
        if best:  # what is held is no longer that
            self._release(self._held)
            self._held = None
        if early and not due and snapshot is not None:
            self._held = taken
            return
        self._start([self._held, taken])

    def wait(self) -> None:
        """Until what is being saved is."""
        self._writer.wait()

    def close(self, wait: bool) -> None:
        """Publish nothing from now on; ``wait``: but what is being saved and what is held."""
        if wait:
            with suppress(Exception):  # the run has failed of something else already
                self._start([self._held])
                self.wait()
        self._closed = True

    def _start(self, states: list[Taken | None]) -> None:
        self.wait()
        self._held = None
        taken = [state for state in states if state is not None]
        self._writer.start(partial(self._write, taken))
        if any(state.snapshot is None for state in taken):  # training would change it
            self.wait()

    def _snapshot(self, kept: KeptState | None) -> Snapshot | None:
        snapshot = self._snapshots.pop() if self._snapshots else self.on_disk.snapshot()
        if snapshot is not None:
            snapshot.take(kept)
        return snapshot

    def _release(self, taken: Taken | None) -> None:
        if taken is not None and taken.snapshot is not None:
            self._snapshots.append(taken.snapshot)

    def _write(self, states: list[Taken]) -> None:
        """Write what was taken and publish it. Where the disk is full, warn and go on without."""
        for taken in states:
            try:
                folder = self.on_disk.save(
                    taken.step, taken.metrics, taken.progress.state(), taken.snapshot
                )
            except StoreError as error:
                self._unsaved = f"{error} ({self.on_disk.folder})"
                kind = str(error).partition(": ")[2]
                if kind not in self._warned:  # once, not at every boundary
                    self._warned.add(kind)
                    complain(f"warning: {self._unsaved}. Training goes on; {self._last()}.")
            else:
                self._unsaved = None
                if not self._closed:
                    self._publish(folder, taken.ranking, taken.progress, taken.best)
            finally:
                self._release(taken)
        self._saved_at = time.monotonic()

    def tell_unsaved(self) -> None:
        """At the end of training: wait for the last save, and say it clearly where it failed."""
        self.wait()
        if self._unsaved:
            complain(
                f"warning: the state that training ended with is NOT saved: {self._unsaved}; "
                f"{self._last()}."
            )
            self.tracker.tags({"checkpoint.unsaved": self._unsaved})

    def restore(self) -> Progress:
        """Go on from the newest usable checkpoint. What is wrong with newer ones is said.

        Raises:
            StoreError: none is usable, neither on disk nor in MLflow.
        """
        assert isinstance(self.tracker, Tracker), "tracking=off has nothing to go on from"
        expected = self.tracker.last_checkpoint
        candidates = self._candidates()
        unusable = []
        if expected is not None and expected > max((c.step for c in candidates), default=-1):
            unusable.append(f"checkpoint {self.on_disk.path(expected).name}: it is missing")
        for candidate in candidates:
            try:
                folder = candidate.find()
                manifest = self.on_disk.restore(folder)
                break
            except StoreError as error:
                unusable.append(str(error))
        else:
            raise StoreError(
                f"run {self.tracker.run_id} cannot go on: it has no usable checkpoint in "
                f"{self.on_disk.folder} nor in {self.tracker.store.location.uri}"
                + "".join(f"\n  {text}" for text in unusable)
                + "\nStart a new run."
            )
        progress, step = Progress(**manifest.progress), manifest.step
        self.on_disk.keep(s for s in self.on_disk.steps() if s <= step)  # no damaged newer ones
        self._needed = [_needed(step, progress)]
        if unusable:
            text = f"{'; '.join(unusable)}. Training goes on from step {step}"
            complain(f"warning: {text}, from {folder.name}.")
            self.tracker.tags({f"fallback/{step}": text})
        if unusable or (not candidate.published and step != expected):
            # What is damaged must not stay published as the last or the best. And a process may
            # be killed between writing a checkpoint and publishing it.
            self._publish_again(manifest, progress)
        self._tell_devices(manifest)
        return progress

    def restore_best(self, progress: Progress) -> dict[str, float]:
        """Put the best checkpoint's weights in the model; the last stay where none is best.

        Returns:
            The metrics known of these weights.
        """
        here = self.parts.trainer.current_step
        if progress.best is None or progress.best_step == here:
            return progress.latest
        unusable = []
        for candidates in (self._on_disk, self._published):  # MLflow only where that is needed
            try:
                for candidate in candidates():
                    if candidate.step == progress.best_step:
                        return self.on_disk.restore(candidate.find()).metrics
            except StoreError as error:
                unusable.append(str(error))
        text = (
            f"the best checkpoint, of step {progress.best_step}, cannot be used "
            f"({'; '.join(unusable) or 'it is missing'}): the test scores and the model are of the "
            f"last step, {here}"
        )
        complain(f"warning: {text}.")
        self.tracker.tags({"best.unusable": text})
        return progress.latest

    def _publish(
        self, folder: Path, ranking: dict[str, Any], progress: Progress, best: bool
    ) -> None:
        self.tracker.checkpoint(folder, ranking, best)
        self._needed = [*self._needed, _needed(ranking["step"], progress)][-2:]
        self.on_disk.keep(set().union(*self._needed))

    def _candidates(self) -> list[Candidate]:
        """Every checkpoint there is, the newest first, on disk before MLflow."""
        found = self._on_disk() + self._published()
        return sorted(found, key=lambda candidate: (-candidate.step, candidate.published))

    def _on_disk(self) -> list[Candidate]:
        return [Candidate(s, False, partial(self.on_disk.path, s)) for s in self.on_disk.steps()]

    def _published(self) -> list[Candidate]:
        return [
            Candidate(c.step, True, partial(self._fetch, c.model_id, c.step))
            for c in self.tracker.published()
        ]

    def _fetch(self, model_id: str, step: int) -> Path:
        """Copy a published checkpoint to the disk; ``StoreError`` where it is damaged."""
        assert isinstance(self.tracker, Tracker)
        name, beside = self.on_disk.path(step).name, self.on_disk.unfinished(step)
        try:
            folder = self.tracker.models.download(model_id, beside / name)
            read_manifest(folder)
            return self.on_disk.adopt(folder, step)
        except StoreError as error:
            raise StoreError(f"{error} (in MLflow, {model_id})") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _publish_again(self, manifest: Manifest, progress: Progress) -> None:
        best = self.on_disk.path(progress.best_step)
        if progress.best is not None and progress.best_step != manifest.step and best.exists():
            try:
                known = read_manifest(best)
            except StoreError:
                pass  # MLflow may have it whole; restore_best looks for it there and says so
            else:
                ranking = self.tracker.ranking(known.step, known.metrics)
                self.tracker.checkpoint(best, ranking, best=True)
        self.tracker.checkpoint(
            self.on_disk.path(manifest.step),
            self.tracker.ranking(manifest.step, manifest.metrics),
            best=progress.best is not None and progress.best_step == manifest.step,
        )

    def _tell_devices(self, manifest: Manifest) -> None:
        if not manifest.devices or manifest.devices == self.devices:
            return
        before, now = ", ".join(manifest.devices), ", ".join(self.devices)
        text = f"from step {manifest.step} on {now} instead of {before}: equal to rounding only"
        if len(manifest.devices) != len(self.devices):
            text += "; layers that draw random numbers (dropout, noise) draw others"
        self.console.line(f"resumed {text}")
        self.tracker.tags({f"resumed/devices/{manifest.step}": text})

    def _last(self) -> str:
        steps = self.on_disk.steps()
        return f"the last checkpoint is of step {steps[0]}" if steps else "there is no checkpoint"


def _needed(step: int, progress: Progress) -> set[int]:
    """The checkpoints without which a run cannot go on from ``step`` to its end."""
    return {step} if progress.best is None else {step, progress.best_step}
