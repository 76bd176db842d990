"""One task at a time in a thread of its own, beside the main one."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs what it is given. A process that ends does not wait for it: call ``wait``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, task: Callable[[], None]) -> None:
        """Wait for the task before, and begin this one."""
        self.wait()
        self._thread = threading.Thread(
            target=self._run, args=(task,), name=self._name, daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Until the task has ended. Raises what it has raised, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # whoever waits must learn of it
            self._error = error
