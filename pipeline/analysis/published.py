"""What a study publishes: a row for each run, and the table and the verdict that follow from these.

Plain values in, text out. The table is made of the rows of ``results.csv`` alone, so that it can be
checked without the runs.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.analysis.leaderboard import SHOWN_ID
from pipeline.analysis.rendering import number_text
from pipeline.analysis.statistics import Paired, judge
from pipeline.errors import ConfigError
from pipeline.studies import Kind, Study

KEYS = ("arm", "seed", "run_id")
DIFFERENCE = ("difference", "where", "points")  # of kind same
ORIGINS = ("config", "dataset", "commit")


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        metrics: the last value of each that is shown.
        difference: of kind same: the largest relative difference of the curves from those of the
            baseline with the same seed; infinite where a point is missing.
        where, points: the metric and step of it, and of how many points it is the largest.
        config, dataset: SHA-256 of what was trained and of the data.
        commit: of the code; empty where none was recorded.
    """

    arm: str
    seed: int
    run_id: str
    metrics: Mapping[str, float]
    config: str
    dataset: str = ""
    commit: str = ""
    difference: float | None = None
    where: str = ""
    points: int = 0

    def cells(self, study: Study) -> dict[str, str]:
        """Column -> text; a number has all its digits."""
        cells = {"arm": self.arm, "seed": str(self.seed), "run_id": self.run_id}
        cells |= {name: repr(float(self.metrics[name])) for name in study.shown}
        if study.asked.kind == Kind.same:
            of = "" if self.difference is None else repr(float(self.difference))
            cells |= {"difference": of, "where": self.where, "points": str(self.points)}
        return cells | {"config": self.config, "dataset": self.dataset, "commit": self.commit}


def columns(study: Study) -> list[str]:
    """The columns of ``results.csv``."""
    of_kind = DIFFERENCE if study.asked.kind == Kind.same else ()
    return [*KEYS, *study.shown, *of_kind, *ORIGINS]


def to_csv(study: Study, rows: Sequence[Row]) -> str:
    """The text of ``results.csv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(study), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells(study) for row in rows)
    return text.getvalue()


def from_csv(study: Study, file: Path) -> list[Row]:
    """The rows of ``results.csv``.

    Raises:
        ConfigError: it is not there, has other columns, or a number is none.
    """
    if not file.is_file():
        raise ConfigError(
            f"{file} is not there: nothing is published yet. python -m pipeline.report {study.name}"
        )
    with open(file, newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != columns(study):
            raise ConfigError(
                f"{file}: its columns are {', '.join(reader.fieldnames or ['none'])}; study.yaml "
                f"asks for {', '.join(columns(study))}. Publish it again."
            )
        found = []
        for line in reader:
            try:
                found.append(_row(study, line))
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{file}, line {reader.line_num}: {error}") from error
    return found


def _row(study: Study, line: Mapping[str, str]) -> Row:
    return Row(
        arm=line["arm"],
        seed=int(line["seed"]),
        run_id=line["run_id"],
        metrics={name: float(line[name]) for name in study.shown},
        config=line["config"],
        dataset=line["dataset"],
        commit=line["commit"],
        difference=float(line["difference"]) if line.get("difference") else None,
        where=line.get("where", ""),
        points=int(line.get("points") or 0),
    )


# The verdict -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Findings:
    """What the rows say.

    Attributes:
        answer: in one line, without markup.
        table: columns and rows.
        sentences: the verdict on each arm, and what the reader should know of the numbers.
    """

    answer: str
    columns: list[str]
    table: list[list[str]]
    sentences: list[str] = field(default_factory=list)


def findings(study: Study, rows: Sequence[Row]) -> Findings:
    """The verdict of a study; ``rows`` are all of its runs."""
    found = _same(study, rows) if study.asked.kind == Kind.same else _difference(study, rows)
    for name, what in (("dataset", "data"), ("commit", "code")):
        if len({getattr(row, name) for row in rows}) > 1:
            found.sentences.append(f"Note: the runs are of different {what} (`{name}`).")
    return found


def compared(study: Study, rows: Sequence[Row]) -> list[Paired]:
    """Each arm against the baseline, paired by seed; p is Holm's over the arms."""
    metric = study.asked.metric
    values: dict[str, dict[str, float]] = {arm: {} for arm in study.asked.arms}
    for row in rows:
        values[row.arm][str(row.seed)] = row.metrics[metric]
    baseline = values[study.asked.baseline]
    return judge({arm: (baseline, values[arm]) for arm in study.others}, None)


