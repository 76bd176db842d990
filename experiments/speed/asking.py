"""Contenders in processes of their own, of which one at a time may run."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
LONGEST = 600.0  # seconds for one answer


class ContenderError(Exception):
    """A contender cannot go on; the text says why."""


class Process:
    """The process of one contender. It is stopped, threads and all, unless it is asked something:
    what it has not done by the end of a block it does at the beginning of its next one.

    Args:
        folder: for the examples, its files, and what it prints (``<name>.log``).
    """

    def __init__(self, name: str, replicas: int, folder: Path) -> None:
        self._log = folder / f"{name}-{replicas}.log"
        own = folder / f"{name}-{replicas}"
        own.mkdir(exist_ok=True)
        with open(self._log, "a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), name, str(replicas), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=own,
                process_group=0,  # a Ctrl-C is ours alone
            )

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Let it run until it has answered. Raises ``ContenderError`` where it cannot do it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"what": what, **details}).encode() + b"\n")
            process.stdin.flush()
        if not select.select([process.stdout], [], [], LONGEST)[0]:
            self.kill()
            raise ContenderError(f"no answer in {LONGEST:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise ContenderError(f"its process ended with {process.wait()}: {self._said()}")
        self._signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def end(self) -> None:
        """Let it end by itself."""
        self._signal(signal.SIGCONT)
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """At once."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _said(self) -> str:
        return (self._log.read_text(errors="replace").strip().splitlines() or ["nothing said"])[-1]
