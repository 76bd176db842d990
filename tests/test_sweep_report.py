"""The table of a sweep: its order, its front, what matters in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline import sweep_report
from pipeline.analysis import sweep_figures
from pipeline.composing import compose
from pipeline.sweep import Command
from pipeline.tracking.sweeps import TrialRun, one_each

METRIC = "best/val/accuracy"


def _trial(number: int, score: float | None, **changes: Any) -> TrialRun:
    values: dict[str, Any] = {
        "run_id": f"{number:032x}",
        "number": number,
        "overrides": f"optimizer.learning_rate=0.{number} model=mlp",
        "digest": str(number),
        "status": "FINISHED",
        "pruned": None,
        "deaths": 0,
        "start": number,
        "alive": False,
        "metrics": {} if score is None else {METRIC: score, "test/loss": 1 - score},
    }
    return TrialRun(**values | changes)


@pytest.fixture(scope="module")
def command() -> Command:
    space = {"optimizer.learning_rate": ["0.1"], "model": ["mlp"]}
    return Command(compose("train"), ["+experiment=digits"], [], space, None, True)


def _ranked(trials: list[TrialRun], command: Command) -> list[int]:
    objectives = sweep_report.objectives_of(command)
    rows = sweep_report.rows_of(trials, command, list(objectives))
    return [row["trial"] for row in sweep_report.ranked(rows, objectives)]


def test_best_is_first_pruned_after_whole_and_what_has_no_number_last(command: Command) -> None:
    trials = [
        _trial(0, 0.7),
        _trial(1, None, status="FAILED"),
        _trial(2, 0.9),
        _trial(3, math.nan),
        _trial(4, 0.95, pruned="at rung 1"),
    ]
    assert _ranked(trials, command) == [3, 1, 5, 2, 4]


def test_rows_have_a_trials_own_settings_and_scores(command: Command) -> None:
    trial = _trial(3, 0.75, overrides="optimizer.learning_rate=0.3 model=a b")
    (row,) = sweep_report.rows_of([trial], command, [METRIC])
    assert row["optimizer.learning_rate"] == "0.3"
    assert row["model"] == "a b"  # a value may hold spaces
    assert (row[METRIC], row["test/loss"]) == (0.75, 0.25)


def test_of_a_trials_runs_the_finished_one_counts_else_the_newest() -> None:
    runs = [
        _trial(0, 0.5, run_id="a", start=1),
        _trial(0, None, run_id="b", start=2, status="FAILED"),
        _trial(1, None, run_id="c", start=3, status="FAILED"),
        _trial(1, None, run_id="d", start=4, status="KILLED"),
    ]
    assert [run.run_id for run in one_each(runs)] == ["a", "d"]


def test_pareto_front_leaves_out_what_another_beats_in_everything() -> None:
    objectives = {"accuracy": "max", "loss": "min"}
    points = [(0.9, 0.5), (0.8, 0.2), (0.7, 0.3), (0.9, 0.5), (0.95, None), (float("nan"), 0.1)]
    rows = [{"accuracy": a, "loss": b} for a, b in points]
    assert sweep_report.pareto(rows, objectives) == [rows[0], rows[1], rows[3]]


@pytest.mark.slow
def test_importance_finds_the_setting_that_matters() -> None:
    rows = [
        {"rate": str(rate), "name": name, "score": rate / 10}
        for rate in range(6)
        for name in ("a", "b", "c")
    ]
    found = sweep_figures.importance(rows, ["rate", "name"], "score")
    assert found["rate"] > 0.95
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_figures_need_two_numbers_and_several_objectives_get_one_more(tmp_path: Path) -> None:
    rows = [
        {"x": str(i), "score": float(i), "cost": -float(i), "overrides": f"x={i}"} for i in range(3)
    ]
    sweep_figures.write(tmp_path, rows[:1], ["x"], {"score": "max"})
    assert list(tmp_path.iterdir()) == []
    sweep_figures.write(tmp_path, rows, ["x"], {"score": "max", "cost": "min"})
    names = ("parallel", "importance", "pareto")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}.{e}" for n in names for e in ("png", "html")
    }
