"""What a language model writes while it is trained: ``samples/step-<n>.txt`` of its run."""

from __future__ import annotations

import time

from pipeline.assembly import Assembly
from pipeline.console import Console, complain
from pipeline.errors import StoreError
from pipeline.showing import Writer
from pipeline.tracking.tracker import AnyTracker
from pipeline.training.tasks import LanguageModel

TEXTS, LENGTH = 1, 100  # written at once, and tokens drawn for each
LEAST = 10.0  # seconds from one to the next
SHARE = 0.05  # of the time that samples may take
SHOWN = 80  # characters on the console


class Sampler:
    """Writes a text at an evaluation, but not at each: ``SHARE`` of the time at most goes into it.

    The first has one, and the last. Nothing that is trained changes.
    """

    def __init__(self, parts: Assembly, tracker: AnyTracker, console: Console) -> None:
        self.tracker = tracker
        self.console = console
        self._write = Writer(parts, texts=TEXTS, length=LENGTH)
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether enough time has gone."""
        return time.monotonic() >= self._next

    def take(self, step: int) -> None:
        """Write with the weights as they are, which were evaluated at ``step``."""
        begun = time.monotonic()
        text = self._write(step)
        try:
            self.tracker.text(text, f"samples/step-{step}.txt")
        except StoreError as error:  # the disk is full; what is trained does not need the text
            complain(f"warning: {error}")
        self.console.said(f"step {step} writes: {' '.join(text.split())[:SHOWN]}")
        took = time.monotonic() - begun
        self._next = begun + max(LEAST, took / SHARE)


def sampler(parts: Assembly, tracker: AnyTracker, console: Console) -> Sampler | None:
    """Of a language model whose tokens can be made text again; None for any other."""
    if not isinstance(parts.task, LanguageModel) or parts.data.decode is None:
        return None
    return Sampler(parts, tracker, console)
