"""Runs that are killed with SIGKILL, moment after moment, and resumed until they finish."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import killing
from comparing import Row, compare
from forking import Runner
from rich.progress import Progress

from pipeline import tracking
from pipeline.config import Tracking

PER_RUN = 6  # kills of one run, at most


class Kills:
    """Kills runs of several configurations in turn, some at a time.

    ``rows``: by configuration; ``moments``: how many kills there were of each.
    """

    def __init__(self, runner: Runner, root: Path, cycles: int, seed: int, jobs: int) -> None:
        self.rows = {name: Row() for name in killing.CONFIGURATIONS}
        self.moments: Counter[str] = Counter()
        self.errors: list[str] = []
        self._runner = runner
        self._root = root
        self._seed = seed
        self._left = cycles
        self._jobs = jobs
        self._whole: dict[str, str] = {}  # configuration -> the run without kills
        self._lock = threading.Lock()

    def run(self, progress: Progress) -> None:
        """Train each configuration once without kills, then kill until all cycles are done."""
        bar = progress.add_task("runs without kills", total=len(self.rows))
        with ThreadPoolExecutor(self._jobs) as pool:
            for _ in pool.map(self._train_whole, self.rows):
                progress.advance(bar)
        bar = progress.add_task("kills", total=self._left)
        turns = enumerate(itertools.cycle(self.rows))

        def work(_: int) -> None:
            while self._left > 0 and len(self.errors) < PER_RUN:
                with self._lock:
                    number, name = next(turns)
                try:
                    self._kill_one(name, number, lambda: progress.advance(bar))
                except Exception as error:
                    self.rows[name].failed += 1
                    self.errors.append(f"{name}: {error}")

        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(work, range(self._jobs)))

    def _train_whole(self, name: str) -> None:
        said = killing.finish(killing.train(self._runner, self._root, *_overrides(name)))
        self._whole[name] = said.split("run_id=")[-1].split()[0]

    def _kill_one(self, name: str, number: int, advance: Callable[[], None]) -> None:
        random_numbers = random.Random(f"{self._seed} {number}")
        moments = random_numbers.sample(killing.ALL_MOMENTS, k=PER_RUN)
        moments.sort(key=killing.ALL_MOMENTS.index)  # those of a run's end come last
        with self._lock:
            moments = moments[: self._left]
            self._left -= len(moments)
        row = self.rows[name]

        def told(moment: str) -> None:
            with self._lock:
                row.cycles += 1
                self.moments[moment] += 1
            advance()

        killed = killing.kill_until_finished(
            self._runner, self._root, _overrides(name), moments, random_numbers, told
        )
        store = tracking.open_store(Tracking(root=str(self._root)))
        found = compare(store, self._whole[name], killed.run_id)
        with self._lock:
            self._left += len(moments) - len(killed.kills)  # the run had finished before
            row.count(found)


def _overrides(name: str) -> tuple[str, ...]:
    return (*killing.CONFIGURATIONS[name], *killing.BASE)
