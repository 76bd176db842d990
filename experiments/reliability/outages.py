"""An MLflow server that is away while a run trains: for an hour, or until the run has ended.

The hour is compressed: the run logs a point of each metric at every step, and the server is away
for as many steps as an hour has seconds.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import killing
from comparing import Row, compare
from forking import Runner
from rich.progress import Progress
from serving import Server

from pipeline import doctor, tracking
from pipeline.config import Tracking
from pipeline.tracking.location import DATABASE, locate

HOUR = 3_600  # steps
FOR_AN_HOUR, FOR_GOOD = "server away for an hour", "server away until the run has ended"
RUN = (
    "+experiment=digits_cnn",
    "tracking.system_metrics=false",
    f"trainer.duration={3 * HOUR} steps",
    "trainer.evaluate_every=400 steps",
    "trainer.checkpoint_every=400 steps",
    "trainer.log_every=1 steps",
    "trainer.steps_per_call=100",
    "trainer.early_stopping.patience=null",
)
LOOK = 0.05  # seconds


class Outages:
    """Trains a run with a server that stays, one with each kind of outage, and compares."""

    def __init__(self, runner: Runner, folder: Path, database: Path) -> None:
        self.rows = {FOR_AN_HOUR: Row(), FOR_GOOD: Row()}
        self._runner = runner
        self._folder = folder
        served = folder / "served"
        served.mkdir()
        shutil.copy(database, served / DATABASE)
        self._server = Server(Tracking(root=str(served)))
        self.tracking = Tracking(root=str(folder / "here" / "mlruns"), uri=self._server.uri)

    def run(self, progress: Progress) -> None:
        """All three runs; then ``rows`` say what came of the two."""
        bar = progress.add_task("server outages", total=3)
        try:
            self._server.start()
            process = self._train()
            whole = killing.run_id(process)
            killing.finish(process)
            progress.advance(bar)
            for name, row in self.rows.items():
                self._with_outage(name, row, whole)
                progress.advance(bar)
        finally:
            self._server.kill()

    def _with_outage(self, name: str, row: Row, whole: str) -> None:
        process = self._train()
        run_id = killing.run_id(process)
        before = self._steps_per_second(process, run_id, HOUR // 2, HOUR)
        self._server.kill()
        begun = time.monotonic()
        while_away = self._steps_per_second(process, run_id, HOUR, 2 * HOUR)
        if name == FOR_GOOD:
            process.forked.wait(killing.LONGEST)
        self._server.start()
        away = time.monotonic() - begun
        if name == FOR_GOOD:
            address = [f"tracking.uri={self._server.uri}", f"tracking.root={self.tracking.root}"]
            row.failed += doctor.main(["--apply", "tracking=server", *address])
        else:
            killing.finish(process)
        store = tracking.open_store(self.tracking)
        row.count(compare(store, whole, run_id))
        row.cycles += 1
        row.failed += store.recorded(run_id).status != "FINISHED"
        row.remark = f"{away:.0f} s away; {while_away / before:.0%} of the speed before"

    def _train(self) -> killing.Process:
        root = Path(self.tracking.root)
        root.parent.mkdir(exist_ok=True)
        return killing.train(
            self._runner, root, *RUN, "tracking=server", f"tracking.uri={self._server.uri}"
        )

    def _steps_per_second(
        self, process: killing.Process, run_id: str, first: int, last: int
    ) -> float:
        self._wait_for(process, run_id, first)
        at, begun = self._step(run_id), time.monotonic()
        self._wait_for(process, run_id, last)
        return (self._step(run_id) - at) / (time.monotonic() - begun)

    def _wait_for(self, process: killing.Process, run_id: str, step: int) -> None:
        while self._step(run_id) < step:
            if process.ended:
                raise RuntimeError(f"ended before step {step}: {process.said()}")
            time.sleep(LOOK)

    def _step(self, run_id: str) -> int:
        """The last step of which the run has a point, as its journal says."""
        journal = locate(self.tracking).journals / f"{run_id}.jsonl"
        with open(journal, "rb") as file:
            file.seek(max(0, journal.stat().st_size - 20_000))
            steps = re.findall(rb'"train/loss":[^}]*\},"step":(\d+)', file.read())
        return int(steps[-1]) if steps else 0
