"""``pipeline.compare`` over a store that was written by hand: words, tables, files, errors."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import compare
from pipeline.cli import reporting


def first_column(out: str, heading: str = "run ") -> list[str]:
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading))
    return [line.split()[0] for line in lines[start + 1 :]]


def short(run_ids: list[str]) -> list[str]:
    return [run_id[:8] for run_id in run_ids]


# Which runs --------------------------------------------------------------------------------------


def test_no_word_means_the_experiment_of_the_newest_run(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    out = told()
    assert out.startswith("experiment digits: 7 runs\nobjective: highest val/accuracy\n")
    best = [ids["adam"][1], ids["adam"][0], ids["adam"][2]]
    best += [ids["momentum"][1], ids["momentum"][0], ids["momentum"][2], ids["failed"]]
    assert first_column(out) == short(best)


def test_a_word_is_an_experiment_a_sweep_a_run_or_a_list(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    trials = short([ids["trials"][1], ids["trials"][0]])
    assert first_column(told("sweep")) == trials  # without the parent
    assert first_column(told(ids["sweep"])) == trials
    assert first_column(told(ids["sweep"][:7])) == trials
    assert first_column(told("latest")) == short([ids["failed"]])
    assert first_column(told("lr=1, seed=2")) == short([ids["odd"]])  # whatever it looks like
    listed = told(f"{ids['momentum'][0][:8]},{ids['adam'][0][:6]}")
    assert first_column(listed) == short([ids["adam"][0], ids["momentum"][0]])
    three = told(ids["momentum"][0], "latest", ids["adam"][0])
    assert first_column(three) == short([ids["adam"][0], ids["momentum"][0], ids["failed"]])
    assert len(first_column(told("sweep,digits"))) == 9


def test_a_filter_chooses_from_the_experiment_that_is_meant(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    chosen = told("optimizer.name = adam and seed < 2")
    assert first_column(chosen) == short([ids["adam"][1], ids["adam"][0]])
    elsewhere = told("optimizer.learning_rate=0.1", "tracking.experiment=sweep")
    assert first_column(elsewhere) == short(ids["trials"][:1])
    fitting = told("--filter", "metrics.val/loss < 0.031")
    assert fitting.startswith("experiment digits: 2 runs, of 7, fit the filter\n")
    assert told("--filter", "seed = 99") == "experiment digits: 0 runs, of 7, fit the filter\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digts"], "There is no experiment 'digts'. Did you mean 'digits'? A run is named by its"),
        (["tracking.experiment=digts"], "There is no experiment 'digts'. Did you mean 'digits'?"),
        (["abcdef12"], "There is no run 'abcdef12'. Nearest: "),
        (["0000"], "'0000' is too short for a run: give at least 6 characters."),
        (["seed=99"], "No run of experiment 'digits' fits 'seed=99'."),
        (["sed=0"], "the filter cannot be read: none of the runs has 'sed'. Did you mean 'seed'?"),
        (["--filter", "seed ="], "the filter cannot be read: expected a value"),
        (["--flter", "x"], "--flter: there is no such flag. Did you mean '--filter'"),
        (["--filter"], "--filter: expected one argument"),
        (["--top", "0"], "--top 0: give a number from 1 on"),
        (["--top", "x"], "--top: invalid int value: 'x'"),
        (["--csv", "--json"], "--csv, --json: give one of the two"),
        (["--sort", "los"], "--sort los: none of the runs has 'los'."),
        (["--plot", "curves.pdf"], "--plot curves.pdf: give a file that ends in .png, .svg, .html"),
        (["tracking.rot=x"], "tracking.rot: there is no such key. Did you mean 'tracking.root'"),
        (
            ["digits", "sweep"],
            "A (digits) is 6 runs that differ in more than seed: optimizer.name.",
        ),
        (["seed=0", "seed=0 and optimizer.name=adam"], "A (seed=0) is 2 runs that differ"),
        (["latest", "seed=1"], "A (latest) has no run that finished (000011c0: FAILED)"),
        (["seed=0", "seed=1", "--sort", "seed"], "--sort and --top order a leaderboard"),
    ],
)
def test_what_cannot_be_meant_is_told(
    words: list[str], message: str, told: Callable[..., str]
) -> None:
    assert message in told(*words, code=2)


def test_tracking_off_and_an_absent_store_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for given, message in (
        ("tracking=off", "tracking=off keeps no runs to compare. Use tracking=local."),
        ("tracking.root=/nowhere", "There are no runs here: /nowhere/mlflow.db does not exist."),
    ):
        assert reporting(lambda given=given: compare.main([given])) == 2  # type: ignore[misc]
        assert message in capsys.readouterr().err


# The leaderboard ---------------------------------------------------------------------------------


def test_seeds_become_one_row(told: Callable[..., str]) -> None:
    out = told("--group", "seed")
    heading, *rows = out.splitlines()[3:]
    assert heading.split() == [
        *("run", "runs", "best/val/accuracy", "test/accuracy", "duration", "status", "name"),
    ]
    assert [" ".join(row.split()[1:5]) for row in rows] == [
        "4 0.971000 ± 0.0036",
        "3 0.960333 ± 0.0025",
    ]
    assert "(n=3)" in rows[0]
    assert "3 FINISHED, 1 FAILED" in rows[0]


def test_rows_may_be_fewer_and_in_another_order(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    out = told("--sort", "val/loss desc", "--top", "2", "--metrics", "val/*")
    assert first_column(out)[:2] == short([ids["momentum"][2], ids["momentum"][0]])
    assert out.splitlines()[-1] == "5 further rows: --top 7 shows them"
    assert "val/loss" in out


def test_a_narrow_terminal_cuts_no_cell(
    told: Callable[..., str], ids: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (40, 78, 200):
        monkeypatch.setattr("pipeline.console.Console.width", width)
        lines = told().splitlines()
        assert lines[2].startswith("run       best/val/accuracy")
        assert lines[3].split()[:3] == [ids["adam"][1][:8], "0.975000", "0.965000"]
        left_out = "no room for seed, optimizer.name: a wider terminal, or --csv, shows more"
        assert (left_out in lines) == (width < 78)
        if width == 78:
            assert all(len(line) <= 78 for line in lines[2:])
            assert "no room for optimizer.name: a wider terminal, or --csv, shows more" in lines


def test_csv_and_json_hold_the_rows(told: Callable[..., str], ids: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(told("--csv"))))
    assert [row["run_id"] for row in rows][:2] == [ids["adam"][1], ids["adam"][0]]
    assert rows[0]["optimizer.name"] == "adam"
    assert len(told("--csv", "--top", "2").splitlines()) == 3
    whole = json.loads(told("--json", "--group", "seed"))
    assert whole["group"] == "seed"
    assert whole["rows"][0]["scores"]["objective"]["n"] == 3
    assert [run["run_id"] for run in whole["rows"][1]["runs"]] == ids["momentum"][::-1]


@pytest.mark.parametrize("name", ["c.svg", "c.html"])
@pytest.mark.slow
def test_curves_of_the_best_rows_go_into_a_file(
    name: str, told: Callable[..., str], ids: dict[str, Any], tmp_path: Path
) -> None:
    out = told("--plot", str(tmp_path / name), "--metrics", "test/*,best/*", "--top", "3")
    assert out.splitlines()[-1] == f"curves of 6 rows: {tmp_path / name}"
    text = (tmp_path / name).read_text().replace("\\u002f", "/")
    for shown in (ids["adam"][1][:8], "val/loss", "test/accuracy", "best/val/accuracy"):
        assert shown in text
