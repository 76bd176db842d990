"""Signals that come while the main thread is in a call that no handler of Python's interrupts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

# A thread gets its turn only when the main one lets go, which it does in the endless call.
PROGRAM = """\
import os, signal, sqlite3, sys, threading, time
from pipeline.signals import StopSignals
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
def send():
    go.wait()
    for name in sys.argv[1:]:
        os.kill(os.getpid(), getattr(signal, name))
        begun = time.monotonic()
        while signals._arrived < 1 and time.monotonic() < begun + 5:
            time.sleep(0.001)
    if "SIGUSR1" in sys.argv:
        time.sleep(1)
        print("still there", flush=True)
        os._exit(7)
signal.signal(signal.SIGUSR1, lambda *_: None)
sys.setswitchinterval(100)
go, connection = threading.Event(), sqlite3.connect(":memory:")
with StopSignals() as signals, signals.deferred():
    signals.at_once = lambda stopped: print(stopped, "at once", flush=True) is None
    threading.Thread(target=send, daemon=True).start()
    go.set()
    connection.execute(ENDLESS).fetchall()
"""


def _run(*names: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("second", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_second_one_ends_the_process_at_once(second: str, code: int) -> None:
    assert _run("SIGINT", second) == (code, f"stopped by {second} at once\n")


def test_other_signals_do_not_count() -> None:
    assert _run("SIGINT", "SIGUSR1") == (7, "still there\n")
