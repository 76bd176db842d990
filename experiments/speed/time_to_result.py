"""From the start of a process to its last line: 20 epochs of digits, here and by hand.

    python experiments/speed/time_to_result.py

By hand is Keras with MLflow (``by_hand.py``), as people write it, and so tuned that MLflow need not
find out what the model requires. All write into a local store that is there, and keep the best
weights, the metrics of each epoch, the test scores and the model. They take turns with
``import tensorflow`` alone; a first turn is not counted. Writes ``time_to_result.csv`` and ``.md``.
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

from rich.progress import track

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EPOCHS = 20
SHARE, MORE = 0.6, 6.0  # at most of the time by hand; at most seconds more than the import


def commands(folder: Path) -> dict[str, list[str]]:
    """What is timed, each by its title."""
    train = ["-m", "pipeline.train", "+experiment=digits", f"trainer.duration={EPOCHS} epochs"]
    return {
        "import tensorflow": ["-c", "import tensorflow; print('done')"],
        "Keras and MLflow by hand": [str(HERE / "by_hand.py"), str(folder)],
        "by hand, requirements given": [str(HERE / "by_hand.py"), str(folder), "given"],
        "ours": [*train, f"tracking.root={folder / 'mlruns'}"],
    }


def seconds(command: list[str]) -> float:
    """Until the last line of its output. Raises ``RuntimeError`` where it fails."""
    begun = last = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        for _ in process.stdout:
            last = time.perf_counter()
        if process.wait():
            errors.seek(0)
            raise RuntimeError(f"{command} failed:\n{errors.read()[-2000:]}")
    return last - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="that are counted (5)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the results")
    asked = parser.parse_args()
    rows: list[tuple[str, int, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        chosen = commands(Path(scratch))
        for round in track(range(asked.rounds + 1), "rounds"):
            for title, command in chosen.items():
                rows.append((title, round, seconds(command)))
    counted = [row for row in rows if row[1]]
    text = markdown(counted)
    with open(asked.out / "time_to_result.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "round", "seconds"])
        writer.writerows((title, round, f"{took:.2f}") for title, round, took in counted)
    (asked.out / "time_to_result.md").write_text(text, "utf-8")
    print(text)


def markdown(rows: list[tuple[str, int, float]]) -> str:
    """A table, and whether what was aimed at was reached."""
    times: dict[str, list[float]] = {}
    for title, _, took in rows:
        times.setdefault(title, []).append(took)
    lines = [f"| {EPOCHS} epochs of digits | seconds to the last line |", "| --- | ---: |"]
    for title, found in times.items():
        low, high = min(found), max(found)
        lines.append(f"| {title} | {statistics.median(found):.1f} ({low:.1f} to {high:.1f}) |")
    bare, by_hand, given, ours = times.values()
    share, tuned = (
        statistics.median(a / b for a, b in zip(ours, other, strict=True))
        for other in (by_hand, given)
    )
    more = statistics.median(a - b for a, b in zip(ours, bare, strict=True))
    lines += [
        "",
        f"- {share:.0%} of the time by hand; at most {SHARE:.0%} was aimed at: "
        + ("reached" if share <= SHARE else "not reached"),
        f"- {tuned:.0%} of the time by hand with requirements given",
        f"- {more:.1f} s more than `import tensorflow` takes by itself; at most {MORE:.0f} s was "
        "aimed at: " + ("reached" if more <= MORE else "not reached"),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
