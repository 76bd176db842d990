"""Whether successive halving finds as good a setting as the whole grid, in half the steps.

    python experiments/sweeps/halving.py

Runs a grid of 18 settings on digits, whole and with ``+sweep=halving``, prints the two side by
side and writes halving.csv.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GRID = (
    "+experiment=digits",
    "optimizer.learning_rate=1e-4,3e-4,1e-3,3e-3,1e-2,3e-2",
    "model.layers.hidden.units=32,128,512",
    "trainer.duration=30 epochs",
    "tracking.system_metrics=false",
)


def sweep(folder: Path, *more: str) -> dict[str, Any]:
    """Run the grid; what came of it, by the store."""
    from pipeline import tracking
    from pipeline.config import Tracking
    from pipeline.tracking import sweeps

    command = [sys.executable, "-m", "pipeline.train", "-m", *GRID, *more]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    parent = done.stdout.strip().splitlines()[-1].split()[0].removeprefix("sweep=")
    store = tracking.open_store(Tracking(root=str(folder / "mlruns")))
    trials = sweeps.trials(store, parent)
    whole = [trial for trial in trials if trial.pruned is None]
    best = max(whole, key=lambda trial: trial.metrics["best/val/accuracy"])
    steps = [store.history(t.run_id, "val/accuracy")[-1].step for t in trials]
    return {
        "sweep": "halving" if more else "whole grid",
        "trials": len(trials),
        "trained to the end": len(whole),
        "steps": sum(steps),
        "best": best.overrides,
        "val/accuracy": best.metrics["best/val/accuracy"],
        "test/accuracy": best.metrics["test/accuracy"],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [sweep(Path(folder)), sweep(Path(folder), "+sweep=halving")]
    with (HERE / "halving.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(json.dumps(rows, indent=1))
    print(f"steps, halving / whole grid: {rows[1]['steps'] / rows[0]['steps']:.2f}")


if __name__ == "__main__":
    main()