def _difference(study: Study, rows: Sequence[Row]) -> Findings:
    asked = study.asked
    judged = {paired.metric: paired for paired in compared(study, rows)}
    heading = ["arm", *study.shown, f"against {asked.baseline}", "95 % interval", "p", "verdict"]
    table, sentences, answers = (
        [],
        [],
        [f"{asked.baseline} {_mean(rows, asked.baseline, asked.metric)}"],
    )
    for arm in asked.arms:
        cells = [arm, *(_spread(_values(rows, arm, name)) for name in study.shown)]
        paired = judged.get(arm)
        if paired is None:
            table.append([*cells, "baseline", "", "", ""])
            continue
        interval = "-"
        if paired.interval is not None:
            interval = " to ".join(f"{value:+.3g}" for value in paired.interval)
        p = "-" if paired.p is None else f"{paired.p:.2g}"
        table.append([*cells, f"{paired.difference:+.3g}", interval, p, paired.verdict])
        sentences.append(_sentence(study, arm, paired))
        answers.append(f"{arm} {_mean(rows, arm, asked.metric)}, {_verdict(study, arm, paired)}")
    tests = " and ".join(sorted({paired.test for paired in judged.values() if paired.test}))
    holm = (
        f"raised by Holm's procedure over the {len(judged)} comparisons" if len(judged) > 1 else ""
    )
    sentences.append(
        f"Mean ± standard deviation over {len(asked.seeds)} seeds. Differences are paired by seed; "
        f"p is two-sided ({tests or 'no test'}{', ' if holm else ''}{holm}); an interval is that "
        "of one comparison alone."
    )
    return Findings(f"{asked.metric}: {'; '.join(answers)}", heading, table, sentences)


def _verdict(study: Study, arm: str, paired: Paired) -> str:
    """The words of ``pipeline.compare``, and which arm is better where one is."""
    if not paired.larger:
        return paired.verdict
    arm_is = (paired.difference > 0) == (study.asked.mode == "max")
    return f"{'better' if arm_is else 'worse'}: {paired.verdict}"


def _sentence(study: Study, arm: str, paired: Paired) -> str:
    advice = f"; {paired.advice}" if paired.advice else ""
    return (
        f"**{arm} against {study.asked.baseline}**: {study.asked.metric} "
        f"{paired.difference:+.3g}, {_verdict(study, arm, paired)}{advice}."
    )


def _same(study: Study, rows: Sequence[Row]) -> Findings:
    asked, curves = study.asked, " and ".join(study.asked.curves)
    heading = ["arm", *study.shown, "largest difference", "where", "points", "verdict"]
    table, largest = [], 0.0
    for arm in asked.arms:
        own = [row for row in rows if row.arm == arm]
        cells = [arm, *(_spread(_values(rows, arm, name)) for name in study.shown)]
        if arm == asked.baseline:
            table.append([*cells, "baseline", "", "", ""])
            continue
        worst = max(own, key=lambda row: row.difference or 0.0)
        found = worst.difference or 0.0
        largest = max(largest, found)
        verdict = "the same" if found <= asked.tolerance else "not the same"
        where = f"{worst.where}, seed {worst.seed}" if worst.where else ""
        points = f"{sum(row.points for row in own):,}"
        table.append([*cells, f"{found:.2g}", where, points, verdict])
    answer = "yes" if largest <= asked.tolerance else "no"
    said = (
        f"{answer}: the largest relative difference of {curves} from {asked.baseline} is "
        f"{largest:.2g}, with a tolerance of {asked.tolerance:g}"
    )
    explained = (
        f"Mean ± standard deviation over {len(asked.seeds)} seeds. A difference is that of a point "
        f"of {curves} from the same step of {asked.baseline} with the same seed, by the larger of "
        "the two; the largest of all points of all seeds is shown."
    )
    return Findings(said, heading, table, [f"**{said}.**", explained])


def _values(rows: Sequence[Row], arm: str, metric: str) -> list[float]:
    return [row.metrics[metric] for row in rows if row.arm == arm]


def _mean(rows: Sequence[Row], arm: str, metric: str) -> str:
    return number_text(statistics.fmean(_values(rows, arm, metric)))


def _spread(values: Sequence[float]) -> str:
    if not all(map(math.isfinite, values)):
        return "not finite"
    return f"{number_text(statistics.fmean(values))} ± {statistics.stdev(values):.2g}"


# The page ----------------------------------------------------------------------------------------


def block(study: Study, rows: Sequence[Row]) -> str:
    """What stands between the markers of the study's README."""
    found = findings(study, rows)
    lines = [_line(found.columns), _line(["---"] * len(found.columns)), *map(_line, found.table)]
    for sentence in found.sentences:
        lines += ["", sentence]
    seeds = ", ".join(map(str, study.asked.seeds))
    lines += ["", f"| arm | runs of seed {seeds} |", "| --- | --- |"]
    for arm in study.asked.arms:
        ids = ",".join(row.run_id[:SHOWN_ID] for row in rows if row.arm == arm)
        lines.append(_line([arm, f"`{ids}`"]))
    lines += ["", "![scores of all runs](scores.png)", "", "![mean curves](curves.png)"]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
