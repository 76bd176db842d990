"""MLflow's own pages over the right store: ``python -m pipeline.ui``, then open what it prints.

    python -m pipeline.ui port=5001
    python -m pipeline.ui tracking.root=/data/runs

Loopback only, unless ``host=`` says otherwise: MLflow asks nobody for a password. A bare
``mlflow ui`` would make an empty database in the current folder and show that.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from pipeline import config
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import say
from pipeline.errors import ConfigError, StoreError
from pipeline.tracking import pages
from pipeline.tracking.location import Location, locate, prepare
from pipeline.tracking.sweeps import SPACE_TAG

STARTING = 60.0  # seconds the server may take; two on an idle machine
STOPPING = 5.0  # seconds it may take to end before it is killed


def command(location: Location, host: str, port: int) -> list[str]:
    """The command that serves ``location``."""
    options = {
        "--backend-store-uri": location.uri,
        "--default-artifact-root": location.artifacts or "",
        "--host": host,
        "--port": str(port),
        "--workers": "1",
        "--uvicorn-opts": "--log-level=warning",
    }
    return [sys.executable, "-m", "mlflow", "server"] + [
        part for option in options.items() for part in option
    ]


def main(overrides: Sequence[str]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: tracking is off, or the port is taken.
        StoreError: there is no such store, or the server does not start.
    """
    ui = compose("ui", overrides)
    location = _store(ui.tracking)
    _check_port(ui.host, ui.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the server; shown if it fails
    server = subprocess.Popen(
        command(location, ui.host, ui.port),
        env={
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes, a gigabyte, unused
            "MLFLOW_LOGGING_LEVEL": "ERROR",
            "PYTHONWARNINGS": "ignore",  # of the libraries it is made of
        },
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # one group, so that ending it ends every process of it
    )
    try:
        wait_until_up(server, ui.host, ui.port, said)
        say(f"runs of {location.uri}")
        address = f"http://{ui.host}:{ui.port}"
        say(f"{address}  (Ctrl-C ends)")
        for line in where_to_look(address):
            say(line)
        server.wait()
    except KeyboardInterrupt:
        return
    finally:
        _end(server)
    raise StoreError(_ended(server, said))


def where_to_look(address: str) -> list[str]:
    """Addresses of what was trained last: its experiment, and the newest sweep."""
    found = []
    with suppress(OSError, ValueError, KeyError):  # the server's own pages are there all the same
        experiments = {e["experiment_id"]: e["name"] for e in _all_experiments(address)}
        for experiment_id, _ in _newest(address, list(experiments), ""):
            name = experiments[experiment_id]
            found.append(f"experiment {name}: {address}/{pages.runs_of(experiment_id)}")
        for experiment_id, run_id in _newest(
            address, list(experiments), f"tags.`{SPACE_TAG}` != ''"
        ):
            found.append(
                f"newest sweep, best first: {address}/{pages.ranked(experiment_id, run_id)}"
            )
            found.append(f"newest sweep, charts: {address}/{pages.charts(experiment_id, run_id)}")
    return found


def _all_experiments(address: str) -> list[dict[str, str]]:
    return _ask(address, "experiments/search", {"max_results": 1000}).get("experiments", [])


def _newest(address: str, experiment_ids: list[str], condition: str) -> list[tuple[str, str]]:
    """Experiment and id of the newest run that meets MLflow's filter; of none, nothing."""
    asked = {
        "experiment_ids": experiment_ids,
        "filter": condition,
        "order_by": ["attributes.start_time DESC"],
        "max_results": 1,
    }
    infos = [run["info"] for run in _ask(address, "runs/search", asked).get("runs", [])]
    return [(info["experiment_id"], info["run_id"]) for info in infos]


def _ask(address: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/{what}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _store(tracking: config.Tracking) -> Location:
    if tracking.kind == "off":
        raise ConfigError("tracking=off keeps no runs to show. Use tracking=local.")
    location = locate(tracking)
    if location.uri.startswith("http"):
        raise ConfigError(f"{location.uri} is a server that has the pages itself: open it.")
    if location.database is not None and not location.database.exists():
        raise StoreError(
            f"There is no store at {location.database} yet. Train first, or name its folder: "
            "tracking.root=…"
        )
    prepare(location)
    return location


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise ConfigError(f"port={port}: expected 1 to 65535.")
    if _free(host, port):
        return
    other = next((p for p in range(port + 1, min(port + 100, 65536)) if _free(host, p)), None)
    hint = f" The next free one: port={other}" if other else ""
    raise ConfigError(f"port={port} on {host} is taken, or this host is not ours.{hint}")


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def wait_until_up(server: subprocess.Popen[bytes], host: str, port: int, said: IO[bytes]) -> None:
    """Return when the server answers.

    Raises:
        StoreError: it ended, or does not answer within ``STARTING`` seconds.
    """
    near = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    end = time.monotonic() + STARTING
    while time.monotonic() < end:
        if server.poll() is not None:
            raise StoreError(_ended(server, said))
        try:
            urllib.request.urlopen(f"http://{near}:{port}/health", timeout=1).close()
            return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise StoreError(f"The server did not answer within {STARTING:.0f} s.")


def _ended(server: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    said.seek(0)
    last = said.read().decode(errors="replace").strip().splitlines()[-5:]
    return "\n".join([f"The server ended by itself with code {server.returncode}.", *last])


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and every process it has started."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, stop)
            server.wait(STOPPING)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    verb(main, __doc__)
