"""Rows of runs: what differs, what they reached, in which order, and grouped over seeds."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.analysis import rendering
from pipeline.analysis.differences import differing
from pipeline.analysis.leaderboard import Leaderboard, Objective, leaderboard
from pipeline.errors import ConfigError
from pipeline.tracking.runs import Run

Make = Callable[..., Run]
ADAM = {
    "optimizer._target_": "pipeline.training.optimizers.Adam",
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.001,
    "optimizer.beta_1": 0.9,
}
MOMENTUM = {
    "optimizer._target_": "pipeline.training.optimizers.SGD",
    "optimizer.name": "momentum",
    "optimizer.learning_rate": 0.05,
    "optimizer.momentum": 0.9,
}


def numbers(board: Leaderboard) -> list[int]:
    """The runs in their order, by number."""
    return [int(row.run_id[:8]) for row in board.rows]


def table(board: Leaderboard) -> list[dict[str, str]]:
    columns, rows = rendering.board_table(board)
    return [dict(zip(columns, row, strict=True)) for row in rows]


# What differs ------------------------------------------------------------------------------------


def test_only_what_differs_is_a_column_and_each_difference_once(make_run: Make) -> None:
    one = make_run({"seed": 0, "trainer.batch_size": 64, **ADAM})
    other = make_run({"seed": 0, "trainer.batch_size": 64, **MOMENTUM})
    # The class says what the name says; beta_1 and momentum belong to one of the two alone.
    assert differing([one, other]) == {"optimizer.name": [], "optimizer.learning_rate": []}
    assert differing([one, one]) == {}


def test_settings_of_a_part_are_told_where_they_differ_in_what_has_them(make_run: Make) -> None:
    runs = [
        make_run({**ADAM, "optimizer.beta_1": 0.9}),
        make_run({**ADAM, "optimizer.beta_1": 0.8}),
        make_run(MOMENTUM),
    ]
    assert list(differing(runs)) == [
        "optimizer.name",
        "optimizer.learning_rate",
        "optimizer.beta_1",
    ]


def test_a_class_without_a_name_and_one_that_differs_under_one_name_are_told(
    make_run: Make,
) -> None:
    constant = {"schedule._target_": "schedules.Constant"}
    cosine = {"schedule._target_": "schedules.Cosine", "schedule.final": 0.0}
    assert list(differing([make_run(constant), make_run(cosine)])) == ["schedule._target_"]
    mine = {**ADAM, "optimizer._target_": "mine.Adam"}
    assert list(differing([make_run(ADAM), make_run(mine)])) == ["optimizer._target_"]


def test_a_layer_that_some_runs_lack_is_one_column(make_run: Make) -> None:
    small = {"model._target_": "layers.Stack"}
    large = {
        **small,
        "model.layers.extra._target_": "layers.Dense",
        "model.layers.extra.units": 64,
        "model.layers.extra.activation": "relu",
    }
    assert list(differing([make_run(small), make_run(large)])) == ["model.layers.extra._target_"]


def test_numbers_are_compared_as_numbers_and_where_runs_are_kept_is_no_config(
    make_run: Make,
) -> None:
    a = {"lr": "0.001", "flag": "true", "tracking.root": "a", "resume": "null", "n": "1.0"}
    b = {"lr": "1e-3", "flag": "1", "tracking.root": "b", "resume": "abc", "sweep.x": "1", "n": 1}
    assert differing([make_run(a), make_run(b)]) == {"flag": []}


def test_a_key_that_older_runs_lack_differs(make_run: Make) -> None:
    runs = [make_run({"seed": 0}), make_run({"seed": 0, "trainer.profile": 0})]
    assert list(differing(runs)) == ["trainer.profile"]
    assert [row["profile"] for row in table(leaderboard(runs))] == ["-", "0"]


def test_what_has_the_same_values_throughout_is_named_in_a_note(make_run: Make) -> None:
    runs = [
        make_run({"dataset.classes": n, "model.layers.logits.units": n, "seed": 0})
        for n in (10, 20, 20)
    ]
    board = leaderboard(runs)
    assert board.keys == ["dataset.classes"]
    assert board.notes == ["the same as dataset.classes in every run: model.layers.logits.units"]


# What they reached -------------------------------------------------------------------------------


def test_the_best_comes_first_and_what_has_no_number_last(make_run: Make) -> None:
    values = [0.5, math.nan, 0.9, None, 0.7, math.inf]
    metrics = [{} if v is None else {"best/val/accuracy": v, "val/accuracy": 0.1} for v in values]
    runs = [make_run({}, each) for each in metrics]
    assert numbers(leaderboard(runs)) == [6, 3, 5, 1, 2, 4]
    lowest = [make_run({"objective.mode": "min"}, each) for each in metrics]
    assert numbers(leaderboard(lowest)) == [7, 11, 9, 12, 8, 10]


def test_the_objective_is_the_best_value_where_it_is_known_else_the_last(make_run: Make) -> None:
    best = make_run({}, {"val/accuracy": 0.8, "best/val/accuracy": 0.9})
    last = make_run({}, {"val/accuracy": 0.85})
    board = leaderboard([last, best])
    assert [row.score.value for row in board.rows] == [0.9, 0.85]
    assert board.objectives == [Objective("val/accuracy", True)]
    assert table(board)[0]["best/val/accuracy"] == "0.900000"


def test_runs_of_different_objectives_are_said_to_be_so_and_ranked_apart(make_run: Make) -> None:
    loss = {"objective.metric": "val/loss", "objective.mode": "min"}
    runs = [
        make_run(loss, {"val/loss": 2.0}),
        make_run({}, {"val/accuracy": 0.5}),
        make_run(loss, {"val/loss": 1.0}),
        make_run({}, {"val/accuracy": 0.9}),
        make_run({}, {"val/accuracy": 0.7}),
    ]
    board = leaderboard(runs)
    assert numbers(board) == [4, 5, 2, 3, 1]
    assert board.notes == [
        "the runs have different objectives, and are ranked within each: "
        "highest val/accuracy (3 runs), lowest val/loss (2 runs)"
    ]
    assert (
        table(board)[-1] | {"objective": "2.00000", "objective of": "lowest val/loss"}
        == (table(board)[-1])
    )


def test_metrics_of_the_test_split_are_shown_and_those_that_are_asked_for(make_run: Make) -> None:
    metrics = {"test/loss": 0.5, "test/accuracy": 0.9, "val/loss": 0.4, "speed/step_ms": 3.0}
    run = make_run({}, metrics)
    assert leaderboard([run]).metrics == ["test/accuracy", "test/loss"]
    asked = leaderboard([run], metrics=["speed/*", "test/loss", "val/loss"])
    assert asked.metrics == ["test/accuracy", "test/loss", "speed/step_ms", "val/loss"]
    with pytest.raises(ConfigError, match="--metrics val/los: no run has it. Did you mean 'val/l"):
        leaderboard([run], metrics=["val/los"])


def test_duration_and_status_are_told_pruned_trials_apart(make_run: Make) -> None:
    runs = [
        make_run(end=1_800_000_001_000 + 125_000),
        make_run(status="RUNNING", end=None),
        make_run(tags={"sweep/pruned": "worse than the median at step 50"}),
    ]
    shown = [(row["duration"], row["status"]) for row in table(leaderboard(runs))]
    assert shown == [("2 min 05 s", "FINISHED"), ("-", "RUNNING"), ("1 min 00 s", "PRUNED")]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("val/loss", [2, 1, 3, 4]),
        ("metrics.val/loss desc", [1, 2, 3, 4]),
        ("val/accuracy", [1, 4, 2, 3]),
        ("val/accuracy asc", [2, 4, 1, 3]),
        ("objective asc", [2, 4, 1, 3]),
        ("optimizer.learning_rate", [3, 1, 2, 4]),
        ("name desc", [4, 3, 2, 1]),
        ("duration", [2, 1, 3, 4]),
    ],
)
def test_rows_are_ordered_by_any_key(sort: str, order: list[int], make_run: Make) -> None:
    rate = "optimizer.learning_rate"
    runs = [
        make_run({rate: "1e-2"}, {"val/accuracy": 0.9, "val/loss": 2.0}),
        make_run({rate: "0.1"}, {"val/accuracy": 0.5, "val/loss": 1.0}, end=1_800_000_002_500),
        make_run({rate: "9e-3"}, {"val/loss": math.nan}),
        make_run({}, {"val/accuracy": 0.7}, end=None),
    ]
    assert numbers(leaderboard(runs, sort=sort)) == order


def test_an_unknown_key_to_sort_or_group_by_is_told(make_run: Make) -> None:
    run = make_run({"seed": 0, "optimizer.learning_rate": 1})
    with pytest.raises(ConfigError, match="--sort learning_rate: .*'optimizer.learning_rate'"):
        leaderboard([run], sort="learning_rate")
    with pytest.raises(ConfigError, match="--group sed: no run has that key. Did you mean 'seed'"):
        leaderboard([run], group="sed")


# Over seeds --------------------------------------------------------------------------------------


def test_runs_that_differ_in_the_seed_alone_become_one_row(make_run: Make) -> None:
    adam, momentum = [0.97, 0.98, 0.96], [0.91, 0.95]
    runs = [
        make_run({"seed": seed, **ADAM, "tracking.run_name": seed}, {"val/accuracy": value})
        for seed, value in enumerate(adam)
    ]
    runs += [make_run({"seed": s, **MOMENTUM}, {"val/accuracy": v}) for s, v in enumerate(momentum)]
    board = leaderboard(runs, group="seed")
    first, second = board.rows
    assert [len(row.runs) for row in board.rows] == [3, 2]
    assert first.score.value == pytest.approx(statistics.fmean(adam))
    assert first.score.deviation == pytest.approx(statistics.stdev(adam))
    assert (first.score.count, second.score.count) == (3, 2)
    assert [run.run_id for run in first.runs] == [run.run_id for run in runs[:3]]
    assert board.keys == ["optimizer.name", "optimizer.learning_rate"]
    assert (
        table(board)[0] | {"val/accuracy": "0.970000 ± 0.01", "runs": "3", "name": "adam"}
        == (table(board)[0])
    )


def test_runs_that_did_not_finish_do_not_count_towards_a_mean(make_run: Make) -> None:
    runs = [
        make_run({"seed": 0}, {"val/accuracy": 0.9}),
        make_run({"seed": 1}, {"val/accuracy": 0.1}, status="FAILED"),
        make_run({"seed": 2}, {"val/accuracy": 0.2}, tags={"sweep/pruned": "worse"}),
        make_run({"seed": 3}, {"val/accuracy": math.nan}),
    ]
    [row] = leaderboard(runs, group="seed").rows
    assert (row.score.value, row.score.deviation, row.score.count) == (0.9, None, 1)
    assert row.status == "2 FINISHED, 1 FAILED, 1 PRUNED"
    assert rendering.score_text(row.score, len(row.runs)) == "0.900000 (n=1)"


def test_a_group_is_any_key(make_run: Make) -> None:
    runs = [make_run({"seed": s, "lr": lr}) for s in (0, 1) for lr in ("0.1", "0.2", "1e-1")]
    assert [len(row.runs) for row in leaderboard(runs, group="lr").rows] == [3, 3]
    assert [len(row.runs) for row in leaderboard(runs, group="seed").rows] == [4, 2]


# For other programs ------------------------------------------------------------------------------


@pytest.fixture
def two(make_run: Make) -> list[Run]:
    return [
        make_run({"seed": 0, "note": 'a, "b"'}, {"val/accuracy": 0.1 + 0.2, "test/loss": math.nan}),
        make_run({"seed": 1, "note": "-"}, {"val/accuracy": math.inf}, status="RUNNING", end=None),
    ]


def test_csv_has_whole_numbers_and_ids_and_empty_cells(two: list[Run]) -> None:
    running, finished = csv.DictReader(io.StringIO(rendering.board_csv(leaderboard(two))))
    assert finished["run_id"] == two[0].run_id
    assert float(finished["objective"]) == 0.30000000000000004
    assert finished["note"] == 'a, "b"'
    assert (finished["start"], finished["duration_s"]) == ("2027-01-15T08:00:01", "60.0")
    assert (finished["test/loss"], running["test/loss"], running["objective"]) == ("", "", "")
    assert running["duration_s"] == ""


def test_csv_of_groups_has_deviations_and_all_ids(make_run: Make) -> None:
    runs = [make_run({"seed": s}, {"val/accuracy": s, "test/loss": 2.0 * s}) for s in (0, 1)]
    [row] = csv.DictReader(io.StringIO(rendering.board_csv(leaderboard(runs, group="seed"))))
    assert row["run_ids"] == " ".join(run.run_id for run in runs)
    assert float(row["objective_deviation"]) == pytest.approx(math.sqrt(0.5))
    assert (row["objective_n"], row["test/loss n"], row["test/loss"]) == ("2", "2", "1.0")


def test_json_has_every_metric_and_null_for_what_is_not_finite(two: list[Run]) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    whole = json.loads(rendering.board_json(leaderboard(two)), parse_constant=refuse)
    running, finished = whole["rows"]
    assert whole["objectives"] == [{"metric": "val/accuracy", "mode": "max"}]
    assert finished["runs"][0]["metrics"] == {
        "val/accuracy": 0.30000000000000004,
        "test/loss": None,
    }
    assert finished["config"] == {"seed": "0", "note": 'a, "b"'}
    assert running["scores"]["objective"]["value"] is None
    assert running["duration_s"] is None


def test_columns_are_called_by_the_shortest_end_that_tells_them_apart() -> None:
    keys = ["optimizer.learning_rate", "model.layers.a.units", "model.layers.b.units", "seed"]
    assert rendering.short_names(keys) == {
        "optimizer.learning_rate": "learning_rate",
        "model.layers.a.units": "a.units",
        "model.layers.b.units": "b.units",
        "seed": "seed",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.25, "0.2 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (8000, "2 h 13 min"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds: float | None, text: str) -> None:
    assert rendering.seconds_text(seconds) == text
