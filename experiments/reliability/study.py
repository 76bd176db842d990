"""Do what can happen to runs, and count what is then not as in a run that nothing happened to.

    python experiments/reliability/study.py
    python experiments/reliability/study.py --only outages

Runs are killed with SIGKILL and resumed; their MLflow server goes away; several start at once. Each
is compared with one that was left alone, in weights and metric history. Writes ``reliability.csv``,
``reliability.md`` and ``moments.md``, where the rows of studies left out stay; exits with 1
where anything differs.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from comparing import Row  # noqa: E402
from forking import Runner  # noqa: E402
from kills import Kills  # noqa: E402
from outages import Outages  # noqa: E402
from rich.progress import Progress  # noqa: E402
from together import Together  # noqa: E402

from pipeline import tracking  # noqa: E402
from pipeline.config import Tracking  # noqa: E402

STUDIES = ("kills", "outages", "together")


def main() -> int:
    asked = _arguments()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as scratch, Progress() as progress:
        folder = Path(scratch)
        root = folder / "mlruns"
        database = tracking.open_store(Tracking(root=str(root))).location.database
        assert database is not None
        (folder / "together").mkdir()
        together = Together(folder / "together", asked.together)
        if "together" in asked.only:
            together.run(progress)
        with Runner(folder / "socket") as runner:
            if "outages" in asked.only:
                outages = Outages(runner, folder, database)
                outages.run(progress)
                rows |= outages.rows
            if "kills" in asked.only:
                kills = Kills(runner, root, asked.kills, asked.seed, asked.jobs)
                kills.run(progress)
                rows = {f"killed: {name}": row for name, row in kills.rows.items()} | rows
                header = ["moment of the kill", "kills"]
                _markdown(asked.out / "moments.md", header, [*kills.moments.items()])
                for error in kills.errors:
                    print(error, file=sys.stderr)
        if "together" in asked.only:
            rows |= together.rows
    _write(rows, asked.out)
    return 0 if all(row.perfect for row in rows.values()) else 1


HEADER = (
    *("what happened", "runs", "cycles", "points", "differing hashes", "lost points"),
    *("duplicate points", "differing points", "additional points", "failed", "remark"),
)


def _write(rows: dict[str, Row], out: Path) -> None:
    table = _written(out / "reliability.csv")
    for name, row in rows.items():
        hashes, lost, duplicate, differing, additional, points = row.difference.counts
        wrong = (hashes, lost, duplicate, differing, additional, row.failed)
        table[name] = [name, row.runs, row.cycles, points, *wrong, row.remark]
    found = list(table.values())
    totals = [sum(column) for column in list(zip(*found, strict=True))[1:-1]]
    with open(out / "reliability.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *found])
    _markdown(out / "reliability.md", HEADER, [*found, ["all", *totals, ""]])


def _written(file: Path) -> dict[str, list[Any]]:
    """The table as it was written last, by its first column."""
    if not file.exists():
        return {}
    with open(file, newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))[1:]
    return {row[0]: [row[0], *map(int, row[1:-1]), row[-1]] for row in rows}


def _markdown(file: Path, header: Sequence[str], table: Sequence[Sequence[object]]) -> None:
    """A table as a file, and on the screen."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in table]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *cells]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500, help="to make, over all runs (500)")
    parser.add_argument("--together", type=int, default=8, help="processes at once (8)")
    parser.add_argument("--jobs", type=int, default=2, help="killed runs at a time (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument(
        "--only", nargs="+", choices=STUDIES, default=STUDIES, help="of the studies"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
