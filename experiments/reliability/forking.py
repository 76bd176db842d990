"""Starts programs, each in a process of its own that is forked from one that has the heavy imports:
as a fresh ``python -m …``, without the seconds that these take.

``Runner`` runs this file as a program. That listens at the socket that its argument names until its
standard input ends. A connection brings one request, a JSON object (``module`` or ``code``,
``arguments``, ``folder``, ``environment``) with the two files for standard output and errors; it is
answered with the process's id and, when that has ended, its exit code, one a line.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]


class Forked:
    """A process that a runner has started; what it can do is what ``subprocess.Popen`` can.

    ``output``: where its standard output and errors go; None: ``stdout`` and ``stderr`` read them.
    """

    def __init__(self, address: str, request: dict[str, Any], output: Path | None) -> None:
        self._control = socket.socket(socket.AF_UNIX)
        self._control.connect(address)
        if output is None:
            (out, to_out), (err, to_err) = os.pipe(), os.pipe()
            self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
            given = [to_out, to_err]
        else:
            given = [os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)]
        socket.send_fds(self._control, [json.dumps(request).encode()], [given[0], given[-1]])
        for file in given:
            os.close(file)
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


class Runner:
    """``with Runner(address) as runner: runner.start("pipeline.train", "seed=1", cwd=…)``.

    Args:
        address: of the socket; a path of a file that is not there.
    """

    def __init__(self, address: Path) -> None:
        self._address = str(address)

    def __enter__(self) -> Runner:
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._address],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the process that forks has ended")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def start(
        self,
        module: str | None = None,
        *arguments: str,
        cwd: Path,
        code: str | None = None,
        environment: dict[str, str] | None = None,
        output: Path | None = None,
    ) -> Forked:
        """Start a module as ``python -m`` does, or ``code`` as ``python -c``.

        Args:
            environment: variables that are added.
            output: a file for what it writes; None: see ``Forked``.
        """
        what = {"module": module} if module else {"code": code}
        where = {"folder": str(cwd), "environment": environment or {}}
        return Forked(self._address, {**what, **where, "arguments": arguments}, output)


# The process that forks --------------------------------------------------------------------------


def carry_out(request: dict[str, Any]) -> int:
    """Become what is asked for; returns the exit code."""
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]  # as python -m does
    sys.argv = [request.get("module", "-c"), *request["arguments"]]
    try:
        if "code" in request:
            exec(compile(request["code"], "<program>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def supervise(connection: socket.socket) -> None:
    """In a fork: start the process, say its id, wait for its end, say its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, *_ = socket.recv_fds(connection, 1 << 20, 2)
    child = os.fork()
    if not child:
        for stream, file in enumerate(files, start=1):
            os.dup2(file, stream)
        connection.close()
        code = 1
        try:
            code = carry_out(json.loads(message))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # past the parent's clean-up
    for file in files:
        os.close(file)
    connection.sendall(f"{child}\n".encode())
    connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


def main(address: str) -> None:
    """Answer requests until standard input ends."""
    from pipeline.quiet import load_tensorflow

    load_tensorflow()
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tensorflow  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            connection = ready[0].accept()[0]
            if not os.fork():
                listener.close()
                os.close(sys.stdin.fileno())
                supervise(connection)
                os._exit(0)
            connection.close()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
