"""Ctrl-C and SIGTERM. While training they ask for a stop at the next boundary; before and after
it, and when they come again, they stop at once.

Python runs a handler when a call into TensorFlow has returned, and once for all signals of a kind
that came meanwhile. How many came is read from the pipe that it writes one byte for each to.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any


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
    """Catches the signals inside ``with``. In threads other than the main one it never stops."""

    CAUGHT = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._deferring = False
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._wakeup_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._before = {number: signal.signal(number, self._handle) for number in self.CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            for end in self._pipe:
                os.close(end)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, the first signal only sets ``received``: the loop looks at it at a boundary."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None or self._arrived() > 1
        self.received = number
        if again or not self._deferring:
            raise Stopped(number)

    def _arrived(self) -> int:
        """How many of the signals have come since the last look."""
        numbers = b""
        with suppress(BlockingIOError):  # nothing to read
            numbers = os.read(self._pipe[0], 4096) if self._pipe else b""
        return sum(number in self.CAUGHT for number in numbers)
