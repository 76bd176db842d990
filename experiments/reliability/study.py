"""Kill training runs with SIGKILL, resume them, and count what is not as without kills.

    python experiments/reliability/study.py --cycles 500
    python experiments/reliability/study.py --minutes 10 --configuration dense SelfTraining

Each configuration is first trained once without kills. Then runs of all of them in turn are killed
and resumed, moment after moment, until they finish; weights and metric history are compared.
Writes ``kills.csv`` and ``kills.md``; exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import killing  # noqa: E402
from rich.progress import Progress  # noqa: E402

from pipeline import tracking  # noqa: E402
from pipeline.config import Tracking  # noqa: E402

CSV, TABLE = "kills.csv", "kills.md"
PER_RUN = 6  # kills of one run, at most


@dataclass
class Row:
    """What came of one configuration."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    hashes: int = 0
    lost: int = 0
    duplicate: int = 0
    differing: int = 0
    additional: int = 0
    failed: int = 0

    @property
    def perfect(self) -> bool:
        wrong = (self.hashes, self.lost, self.duplicate, self.differing, self.additional)
        return not any(wrong) and not self.failed


class Study:
    """Kills and resumes runs of several configurations in turn, some at a time."""

    def __init__(self, root: Path, names: list[str], asked: argparse.Namespace) -> None:
        self.root = root
        self.seed = asked.seed
        self.rows = {name: Row() for name in names}
        self.errors: list[str] = []
        self._whole: dict[str, str] = {}  # configuration -> the run without kills
        self._left = asked.cycles
        self._minutes = asked.minutes or float("inf")
        self._jobs = asked.jobs
        self._lock = threading.Lock()

    def run(self, progress: Progress) -> None:
        bar = progress.add_task("runs without kills", total=len(self.rows))
        with ThreadPoolExecutor(self._jobs) as pool:
            for _ in pool.map(self._train_whole, self.rows):
                progress.advance(bar)
        bar = progress.add_task("kills", total=self._left)
        deadline = time.monotonic() + 60 * self._minutes
        turns = enumerate(itertools.cycle(self.rows))

        def work(_: int) -> None:
            while time.monotonic() < deadline and self._left > 0 and not self.errors:
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
        said = killing.finish(killing.train(self.root, *_overrides(name)))
        self._whole[name] = said.split("run_id=")[-1].split()[0]

    def _kill_one(self, name: str, number: int, advance: Callable[[], None]) -> None:
        random_numbers = random.Random(f"{self.seed} {number}")
        moments = random_numbers.sample(killing.ALL_MOMENTS, k=PER_RUN)
        moments.sort(key=killing.ALL_MOMENTS.index)  # those of a run's end come last
        with self._lock:
            moments = moments[: self._left]
            self._left -= len(moments)
        row = self.rows[name]

        def told(moment: str) -> None:
            with self._lock:
                row.kills[moment] += 1
            advance()

        killed = killing.kill_until_finished(
            self.root, _overrides(name), moments, random_numbers, told
        )
        store = tracking.open_store(Tracking(root=str(self.root)))
        found = killing.compare(store, self._whole[name], killed.run_id)
        with self._lock:
            self._left += len(moments) - len(killed.kills)  # the run had finished before
            row.runs += 1
            for kind, count in vars(found).items():
                setattr(row, kind, getattr(row, kind) + count)


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory() as scratch, Progress() as progress:
        root = Path(scratch) / "mlruns"
        tracking.open_store(Tracking(root=str(root)))
        study = Study(root, asked.configuration or list(killing.CONFIGURATIONS), asked)
        study.run(progress)
    _write(study.rows, asked.out)
    for error in study.errors:
        print(error, file=sys.stderr)
    return 0 if all(row.perfect for row in study.rows.values()) else 1


def _overrides(name: str) -> tuple[str, ...]:
    return (*killing.CONFIGURATIONS[name], *killing.BASE)


def _write(rows: dict[str, Row], out: Path) -> None:
    """The table, as CSV and as Markdown, and on the screen."""
    header = [
        *("configuration", "runs", "kills"),
        *(f"kills {moment}" for moment in killing.ALL_MOMENTS),
        *("differing hashes", "lost points", "duplicate points", "differing points"),
        *("additional points", "failed resumes"),
    ]
    table = []
    for name, row in rows.items():
        counts = [row.kills[moment] for moment in killing.ALL_MOMENTS]
        wrong = [row.hashes, row.lost, row.duplicate, row.differing, row.additional, row.failed]
        table.append([name, row.runs, sum(counts), *counts, *wrong])
    table.append(["all", *(sum(column) for column in list(zip(*table, strict=True))[1:])])
    out.mkdir(parents=True, exist_ok=True)
    with open(out / CSV, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *table])
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *table]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
    (out / TABLE).write_text(text, "utf-8")
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=500, help="kills to make, over all (500)")
    parser.add_argument(
        "--minutes", type=float, help="of killing, after which no further run begins"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument(
        "--configuration",
        nargs="+",
        choices=list(killing.CONFIGURATIONS),
        metavar="NAME",
        help=f"of: {'; '.join(killing.CONFIGURATIONS)} (all)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
