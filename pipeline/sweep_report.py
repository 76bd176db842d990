"""What a sweep came to: the table of its trials, the figures, the best, kept on the parent run."""

from __future__ import annotations

import csv
import json
import math
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.console import Console
from pipeline.tracking import pages, sweeps
from pipeline.trial import short

if TYPE_CHECKING:
    from pipeline.sweep import Command
    from pipeline.tracking.store import Store
    from pipeline.tracking.tracker import AnyTracker

SHOWN = 20  # trials in the terminal and in the note; the files have all
FOLDER = "sweep"
NOTE_TAG = "mlflow.note.content"  # Markdown that MLflow's pages show with the run


def report(command: Command, store: Store, tracker: AnyTracker, console: Console) -> None:
    """Write table and figures of the trials as they are now, and show the table."""
    trials = sweeps.one_each(sweeps.trials(store, tracker.run_id))
    if not trials:
        return
    objectives = objectives_of(command)
    rows = ranked(rows_of(trials, command, list(objectives)), objectives)
    best = next((row for row in rows if row["status"] == "FINISHED" and not row["pruned"]), None)
    with tempfile.TemporaryDirectory() as folder:
        for path in files(Path(folder), rows, command, objectives):
            tracker.file(path, FOLDER)
    shown = [*short_keys(command), *objectives, "status", "run"]
    table = [[_text(row, key, command) for key in _keys(command, objectives)] for row in rows]
    experiment_id = store.recorded(tracker.run_id).experiment_id
    links = {
        "the trials, best first": pages.ranked(experiment_id, tracker.run_id),
        "charts": pages.charts(experiment_id, tracker.run_id),
        "side by side": pages.side_by_side(experiment_id, [r["run_id"] for r in rows[:SHOWN]]),
    }
    tags = {NOTE_TAG: note(command, shown, table, best, links)}
    if best is not None:
        tags[sweeps.BEST_TAG] = best["run_id"]
        tags["sweep/best_overrides"] = best["overrides"]
    tracker.tags(tags)
    console.table("", shown, table[:SHOWN])
    if len(table) > SHOWN:
        console.line(f"… and {len(table) - SHOWN} more; sweep/trials.csv of the parent has all")
    if best is not None:
        console.line(f"best: {best['overrides']} ({best['run_id']})")
    if len(objectives) > 1:
        front = pareto([row for row in rows if row["status"] == "FINISHED"], objectives)
        numbers = ", ".join(str(row["trial"]) for row in front)
        console.line(f"best in one objective or another (Pareto front): trials {numbers}")


def objectives_of(command: Command) -> dict[str, str]:
    """Metric -> max or min, the main one first, under the names that runs have them by."""
    objective, further = command.config.objective, command.config.sweep.objectives
    return {f"best/{objective.metric}": objective.mode, **further}


def rows_of(
    trials: Sequence[sweeps.TrialRun], command: Command, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """A row a trial: number, swept keys, metrics, status, seconds."""
    rows = []
    for trial in trials:
        said = dict(o.lstrip("+").split("=", 1) for o in _split(trial.overrides, command))
        extra = [k for k in sorted(trial.metrics) if k.startswith("test/") and k not in metrics]
        rows.append(
            {
                "trial": trial.number + 1,
                **{key: said.get(key, "") for key in command.space},
                **{key: trial.metrics.get(key) for key in [*metrics, *extra]},
                "status": trial.status,
                "pruned": trial.pruned or "",
                "run_id": trial.run_id,
                "overrides": trial.overrides,
            }
        )
    return rows


def ranked(rows: list[dict[str, Any]], objectives: dict[str, str]) -> list[dict[str, Any]]:
    """Best first by the main objective; without it, last."""
    key, mode = next(iter(objectives.items()))
    sign = -1 if mode == "max" else 1

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        value = row[key]
        lacking = value is None or value != value
        return (lacking, bool(row["pruned"]), 0 if lacking else sign * value, row["trial"])

    return sorted(rows, key=place)


def pareto(rows: Sequence[dict[str, Any]], objectives: dict[str, str]) -> list[dict[str, Any]]:
    """The rows that no other is at least as good as in everything, and better in something."""

    def goods(row: dict[str, Any]) -> list[float]:
        return [row[k] if mode == "max" else -row[k] for k, mode in objectives.items()]

    whole = [row for row in rows if all(_finite(row[k]) for k in objectives)]
    return [
        row
        for row in whole
        if not any(
            all(a >= b for a, b in zip(goods(other), goods(row), strict=True))
            and goods(other) != goods(row)
            for other in whole
        )
    ]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def files(
    folder: Path, rows: list[dict[str, Any]], command: Command, objectives: dict[str, str]
) -> list[Path]:
    """Write what is kept of the sweep into ``folder``; returns the paths."""
    from pipeline.analysis import sweep_figures

    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (folder / "trials.json").write_text(json.dumps(rows, indent=2), "utf-8")
    done = [row for row in rows if row["status"] == "FINISHED"]
    sweep_figures.write(folder, done, list(command.space), objectives)
    if len(objectives) > 1:
        front = pareto(done, objectives)
        (folder / "pareto.json").write_text(json.dumps(front, indent=2), "utf-8")
    return sorted(folder.iterdir())


def note(
    command: Command,
    columns: Sequence[str],
    table: list[list[str]],
    best: dict[str, Any] | None,
    links: Mapping[str, str],
) -> str:
    """Markdown: where to look, the best, the table, the command.

    MLflow shows its first lines, and the rest when it is asked to.
    """
    lines = [" · ".join(f"[{name}]({address})" for name, address in links.items()), ""]
    if best is not None:
        lines += [f"Best: `{best['overrides']}` (run {best['run_id']})", ""]
    lines += [_row(columns), f"|{' --- |' * len(columns)}", *map(_row, table[:SHOWN])]
    if len(table) > SHOWN:
        lines += ["", f"… and {len(table) - SHOWN} more in the artifact `{FOLDER}/trials.csv`"]
    words = shlex.join([*command.flags, *command.overrides])
    lines += ["", "```", f"python -m pipeline.train -m {words}", "```"]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def short_keys(command: Command) -> list[str]:
    """The swept keys, with as many of their last words as tell them apart."""
    return [text.removesuffix("=") for text in short([f"{key}=" for key in command.space])]


def _keys(command: Command, objectives: dict[str, str]) -> list[str]:
    return [*command.space, *objectives, "status", "run_id"]


def _text(row: dict[str, Any], key: str, command: Command) -> str:
    value = row[key]
    if key == "run_id":
        return str(value)[:8]
    if key == "status" and row["pruned"]:
        return "pruned"
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _split(overrides: str, command: Command) -> list[str]:
    """A trial's overrides again; a value may hold spaces."""
    found: list[str] = []
    for word in overrides.split(" "):
        key = word.lstrip("+").partition("=")[0]
        if "=" in word and key in command.space:
            found.append(word)
        elif found:
            found[-1] += f" {word}"
    return found
