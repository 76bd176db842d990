"""A process for each trial, forked from one that has imported what takes seconds to import.

So a trial begins as fast as in the process of the sweep, and leaves nothing behind: not the graphs
and compiled programs, which TensorFlow never frees, nor its choice of devices, nor, if it is
killed, more than itself to begin again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from pipeline import signals
from pipeline.console import complain
from pipeline.errors import TrainingError, UserError

STOPPED = 128  # exit codes beyond it name the signal that a process has answered
_PRELOADED = "pipeline.preloaded"


class Killed(Exception):
    """A trial's process ended without a word, by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"its process was killed by {signal.Signals(number).name}")


class Fault(TrainingError):
    """Not a user's: its traceback has been shown."""


def prepare() -> None:
    """Start the process that trials are forked from, which imports while this one goes on."""
    multiprocessing.set_start_method("forkserver", force=True)  # joblib has set one of its own
    multiprocessing.set_forkserver_preload([_PRELOADED])
    forkserver.ensure_running()


def call(task: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``task(*arguments)`` of a process of its own; signals are passed on to it.

    Raises:
        UserError: as ``task`` did; any other error as ``Fault``.
        Killed: the process was.
        SystemExit: the process was stopped by a signal that it has answered.
    """
    here, there = multiprocessing.Pipe(duplex=False)
    try:
        process = _start(there, task, arguments)
    except (EOFError, ConnectionError):  # the process that forks has died: another takes its place
        process = _start(there, task, arguments)
    there.close()
    (kind, value), stopped = _wait(process, here)
    code = process.exitcode or 0
    here.close()
    if kind == "result" and stopped is None:
        return value
    if isinstance(value, UserError):
        raise value
    if code < 0:
        raise Killed(-code)
    if stopped is not None or code > STOPPED:
        raise SystemExit(max(code, STOPPED + (stopped or 0)))
    raise TrainingError(f"its process ended with code {code}; standard error says why")


def _start(there: Connection, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    prepare()
    process = multiprocessing.Process(
        target=_answer, args=(there, dict(os.environ), task, arguments), name="trial"
    )
    process.start()
    return process


def _wait(process: Any, here: Connection) -> tuple[tuple[str, Any], int | None]:
    """Until the process has ended. Returns its answer, and the signal that came meanwhile and was
    passed on."""
    answer: tuple[str, Any] | None = None
    stopped: int | None = None
    while answer is None or process.is_alive():
        try:
            if answer is None:
                answer = _received(here)  # while it lives: a pipe does not hold a long one
            process.join()
        except (signals.Stopped, KeyboardInterrupt) as error:
            stopped = getattr(error, "number", signal.SIGINT)
            if process.is_alive():  # it is in a group of its own, which a terminal leaves alone
                os.kill(process.pid, stopped)
    return answer, stopped


def _received(here: Connection) -> tuple[str, Any]:
    """What comes through the pipe until its other end is closed."""
    try:
        return here.recv()
    except EOFError:
        return "nothing", None


def _answer(
    connection: Connection,
    environment: Mapping[str, str],
    task: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """What the process does."""
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        connection.send(("result", task(*arguments)))
    except UserError as error:
        connection.send(("error", error))
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        own = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, own)
        complain(f"error: stopped by {said}; the traceback above says where")
        connection.send(("error", Fault(said)))


def _end_with_parent() -> None:
    """Where the process that wants the answer is gone, stop as for SIGTERM, which saves."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    if not signals.any_arrived():  # a second one would stop without saving
        os.kill(os.getpid(), signal.SIGTERM)
