"""One TensorFlow process for all tests: four logical CPU devices, data in a folder of its own."""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Datasets are prepared once a session, away from the user's own."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    os.environ["TFDS_DATA_DIR"] = folder
    return folder


WITHOUT_TENSORFLOW = {
    "analysis",
    "config",
    "docs",
    "test_architecture.py",
    "test_background.py",
    "test_signals.py",
    "test_worktree.py",
    "tracking",
}


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Several processes for the suite; this one where a person runs some tests of it.

    Each process starts TensorFlow once, which takes longer than some tests, and 1 GB of memory.
    """
    chosen = config.args != config.getini("testpaths") or config.option.keyword
    return 0 if chosen else min(4, len(os.sched_getaffinity(0)))


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is exhaustive is slow as well, so that ``-m "not slow"`` leaves it out."""
    if item.get_closest_marker("exhaustive"):
        item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Four logical CPU devices, made before any test computes: later they cannot be added."""
    folders = {item.path.relative_to(TESTS).parts[0] for item in session.items}
    if folders - WITHOUT_TENSORFLOW and not session.config.option.collectonly:
        _strategy(4)


@cache
def _strategy(replicas: int) -> Any:
    from pipeline.quiet import load_tensorflow
    from pipeline.strategy import make_strategy

    load_tensorflow()
    gc.freeze()  # TensorFlow's own objects stay: no collection has to look at them again
    atexit.register(gc.freeze)  # and the last one has nothing to look at
    return make_strategy(replicas)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[[int], Any]:
    """``strategy_of(n)``: a MirroredStrategy over ``n`` (at most 4) logical CPU devices."""
    return _strategy


class Forked:
    """A process that the runner has started; what it can do is what ``subprocess.Popen`` can."""

    def __init__(self, address: str, request: dict[str, Any]) -> None:
        self._control = socket.socket(socket.AF_UNIX)
        self._control.connect(address)
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
        socket.send_fds(self._control, [json.dumps(request).encode()], [to_out, to_err])
        os.close(to_out), os.close(to_err)
        self._answers = self._control.makefile()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once there is one."""
        if self.returncode is None and select.select([self._control], [], [], 0)[0]:
            self.returncode = int(self._answers.readline())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; a process that takes longer is killed and is an error."""
        if self.returncode is None and not select.select([self._control], [], [], timeout)[0]:
            self.kill()
            raise TimeoutError(f"process {self.pid} did not end in {timeout} s")
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it has written to standard output and errors, when it has ended."""
        with ThreadPoolExecutor() as pool:
            texts = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            self.wait(timeout)
        self.stdout.close(), self.stderr.close()
        return texts[0].result(), texts[1].result()

    def send_signal(self, number: int) -> None:
        """To this process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def forked(tfds_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``forked("pipeline.train", "seed=1", cwd=…)``: as ``python -m``, without its imports.

    ``code=…`` in place of the module is a program, as ``python -c``; ``environment=…`` is added.
    """
    address = str(tmp_path_factory.mktemp("runner") / "socket")
    runner = subprocess.Popen(
        [sys.executable, str(TESTS / "runner.py"), address],
        env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout is not None
    assert runner.stdout.readline() == "ready\n"

    def start(
        module: str | None = None,
        *arguments: str,
        cwd: Path,
        code: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> Forked:
        what = {"module": module} if module else {"code": code}
        where = {"folder": str(cwd), "environment": environment or {}}
        return Forked(address, {**what, **where, "arguments": arguments})

    yield start
    runner.communicate(timeout=30)
