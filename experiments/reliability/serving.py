"""An MLflow server as for others: clients reach the artifacts through it, not through the disk."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess

from pipeline import ui
from pipeline.config import Tracking
from pipeline.tracking.location import locate


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server that can be killed and started again at one address.

    Args:
        served: the store that it shows; its root is a folder with a database.
    """

    def __init__(self, served: Tracking) -> None:
        self.port = free_port()
        self._served = served
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Start; it answers some seconds later."""
        command = ui.command(locate(self._served), "127.0.0.1", self.port)
        command[command.index("--default-artifact-root")] = "--artifacts-destination"
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self) -> None:
        """Start, unless it runs, and return when it answers."""
        if self._process is None:
            self.begin()
        assert self._process is not None
        ui.wait_until_up(self._process, "127.0.0.1", self.port, io.BytesIO())

    def kill(self) -> None:
        """With SIGKILL, its workers as well."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
