"""What the experiments of conf/experiment score, over seeds, and their baselines, in one table.

    python experiments/scores/scores.py breast_cancer sunspots
    python experiments/scores/scores.py --seeds 0 fashion_cnn
    python experiments/scores/scores.py --table

Trains, by the command that the table shows, the seeds that results.csv lacks; adds what came of
them to results.csv, the baselines to baselines.csv, and writes the table of README.md. With
``--table`` nothing is trained: only the table is written. Runs are kept in ``--root``, each in the
experiment ``scores/<name>``; one that is there, with the same config, is not trained again.
"""

from __future__ import annotations

import argparse
import copy
import csv
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from pipeline.tracking.runs import Run

FOLDER = Path(__file__).parent
RESULTS, BASELINES, PAGE = FOLDER / "results.csv", FOLDER / "baselines.csv", FOLDER / "README.md"
MARKERS = "<!-- table: scores -->\n", "<!-- end -->"
SEEDS = [0, 1, 2, 3, 4]
# What of an experiment's test metrics the table shows, and how many digits of it.
SHOWN = {
    "breast_cancer": ("accuracy",),
    "diabetes": ("rmse", "r2"),
    "digits": ("accuracy",),
    "digits_cnn": ("accuracy",),
    "digits_local": ("accuracy",),
    "digits_gru": ("accuracy",),
    "digits_stateful": ("accuracy",),
    "digits_transformer": ("accuracy",),
    "digits_autoencoder": ("rmse",),
    "fashion_cnn": ("accuracy",),
    "fashion_resnet": ("accuracy",),
    "python_reference": ("bits_per_byte",),
    "sunspots": ("rmse",),
}
DIGITS = {"accuracy": 4, "rmse": 2, "r2": 3, "bits_per_byte": 3}
FINE = {"digits_autoencoder": 4}  # digits of pixels in [0, 1]


@dataclass(frozen=True)
class Result:
    """A metric of a run's test split. ``minutes``: from the run's beginning to its end."""

    experiment: str
    seed: int
    metric: str
    value: float
    minutes: float
    run_id: str
    config: str
    commit: str


def recorded(experiment: str, seeds: Sequence[int], root: str) -> list[Result]:
    """What the store has of the experiment as it is configured now, the newest run of a seed."""
    from pipeline.analysis.leaderboard import counts
    from pipeline.composing import compose
    from pipeline.config import Tracking
    from pipeline.study_runs import COMMIT_TAG, CONFIG_TAG
    from pipeline.tracking.location import locate
    from pipeline.tracking.runs import open_runs

    tracking = Tracking(root=root)
    database = locate(tracking).database
    if database is None or not database.exists():
        return []
    with open_runs(tracking) as runs:
        found = [run for run in runs.read(experiment=f"scores/{experiment}") if counts(run)]
    config = compose("train", [f"+experiment={experiment}"])
    results = []
    for seed in seeds:
        config.seed = seed
        same = (run for run in found if "seed" in run.params and _is_of(config, run))
        if (run := next(same, None)) is None:
            continue
        digest = run.tags.get(CONFIG_TAG, "")
        minutes = round(((run.end or 0) - (run.start or 0)) / 60000, 2)
        commit = run.tags.get(COMMIT_TAG, "")
        for metric in SHOWN[experiment]:
            value = run.metrics[f"test/{metric}"]
            results.append(
                Result(experiment, seed, metric, value, minutes, run.run_id, digest, commit)
            )
    return results


def _is_of(config: DictConfig, run: Run) -> bool:
    """Whether the run was configured so, in all keys that both know: later versions have more."""
    from pipeline.assembly import flat
    from pipeline.tracking.names import param_text

    config = copy.deepcopy(config)
    for key in ("classes", "outputs", "vocabulary"):  # what the run has found in the data
        found = run.params.get(f"dataset.{key}", "null")
        config.dataset[key] = None if found == "null" else int(found)
    parts = (
        "dataset.",
        "model.",
        "objective.",
        "optimizer.",
        "schedule.",
        "seed",
        "task.",
        "trainer.",
    )
    own = {key: param_text(value) for key, value in flat(config).items() if key.startswith(parts)}
    return all(run.params.get(key, value) == value for key, value in own.items())


def train(experiment: str, seeds: Sequence[int], root: str) -> None:
    """One sweep over the seeds; raises where it fails."""
    command = [sys.executable, "-m", "pipeline.train", "-m", f"+experiment={experiment}"]
    command += [f"seed={','.join(map(str, seeds))}", f"tracking.root={root}"]
    subprocess.run([*command, f"tracking.experiment=scores/{experiment}"], check=True)


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All rows, by experiment in the order of ``SHOWN``."""
    order = {name: place for place, name in enumerate(SHOWN)}
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: order[row["experiment"]]))


def table(results: Sequence[dict[str, str]], plain: Sequence[dict[str, str]]) -> str:
    """In Markdown: mean and standard deviation over the seeds, and the baselines."""
    lines = ["| experiment | test | score | seeds | minutes | baseline |"]
    lines += ["| --- | --- | ---: | ---: | ---: | --- |"]
    for experiment, metrics in SHOWN.items():
        for metric in metrics:
            own = [r for r in results if (r["experiment"], r["metric"]) == (experiment, metric)]
            if not own:
                continue
            digits = FINE.get(experiment, DIGITS[metric])
            values = [float(row["value"]) for row in own]
            score = f"{statistics.mean(values):.{digits}f}"
            if len(values) > 1:
                score += f" ± {statistics.stdev(values):.{digits}f}"
            minutes = statistics.mean(float(row["minutes"]) for row in own)
            beside = "; ".join(
                f"{row['baseline']} {float(row['value']):.{digits}f}"
                for row in plain
                if (row["experiment"], row["metric"]) == (experiment, metric)
            )
            name = f"[{experiment}](../../conf/experiment/{experiment}.yaml)"
            cells = [name, metric, score, str(len(values)), f"{minutes:.1f}", beside]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def publish() -> None:
    """Write the table of the page out of the two CSV files."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    text = table(read(RESULTS), read(BASELINES))
    PAGE.write_text(f"{before}{MARKERS[0]}{text}\n{MARKERS[1]}{after}", "utf-8")


def bring_up_to_date(experiment: str, seeds: Sequence[int], root: str) -> None:
    """Train the seeds that are missing, and put results and baselines into the CSV files."""
    from baselines import scores

    there = {result.seed for result in recorded(experiment, seeds, root)}
    if lacking := [seed for seed in seeds if seed not in there]:
        train(experiment, lacking, root)
    found = [asdict(result) for result in recorded(experiment, seeds, root)]
    plain = [asdict(score) for score in scores(experiment)]
    for file, now in ((RESULTS, found), (BASELINES, plain)):
        write(file, [*(row for row in read(file) if row["experiment"] != experiment), *now])


def main(words: Sequence[str]) -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiments", nargs="*", metavar="experiment", help="default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--root", default="mlruns", help="where runs are kept")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.experiments if name not in SHOWN]:
        parser.error(f"no score of {', '.join(unknown)}; there are {', '.join(SHOWN)}")
    for experiment in [] if asked.table else asked.experiments or SHOWN:
        bring_up_to_date(experiment, asked.seeds, asked.root)
        publish()
    publish()


if __name__ == "__main__":
    main(sys.argv[1:])
