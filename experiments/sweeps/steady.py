"""Whether a long sweep stays fast and small: seconds of each trial, memory of the process.

    python experiments/sweeps/steady.py --trials 50

Writes steady.csv, and prints the tenth trial against the second, and the last against the tenth.
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
    """Trial (from 1), its seconds, and the resident MB of the sweep and what it has started."""
    command = [sys.executable, "-m", "pipeline.train", "-m", "+experiment=digits"]
    command += [f"seed=range({trials})", "trainer.duration=5 epochs"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    watched, rows, begun = psutil.Process(process.pid), [], 0.0
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial ") and " of " in line:
            begun = time.perf_counter()
        elif line.startswith("run_id="):  # the trial's own process is still there
            family = [watched, *watched.children(recursive=True)]
            rows.append((len(rows) + 1, time.perf_counter() - begun, sum(map(_resident, family))))
            print(f"trial {rows[-1][0]}: {rows[-1][1]:.1f} s, {rows[-1][2]:.0f} MB")
    if process.wait():
        raise SystemExit(f"the sweep has ended with {process.returncode}")
    return rows


def _resident(process: psutil.Process) -> float:
    """MB that are not shared with the process it was forked from, or are its own."""
    try:
        return process.memory_full_info().pss / 1e6
    except psutil.Error:  # it has ended meanwhile
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    trials = parser.parse_args().trials
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(trials, Path(folder))
    with (HERE / "steady.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "seconds", "resident_mb"])
        writer.writerows((n, f"{s:.2f}", f"{mb:.0f}") for n, s, mb in rows)
    seconds, memory = [row[1] for row in rows], [row[2] for row in rows]
    print(f"{trials} trials in {time.perf_counter() - begun:.0f} s")
    late, early = statistics.median(seconds[7:12]), statistics.median(seconds[1:4])
    print(f"seconds, trials 8 to 12 / 2 to 4: {late / early:.2f}")
    grown = statistics.median(memory[-5:]) / statistics.median(memory[1:6])
    print(f"memory, last five / trials 2 to 6: {grown:.3f}")


if __name__ == "__main__":
    main()
