"""Whether training on data larger than the memory it may take needs no more of it as it goes on.

    python experiments/streaming/memory.py

Writes 2 million images, trains on them for more than an epoch, and samples the memory of the
process: streamed, streamed under a limit, and resident under that limit. Writes memory.csv and
prints what README.md says.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

EVERY = 0.5  # seconds between two looks
HELD_OUT = 20_000  # examples of validation, and of test
MARGIN = 1.1  # of the limit, over what a streamed run needs


@dataclass
class Run:
    """What came of a run: samples are (seconds, resident MB), ``data`` is the most MB of private
    memory that it had asked for, which the limit counts."""

    code: int
    output: str
    samples: list[tuple[float, float]]
    data: float

    def peak(self, part: slice) -> float:
        """Resident MB, at most, in a part of the samples of training."""
        return max(mb for _, mb in self.samples[part])


def train(folder: Path, feed: str, asked: argparse.Namespace, limit: float | None) -> Run:
    """A run in a process of its own, which may have ``limit`` MB."""
    command = [sys.executable, "-m", "pipeline.train", "dataset=tfds", "dataset.name=many"]
    command += [f"dataset.data_dir={folder}", f"dataset.feed={feed}"]
    command += [f"dataset.memory={asked.memory}", "dataset.splits.train=train"]
    command += ["dataset.splits.validation=validation", "model=mlp", "trainer.batch_size=256"]
    command += [f"trainer.duration={asked.epochs} epochs", "trainer.evaluate_every=50 percent"]
    command += ["tracking=off"]  # MLflow takes memory of its own when it is given its first model

    def limited() -> None:
        if limit is not None:
            size = int(limit * 1e6)
            resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    with tempfile.TemporaryDirectory() as own, (Path(own) / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=own,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=limited,
        )
        samples, data, begun = [], 0.0, time.perf_counter()
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            found = watched.memory_info()
            samples.append((time.perf_counter() - begun, found.rss / 1e6))
            data = max(data, found.data / 1e6)
            time.sleep(EVERY)
        output.seek(0)
        return Run(process.returncode, output.read(), samples, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2_000_000)
    parser.add_argument("--shape", type=int, nargs="+", default=[16, 16, 1])
    parser.add_argument("--memory", type=float, default=64, help="dataset.memory, in MiB")
    parser.add_argument("--epochs", type=float, default=1.25)
    parser.add_argument("--folder", type=Path, help="where the data is kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        _prepare(folder, asked)
        streamed = train(folder, "auto", asked, None)
        _tell("streamed", streamed)
        # From when the loop runs: importing, compiling and opening MLflow come before.
        began = len(streamed.samples) // 4
        with (HERE / "memory.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["seconds", "resident_mb"])
            writer.writerows((f"{s:.1f}", f"{mb:.0f}") for s, mb in streamed.samples)
        middle = (began + len(streamed.samples)) // 2
        early, late = streamed.peak(slice(began, middle)), streamed.peak(slice(middle, None))
        print(f"peak, second quarter to middle: {early:.0f} MB; after: {late:.0f} MB")
        limit = streamed.data * MARGIN
        print(f"limit: {limit:.0f} MB")
        _tell("streamed, limited", train(folder, "auto", asked, limit))
        _tell("resident, limited", train(folder, "resident", asked, limit))


def _prepare(folder: Path, asked: argparse.Namespace) -> None:
    if (folder / "many").exists():
        return
    from pipeline.quiet import load_tensorflow

    load_tensorflow()
    import writing

    begun = time.perf_counter()
    splits = {"train": asked.examples, "validation": HELD_OUT, "test": HELD_OUT}
    place = writing.write(folder, splits, asked.shape)
    seconds = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in place.iterdir()) / 2**20
    print(f"{asked.examples:,} examples written in {seconds:.0f} s, {size:.0f} MiB")


def _tell(name: str, run: Run) -> None:
    seconds, peak = run.samples[-1][0], run.peak(slice(None))
    print(f"{name}: exit code {run.code}, {seconds:.0f} s, peak {peak:.0f} MB resident, "
          f"{run.data:.0f} MB of data")  # fmt: skip
    wanted = ("feed ", "training ", "step ", "run_id", "error", "Error", "speed")
    lines = [line for line in run.output.splitlines() if line.strip().startswith(wanted)]
    for line in lines[:2] + lines[-2:]:
        print(f"    {line[:140]}")


if __name__ == "__main__":
    main()
