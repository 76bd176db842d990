"""Starts programs, each in a process of its own that is forked from this one, which has the heavy
imports: as a fresh ``python -m …``, without the seconds that these take.

Listens at the socket that its argument names until its standard input ends. A connection brings one
request, a JSON object (``module`` or ``code``, ``arguments``, ``folder``, ``environment``) with the
two files for standard output and errors; it is answered with the process's id and, when that has
ended, its exit code, one a line.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from typing import Any


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
