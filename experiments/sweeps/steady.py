"""Whether a long sweep in one process stays fast and small: seconds and memory of each trial.

    python experiments/sweeps/steady.py --trials 50

Writes steady.csv and prints the tenth trial against the second, and the last against the tenth.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent


def measure(trials: int, folder: Path) -> list[tuple[int, float, float]]:
    """Trial (from 1), its seconds of processor time, and the process's resident MB at its end."""
    command = [sys.executable, "-m", "pipeline.train", "-m", "+experiment=digits"]
    command += [f"seed=range({trials})", "trainer.duration=5 epochs"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    watched, rows, before = psutil.Process(process.pid), [], 0.0
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial "):
            before = sum(watched.cpu_times()[:2])
        elif line.startswith("run_id="):
            used = sum(watched.cpu_times()[:2]) - before
            rows.append((len(rows) + 1, used, watched.memory_info().rss / 1e6))
            print(f"trial {rows[-1][0]}: {used:.1f} s of processor, {rows[-1][2]:.0f} MB")
    if process.wait():
        raise SystemExit(f"the sweep has ended with {process.returncode}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    trials = parser.parse_args().trials
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(trials, Path(folder))
    with (HERE / "steady.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "cpu_seconds", "resident_mb"])
        writer.writerows((n, f"{s:.2f}", f"{mb:.0f}") for n, s, mb in rows)
    seconds = [row[1] for row in rows]
    print(f"{trials} trials in {time.perf_counter() - begun:.0f} s")
    print(f"seconds, trials 8 to 12 / 2 to 4: {_median(seconds[7:12]) / _median(seconds[1:4]):.2f}")
    print(f"memory, last / tenth: {rows[-1][2] / rows[9][2]:.3f}")


def _median(values: list[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
