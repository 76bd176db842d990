"""Training processes that start at the same moment in an empty folder, with one store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import killing
from comparing import Row, compare
from rich.progress import Progress

from pipeline import tracking
from pipeline.config import Tracking


class Together:
    """Several runs of one config at once; all must be the one that trained alone.

    The processes are fresh ones: they make the store, and each imports TensorFlow.
    """

    def __init__(self, folder: Path, runs: int) -> None:
        self.name = f"{runs} processes at once, in an empty folder"
        self.rows = {self.name: Row()}
        self._folder = folder
        self._runs = runs

    def run(self, progress: Progress) -> None:
        """Train them and the one alone; then ``rows`` say what came of it."""
        bar = progress.add_task("processes at once", total=self._runs + 1)
        row = self.rows[self.name]
        started = [self._start() for _ in range(self._runs)]
        ids = []
        for process in started:
            output, errors = process.communicate(timeout=60 * self._runs)
            if process.returncode:
                row.failed += 1
                row.remark = errors.decode().strip().splitlines()[-1]
            ids += re.findall(rb"run_id=(\w+) status=FINISHED", output)
            progress.advance(bar)
        alone = self._start().communicate()[0]
        (expected,) = re.findall(rb"run_id=(\w+) status=FINISHED", alone)
        progress.advance(bar)
        store = tracking.open_store(Tracking(root=str(self._folder / "mlruns")))
        for run_id in ids:
            row.count(compare(store, expected.decode(), run_id.decode()))

    def _start(self) -> subprocess.Popen[bytes]:
        overrides = [*killing.CONFIGURATIONS["dense"], *killing.BASE]
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.train", *overrides],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(killing.PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
