"""Leaderboards and comparisons as cells of a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.analysis.filters import duration, start
from pipeline.analysis.leaderboard import PRUNED_TAG, SHOWN_ID, Leaderboard, Score

if TYPE_CHECKING:
    from pipeline.analysis.sides import Comparison
    from pipeline.analysis.statistics import Paired
    from pipeline.tracking.runs import Run

NOTHING = "-"
Table = tuple[list[str], list[list[str]]]  # columns, rows


def number_text(value: float | None) -> str:
    """Six digits, as the summary line of a run has."""
    return NOTHING if value is None else f"{value:#.6g}".removesuffix(".")


def seconds_text(seconds: float | None) -> str:
    """A duration as people say it: 12.3 s, 4 min 05 s, 2 h 07 min."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def score_text(score: Score, runs: int = 1) -> str:
    """A value, with its deviation; and of how many, where that is not all of ``runs``."""
    text = number_text(score.value)
    if score.deviation is not None:
        text += f" ± {score.deviation:.2g}"
    return text if runs == 1 or score.count == runs else f"{text} (n={score.count})"


def board_table(board: Leaderboard) -> Table:
    """The cells of a leaderboard: what it must show first, then a column for each config key."""
    columns = ["run", *(["runs"] if board.group else []), objective_title(board), *board.metrics]
    columns += ["duration", "status"]
    titles = short_names(board.keys)
    several = len(board.objectives) > 1
    if several:
        columns.append("objective of")
    rows = []
    for row in board.rows:
        count = len(row.runs)
        cells = [row.run_id[:SHOWN_ID], *([str(count)] if board.group else [])]
        cells.append(score_text(row.score, count))
        cells += [score_text(row.metrics[name], count) for name in board.metrics]
        cells += [seconds_text(row.duration), row.status]
        if several:
            cells.append(str(row.objective or NOTHING))
        rows.append(cells + [text_of(row.config[key]) for key in board.keys])
    return [*columns, *(titles[key] for key in board.keys)], rows


def objective_title(board: Leaderboard) -> str:
    """The name of the objective's column."""
    if len(board.objectives) != 1:
        return "objective"
    metric = board.objectives[0].metric
    best = any(f"best/{metric}" in run.metrics for row in board.rows for run in row.runs)
    return f"best/{metric}" if best else metric


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each key that no other key has: ``learning_rate``."""
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        found[key] = next(
            end for end in ends if sum(k == end or k.endswith(f".{end}") for k in keys) == 1
        )
    return found


def text_of(value: str | None) -> str:
    """A config value; a dash where the run has no such key."""
    return NOTHING if value is None else value


def board_csv(board: Leaderboard) -> str:
    """One line a row, whole ids, durations in seconds, empty cells for what is missing."""
    grouped = board.group is not None
    columns = ["run_id", "name", "experiment", "status", "start", "duration_s"]
    columns += ["objective_metric", "objective"]
    scores = ["objective", *board.metrics]
    if grouped:
        columns[0] = "run_ids"
        columns += ["objective_deviation", "objective_n"]
    for name in board.metrics:
        columns += [name, *([f"{name} deviation", f"{name} n"] if grouped else [])]
    lines = []
    for row in board.rows:
        run = row.runs[0]
        line: list[Any] = [" ".join(run.run_id for run in row.runs), run.name, run.experiment]
        line += [row.status, start(run), row.duration]
        line.append(row.objective.metric if row.objective else None)
        for name in scores:
            score = row.score if name == "objective" else row.metrics[name]
            line += [score.value, *([score.deviation, score.count] if grouped else [])]
        lines.append(line + [row.config[key] for key in board.keys])
    return _csv([*columns, *board.keys], lines)


def board_json(board: Leaderboard) -> str:
    """Every row with its runs, and of each run all metrics and the differing config."""
    rows = []
    for row in board.rows:
        scores = {"objective": row.score, **row.metrics}
        rows.append(
            {
                "objective": str(row.objective) if row.objective else None,
                "scores": {
                    name: {"value": s.value, "deviation": s.deviation, "n": s.count}
                    for name, s in scores.items()
                },
                "status": row.status,
                "duration_s": row.duration,
                "config": row.config,
                "runs": [_run(run) for run in row.runs],
            }
        )
    whole = {
        "objectives": [
            {"metric": o.metric, "mode": "max" if o.maximise else "min"} for o in board.objectives
        ],
        "metrics": board.metrics,
        "config_keys": board.keys,
        "group": board.group,
        "notes": board.notes,
        "rows": rows,
    }
    return _json(whole)


def differences_table(compared: Sequence[Paired]) -> Table:
    """One row a metric: means, difference, interval, test."""
    columns = ["metric", "A", "B", "B - A", "95 % interval", "p", "test", "seeds"]
    rows = []
    for each in compared:
        interval = each.interval
        rows.append(
            [
                each.metric,
                number_text(each.mean_a),
                number_text(each.mean_b),
                _signed(each.difference),
                f"{_signed(interval[0])} to {_signed(interval[1])}" if interval else NOTHING,
                NOTHING if each.p is None else f"{each.p:.2g}",
                each.test or NOTHING,
                str(len(each.seeds)),
            ]
        )
    return columns, rows


def differences_csv(compared: Sequence[Paired]) -> str:
    """One line a metric."""
    columns = ["metric", "a", "b", "difference", "deviation", "low", "high", "p", "test"]
    columns += ["seeds", "left_out", "verdict", "seeds_needed"]
    lines = [
        [
            *(each.metric, each.mean_a, each.mean_b, each.difference, each.deviation),
            *(each.interval or (None, None)),
            *(each.p, each.test, " ".join(each.seeds), " ".join(each.alone)),
            *(each.verdict, each.needed),
        ]
        for each in compared
    ]
    return _csv(columns, lines)


def comparison_json(found: Comparison) -> str:
    """The whole comparison; ``config`` has the value of A and of B of each key that differs."""
    sides = {"A": found.a, "B": found.b}
    whole = {
        "runs": {
            label: {value: run.run_id for value, run in side.runs.items()}
            for label, side in sides.items()
        },
        "left_out": {label: side.left_out for label, side in sides.items()},
        "paired_by": found.key,
        "objective": found.decisive,
        "better": found.better,
        "notes": found.notes,
        "config": found.config,
        "metrics": [{**vars(each), "verdict": each.verdict} for each in found.compared],
    }
    return _json(whole)


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "pruned": run.tags.get(PRUNED_TAG),
        "seed": run.params.get("seed"),
        "start": start(run),
        "duration_s": duration(run),
        "metrics": dict(run.metrics),
    }


def _signed(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:+.4g}"


def _csv(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_finite(cell) for cell in line] for line in lines)
    return file.getvalue().rstrip("\n")


def _json(whole: Any) -> str:
    return json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """What is not finite as null, which JSON has, and spreadsheets leave empty."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
