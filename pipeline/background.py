"""One task at a time in a thread of its own, beside the main one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

TURN = 1e-4  # seconds that a thread keeps Python to itself while another one wants it; usually 5e-3


class Background:
    """Runs what it is given. A process that ends does not wait for it: call ``wait``.

    Args:
        often: the task asks for Python's lock for short moments, a thousand times: threads take
            turns more often while it runs.
    """

    def __init__(self, name: str, often: bool = False) -> None:
        self._name = name
        self._often = often
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, task: Callable[[], object]) -> None:
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

    def _run(self, task: Callable[[], object]) -> None:
        usual = sys.getswitchinterval()
        try:
            if self._often:
                sys.setswitchinterval(TURN)
            task()
        except BaseException as error:  # whoever waits must learn of it
            self._error = error
        finally:
            if self._often:
                sys.setswitchinterval(usual)
