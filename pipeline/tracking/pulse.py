"""A run's pulse: a file that says its process lives, and MLflow's system metrics.

MLflow's own monitor thread asks the server about the run at each sample and ends for good when
the server once does not answer. So we take MLflow's probes, under MLflow's names, and log what they
read like any other metric.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.tracking.life import Life

HEARTBEAT = 10.0  # seconds
FIRST_SAMPLE = 1.0  # seconds, so that a short run has one too
SAMPLE = 10.0  # seconds, MLflow's default


class Pulse:
    """Beats in a daemon thread until ``stop``.

    Args:
        file: rewritten every ``HEARTBEAT`` seconds with process id, host and time.
        log: takes the system metrics and the number of the sample; None: no system metrics.
        sample: the number of the first sample.
    """

    def __init__(
        self, file: Path, log: Callable[[Mapping[str, float], int], None] | None, sample: int = 0
    ) -> None:
        self._file = file
        self._log = log
        self._sample = sample
        self._stopped = threading.Event()
        self._probes = _probes() if log else []
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end. The file stays: the process still delivers."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._thread.join(timeout=5)
            self._measure()

    def _run(self) -> None:
        due = time.monotonic() + FIRST_SAMPLE
        while not self._stopped.wait(max(0.0, min(HEARTBEAT, due - time.monotonic()))):
            self._beat()
            if time.monotonic() >= due:
                self._measure()
                due = time.monotonic() + SAMPLE

    def _beat(self) -> None:
        with contextlib.suppress(OSError):  # a full disk
            Life.of_this_process().write(self._file)

    def _measure(self) -> None:
        if self._log is None:
            return
        values: dict[str, float] = {}
        for probe in self._probes:
            with contextlib.suppress(Exception):  # a device that went away; the run goes on
                probe.collect_metrics()
                values |= {f"system/{k}": v for k, v in probe.aggregate_metrics().items()}
                probe.clear_metrics()
        self._log(values, self._sample)
        self._sample += 1


def _probes() -> list:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    probes = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        with contextlib.suppress(Exception):  # no NVIDIA library, no GPU, a sandbox without /proc
            probe = kind()
            probe.collect_metrics()  # CPU use is counted from the call before: this is that one
            probe.clear_metrics()
            probes.append(probe)
    return probes
