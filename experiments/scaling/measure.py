"""How step time, memory and tracking grow: the points that docs/scaling.md is drawn through.

    python experiments/scaling/measure.py

Each point is measured in a process of its own. Writes ``scaling.csv`` here, the figure and the
tables of docs/scaling.md, between its markers.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "scaling.md"
SECONDS = 2.0  # of training for one point
LOG_EVERY = 50  # steps, the default
METRICS = ("train/loss", "train/accuracy", "train/gradient_norm", "train/learning_rate")
WIDE = ("+experiment=speed_wide", "trainer.evaluate_every=1000000 steps")


def training(*overrides: str) -> dict[str, float]:
    """Milliseconds a step, and the process's memory at its highest, in megabytes."""
    from pipeline.quiet import load_tensorflow

    load_tensorflow()
    from pipeline.assembly import assemble
    from pipeline.train import compose

    parts = assemble(compose("train", list(overrides)))
    trainer = parts.trainer
    trainer.warm_up()
    steps, taken, seconds = 1, 0, 0.0
    trainer.train(steps)
    while seconds < SECONDS:
        begun = time.perf_counter()
        trainer.train(steps)
        took = time.perf_counter() - begun
        taken, seconds = taken + steps, seconds + took
        steps = max(1, min(1000, 2 * steps if took < SECONDS / 8 else steps))
    parameters = sum(v.shape.num_elements() for v in parts.model.trainable_variables)
    return {
        "parameters": parameters,
        "ms a step": 1000 * seconds / taken,
        "examples/s": taken / seconds * parts.plan.batch_size,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def tracking(steps: int) -> dict[str, float]:
    """Log what so many steps log, and deliver it."""
    from pipeline import tracking
    from pipeline.config import Tracking

    with tempfile.TemporaryDirectory() as folder:
        config = Tracking(root=f"{folder}/mlruns", system_metrics=False)
        tracker = tracking.start(config)
        begun = time.perf_counter()
        for step in range(LOG_EVERY, steps + 1, LOG_EVERY):
            tracker.log(dict.fromkeys(METRICS, 1.0 / step), step)
        logged = time.perf_counter() - begun
        begun = time.perf_counter()
        tracker.finish("FINISHED")
        waited = time.perf_counter() - begun
        read = time.perf_counter()
        points = len(tracker.store.history(tracker.run_id, METRICS[0])) * len(METRICS)
        read = time.perf_counter() - read
        size = (Path(folder) / "mlruns" / "mlflow.db").stat().st_size
    return {
        "points": points,
        "logging s": logged,
        "waiting at the end s": waited,
        "reading one metric s": read,
        "database MB": size / 1e6,
    }


def runs(count: int) -> dict[str, float]:
    """A store with so many runs of 60 parameters and 12 metrics: one more, and a look at all."""
    from pipeline import tracking
    from pipeline.config import Tracking

    with tempfile.TemporaryDirectory() as folder:
        config = Tracking(root=f"{folder}/mlruns", system_metrics=False)
        params = {f"group.key{i}": i for i in range(60)}

        def one() -> float:
            begun = time.perf_counter()
            tracker = tracking.start(config, params=params)
            tracker.log({f"metric{i}": float(i) for i in range(12)}, 1)
            tracker.finish("FINISHED")
            return time.perf_counter() - begun

        one()
        for _ in range(count - 1):
            one()
        another = min(one() for _ in range(3))
        client = tracking.open_store(config).client
        experiment = client.get_experiment_by_name(config.experiment).experiment_id
        begun = time.perf_counter()
        found = client.search_runs(
            [experiment], order_by=["metrics.metric1 DESC"], max_results=1000
        )
        looked = time.perf_counter() - begun
        size = (Path(folder) / "mlruns" / "mlflow.db").stat().st_size
    return {
        "found": len(found),
        "one more run s": another,
        "all of them s": looked,
        "database MB": size / 1e6,
    }


MEASURED: dict[str, tuple[str, list[tuple[str, tuple[Any, ...]]]]] = {
    "model": (
        "training",
        [
            (f"2 hidden layers of {n:,}", (*WIDE, f"model.layers.hidden1.units={n}"))
            for n in (64, 256, 1024, 2048, 4096)
        ],
    ),
    "batch": (
        "training",
        [
            (f"batch {n:,}", (*WIDE, f"trainer.batch_size={n}"))
            for n in (32, 64, 128, 256, 512, 1024)
        ],
    ),
    "replicas": (
        "training",
        [
            (f"{name}, {n} replica{'s' * (n > 1)}", (f"+experiment=speed_{name}", *more))
            for name in ("mlp", "wide")
            for n in (1, 2, 4)
            for more in [(f"strategy.replicas={n}",)]
        ],
    ),
    "steps": (
        "tracking",
        [(f"{n:,} steps", (n,)) for n in (1_000, 10_000, 100_000, 1_000_000)],
    ),
    "runs": ("runs", [(f"{n:,} run{'s' * (n > 1)}", (n,)) for n in (1, 10, 100, 1000)]),
}


def measure(kind: str, arguments: Sequence[Any]) -> dict[str, float]:
    """One point, in a process of its own."""
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--one",
        json.dumps([kind, list(arguments)]),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind} {arguments} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """As Markdown."""
    keys = list(rows[0][1])
    lines = [f"| | {' | '.join(keys)} |", "| --- |" + " ---: |" * len(keys)]
    lines += [f"| {name} | {' | '.join(map(_number, found.values()))} |" for name, found in rows]
    return "\n".join(lines)


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    asked = parser.parse_args()
    if asked.one:
        kind, arguments = json.loads(asked.one)
        functions = {"training": training, "tracking": tracking, "runs": runs}
        print(json.dumps(functions[kind](*arguments)))
        return
    from rich.progress import track

    text = DOCUMENT.read_text("utf-8")
    lines = []
    for name in asked.only:
        kind, points = MEASURED[name]
        rows = [(title, measure(kind, arguments)) for title, arguments in track(points, name)]
        lines += [(name, title, key, value) for title, row in rows for key, value in row.items()]
        marked = rf"(<!-- table: {name} -->\n).*?(<!-- end -->)"
        made = table(rows)
        text = re.sub(marked, rf"\g<1>{made}\n\g<2>", text, flags=re.DOTALL)
        print(made)
    DOCUMENT.write_text(text, "utf-8")
    if asked.only == list(MEASURED):
        with open(HERE / "scaling.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["table", "point", "what", "value"])
            writer.writerows(lines)


if __name__ == "__main__":
    main()
