"""Ctrl-C and SIGTERM. While training they ask for a stop at the next boundary; before and after
it, and when they come again, they stop at once.

Python runs a handler when a call into TensorFlow has returned, and once for all signals of a kind
that came meanwhile. But it writes a byte for each into a pipe when it comes; a thread reads that,
counts, and ends the process where the main thread cannot.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ANSWER = 0.5  # seconds that the main thread has to answer the second signal

_any = threading.Event()


def any_arrived() -> bool:
    """Whether this process was ever asked to stop."""
    return _any.is_set()


class Stopped(BaseException):
    """The process was asked to stop. Not an ``Exception``: nothing on the way should swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell reports a process that a signal ended: 130, 143."""
        return 128 + self.number


class StopSignals:
    """Catches the signals inside ``with``. In threads other than the main one it never stops.

    ``at_once``: called in another thread where a signal came again and the main thread does not
    answer, being in a long call. When it has returned, the process ends, unless it says ``False``.
    """

    CAUGHT = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self.at_once: Callable[[Stopped], bool] | None = None
        self._arrived = 0
        self._answered = threading.Event()
        self._deferring = False
        self._ignoring = False
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._wakeup_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
            self._watcher.start()
            self._before = {number: signal.signal(number, self._handle) for number in self.CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._answered.set()
            os.close(self._pipe[1])  # which ends the watcher
            self._watcher.join()
            os.close(self._pipe[0])

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, the first signal only sets ``received``: the loop looks at it at a boundary."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Inside, no signal interrupts: what ends a run must not be cut off by an impatient second
        one, which ``at_once`` answers."""
        self._ignoring = True
        try:
            yield
        finally:
            self._ignoring = False

    def answer(self) -> None:
        """Stop, where a signal has come that was deferred."""
        if self.received is not None:
            self._answered.set()
            raise Stopped(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        _any.set()
        if self._ignoring:
            return
        again = self.received is not None or self._arrived > 1
        self.received = number
        if again or not self._deferring:
            self._answered.set()
            raise Stopped(number)

    def _watch(self) -> None:
        assert self._pipe is not None
        while numbers := os.read(self._pipe[0], 4096):
            caught = [number for number in numbers if number in self.CAUGHT]
            self._arrived += len(caught)
            if caught:
                _any.set()
            again = caught and self._arrived > 1
            if again and self.at_once and not self._answered.wait(ANSWER):
                stopped = Stopped(caught[-1])
                ending = True
                try:
                    ending = self.at_once(stopped)
                finally:
                    if ending:
                        os._exit(stopped.exit_code)
