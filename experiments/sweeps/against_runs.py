"""How much of the time of separate runs a sweep over the same settings takes: 16 trials of digits.

    python experiments/sweeps/against_runs.py

Once they differ in the learning rate, an input of the one graph that is compiled, once in the width
too, which is another graph. Sweep and runs take turns. Writes against_runs.csv.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.progress import track

HERE = Path(__file__).parent
RATE, WIDTH = "optimizer.learning_rate", "model.layers.hidden.units"
SWEEPS: dict[str, dict[str, list[float]]] = {
    "16 learning rates": {RATE: [round(1e-4 * 1.5**n, 6) for n in range(16)]},
    "4 learning rates, 4 widths": {RATE: [3e-4, 1e-3, 3e-3, 1e-2], WIDTH: [32, 64, 128, 256]},
}


def seconds(folder: Path, *words: str) -> float:
    """That ``pipeline.train`` takes. Raises ``CalledProcessError`` where it fails."""
    command = [sys.executable, "-m", "pipeline.train", *words]
    command += ["+experiment=digits", "trainer.duration=5 epochs"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        seconds(Path(folder))  # makes the store
        for title, grid in SWEEPS.items():
            swept = [f"{key}={','.join(map(str, values))}" for key, values in grid.items()]
            settings = [
                [f"{key}={value}" for key, value in zip(grid, values, strict=True)]
                for values in itertools.product(*grid.values())
            ]
            for number in track(range(rounds), description=title):
                together = seconds(Path(folder), "-m", *swept)
                apart = sum(seconds(Path(folder), *setting) for setting in settings)
                rows.append((title, number, round(together, 2), round(apart, 2)))
    with (HERE / "against_runs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trials", "round", "sweep_seconds", "runs_seconds"])
        writer.writerows(rows)
    for title in SWEEPS:
        pairs = [(together, apart) for name, _, together, apart in rows if name == title]
        ratios = [together / apart for together, apart in pairs]
        print(
            f"{title}: {statistics.median(a for a, _ in pairs):.0f} s in a sweep, "
            f"{statistics.median(b for _, b in pairs):.0f} s apart: "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
