"""Whether a process trains a run: its lock, its pulse, and what the run's tag says.

The lock is the operating system's and goes with the process that holds it, however that ends. Not
every file system knows locks, and not every run's journal lies here, so two more signs are read:
the pulse, a file that the process rewrites every few seconds, and the tag ``process`` that a run
is created with. Where the signs differ, the run counts as alive.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

PROCESS_TAG = "process"
# Seconds without a beat after which a process of another machine counts as dead: sixty beats, and
# more than clocks differ.
STALE = 600.0
CLOCK = 2.0  # seconds by which a process may seem younger than what it wrote


@dataclass(frozen=True)
class Life:
    """Which process said that it lives, and when (seconds since 1970)."""

    pid: int
    host: str
    time: float

    @classmethod
    def of_this_process(cls) -> Life:
        return cls(os.getpid(), socket.gethostname(), time.time())

    @classmethod
    def read(cls, file: Path) -> Life | None:
        """What ``write`` left; ``None`` where there is no such file or a full disk spoilt it."""
        try:
            said = json.loads(file.read_text("utf-8"))
            return cls(int(said["pid"]), str(said["host"]), float(said["time"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, file: Path) -> None:
        """Raises OSError; what stood in ``file`` then stands there still."""
        fresh = file.with_suffix(".alive.new")
        fresh.write_text(json.dumps(vars(self)), "utf-8")
        os.replace(fresh, file)

    def ended(self) -> bool:
        """Whether the process is gone for sure, or another machine's has been silent for long."""
        if self.host != socket.gethostname():
            return time.time() - self.time > STALE
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return process.create_time() > self.time + CLOCK  # the number was given again
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:  # a process of another user
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def tag() -> str:
    """The tag that says which process a run was created, or last taken up, by: ``4711 on host``."""
    life = Life.of_this_process()
    return f"{life.pid} on {life.host}"


def tagged(text: str, since: float) -> Life | None:
    """The process that ``tag`` named at ``since``; ``None`` for another text."""
    pid, _, host = text.partition(" on ")
    return Life(int(pid), host, since) if pid.isdigit() and host else None


def lock(journals: Path, run_id: str) -> FileLock:
    """The lock that a process holds while it writes a run's journal."""
    return FileLock(journals / f"{run_id}.lock", timeout=0.1)


def pulse(journals: Path, run_id: str) -> Path:
    """The file that a process rewrites while it trains a run."""
    return journals / f"{run_id}.alive"


def locked(journals: Path, run_id: str) -> bool:
    """Whether a process holds the run's lock. Writes nothing; holds the lock for a moment."""
    found = lock(journals, run_id)
    if not Path(found.lock_file).exists():
        return False
    try:
        found.acquire(timeout=0)
    except Timeout:
        return True
    found.release()
    return False


def trained(journals: Path, run_id: str) -> bool:
    """Whether a process trains the run, as far as the folder of its journal shows."""
    life = Life.read(pulse(journals, run_id))
    return locked(journals, run_id) or (life is not None and not life.ended())
