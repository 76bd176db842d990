"""``pipeline.compare`` over a store that was written by hand: words, tables, files, errors."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import compare
from pipeline.cli import reporting
from pipeline.config import Tracking
from pipeline.tracking.location import DATABASE

HOUR = 3_600_000
# Seed -> best val/accuracy of digits by optimizer.
REACHED = {
    "adam": {0: 0.970, 1: 0.975, 2: 0.968},
    "momentum": {0: 0.960, 1: 0.963, 2: 0.958},
}


class Filler:
    """Writes runs as MLflow does."""

    def __init__(self, database: Path) -> None:
        self.connection = sqlite3.connect(database)
        self.count = 0

    def run(
        self,
        experiment: str,
        params: dict[str, Any],
        metrics: dict[str, float],
        tags: dict[str, str] | None = None,
        **columns: Any,
    ) -> str:
        """A run that began an hour after the one before; its id has its number in front."""
        self.count += 1
        start = 1_800_000_000_000 + self.count * HOUR
        row = {
            "run_uuid": f"{self.count:06d}" + "c0ffee" + "0" * 20,
            "name": f"run {self.count}",
            "status": "FINISHED",
            "start_time": start,
            "end_time": start + 90_000,
            "lifecycle_stage": "active",
            "experiment_id": self.experiment(experiment),
            **columns,
        }
        self._insert("runs", row)
        common = {"run_uuid": row["run_uuid"]}
        objective = {"objective.metric": "val/accuracy", "objective.mode": "max"}
        for key, value in {**objective, **params}.items():
            self._insert("params", {**common, "key": key, "value": str(value)})
        for key, value in (tags or {}).items():
            self._insert("tags", {**common, "key": key, "value": value})
        for key, value in metrics.items():
            point = {**common, "key": key, "timestamp": 1, "is_nan": value != value}
            self._insert("latest_metrics", {**point, "value": value, "step": 30})
            for step in (10, 20, 30):
                self._insert("metrics", {**point, "value": value * 30 / step, "step": step})
        return str(row["run_uuid"])

    def experiment(self, name: str) -> int:
        found = self.connection.execute(
            "SELECT experiment_id FROM experiments WHERE name = ?", (name,)
        )
        if (row := found.fetchone()) is not None:
            return int(row[0])
        self._insert("experiments", {"name": name, "lifecycle_stage": "active", "creation_time": 1})
        return self.experiment(name)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        places = ", ".join("?" * len(row))
        self.connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()]
        )


@pytest.fixture(scope="module")
def filled(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A store with two experiments and a sweep, and what its runs are called."""
    root = tmp_path_factory.mktemp("compared")
    shutil.copy(empty_database, root / DATABASE)
    fill = Filler(root / DATABASE)
    ids: dict[str, Any] = {}
    parent = fill.run("sweep", {}, {}, {"sweep/space": "{}"})
    ids["sweep"] = parent
    ids["trials"] = [
        fill.run(
            "sweep",
            {"seed": 0, "optimizer.learning_rate": rate},
            {"best/val/accuracy": value},
            {"mlflow.parentRunId": parent, **more},
        )
        for rate, value, more in ((0.1, 0.9, {}), (0.01, 0.95, {"sweep/pruned": "worse"}))
    ]
    for name, reached in REACHED.items():
        ids[name] = [
            fill.run(
                "digits",
                {"seed": seed, "optimizer.name": name, "tracking.run_name": seed},
                {"best/val/accuracy": v, "test/accuracy": v - 0.01, "val/loss": 1 - v},
            )
            for seed, v in reached.items()
        ]
    ids["odd"] = fill.run("lr=1, seed=2", {"seed": 0}, {"best/val/accuracy": 0.5})
    ids["failed"] = fill.run("digits", {"seed": 3, "optimizer.name": "adam"}, {}, status="FAILED")
    fill.connection.commit()
    fill.connection.close()
    return root, ids


@pytest.fixture
def ids(filled: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return filled[1]


@pytest.fixture
def told(
    filled: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """``told("digits", "--csv")``: what the verb prints; ``code=2``: what it complains of."""

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        given = [f"tracking.root={filled[0]}", *words]
        assert reporting(lambda: compare.main(given)) == code
        out, err = capsys.readouterr()
        assert (err == "") == (code == 0)
        return err if code else out

    return run


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


# A against B -------------------------------------------------------------------------------------


def test_two_words_are_judged_over_the_seeds_they_share(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    out = told("optimizer.name=adam", "optimizer.name=momentum and seed>=0")
    assert out.splitlines()[:3] == [
        f"A (optimizer.name=adam): {','.join(short(ids['adam']))}  (seed 0, 1, 2)",
        f"  left out {ids['failed'][:8]}: FAILED",
        "B (optimizer.name=momentum and seed>=0): "
        f"{','.join(short(ids['momentum']))}  (seed 0, 1, 2)",
    ]
    assert "\noptimizer.name  adam  momentum\n" in out
    [row] = [line for line in out.splitlines() if line.startswith("best/val/accuracy  ")]
    assert row.split()[1:4] == ["0.971000", "0.960333", "-0.01067"]
    assert "paired t" in row
    assert "\nbest/val/accuracy: larger than seed noise: A is better\n" in out
    assert "test/accuracy: larger than seed noise\n" in out
    assert "(val/loss) ^" in out


def test_the_ids_that_are_printed_name_the_same_sides_again(told: Callable[..., str]) -> None:
    out = told("optimizer.name=adam", "optimizer.name=momentum")
    a, b = (
        line.split(": ")[1].split("  ")[0]
        for line in out.splitlines()
        if line[:3] in ("A (", "B (")
    )
    again = told(a, b)
    assert again.split("\n\n")[1:] == out.split("\n\n")[1:]


def test_one_run_each_is_no_answer_and_its_other_seeds_can_be_taken_along(
    told: Callable[..., str], ids: dict[str, Any]
) -> None:
    one, other = ids["adam"][0], ids["momentum"][0]
    out = told(one, other)
    assert (
        "best/val/accuracy, test/accuracy: not larger than seed noise with 1 seed; one pair cannot "
        "be told from noise: run at least 3 seeds on both sides\n"
    ) in out
    assert "there are further runs of these configs: --group seed takes them along\n" in out
    assert "Holm" not in out
    grouped = told(one, other, "--group", "seed")
    assert "best/val/accuracy: larger than seed noise: A is better" in grouped
    assert "further runs" not in grouped
    fewer = told(one, other, "--group", "seed", "--filter", "seed < 2")
    assert "with 2 seeds" in fewer
    assert "further runs" not in fewer


def test_seeds_of_one_side_alone_are_named(told: Callable[..., str]) -> None:
    out = told("optimizer.name=adam", "optimizer.name=momentum and seed>0")
    assert "note: left out seed 0: one side has no finite value\n" in out
    assert "not larger than seed noise with 2 seeds; about " in out


def test_a_comparison_goes_to_programs(told: Callable[..., str], tmp_path: Path) -> None:
    words = ["optimizer.name=adam", "optimizer.name=momentum"]
    whole = json.loads(told(*words, "--json", "--plot", str(tmp_path / "c.svg")))
    assert whole["better"] == "A"
    assert whole["metrics"][0]["verdict"] == "larger than seed noise"
    assert (tmp_path / "c.svg").is_file()
    rows = list(csv.DictReader(io.StringIO(told(*words, "--csv"))))
    assert [row["metric"] for row in rows] == ["best/val/accuracy", "test/accuracy"]
    assert float(rows[0]["difference"]) == pytest.approx(-0.032 / 3)


# What it costs -----------------------------------------------------------------------------------


def loaded(root: Path, *words: str) -> set[str]:
    """The packages that the verb has loaded, in a process of its own."""
    program = (
        "import sys\nfrom pipeline.compare import main\n"
        f"main({[*words, f'tracking.root={root}']!r})\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("LOADED")[1].split())


@pytest.mark.slow
def test_nothing_heavy_is_loaded(filled: tuple[Path, dict[str, Any]]) -> None:
    heavy = {"tensorflow", "mlflow", "sqlalchemy", "pandas", "matplotlib", "plotly"}
    root = filled[0]
    assert loaded(root) & (heavy | {"numpy", "scipy"}) == set()
    two = loaded(root, "optimizer.name=adam", "optimizer.name=momentum")
    assert two & heavy == set()
    assert "scipy" in two


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(filled: tuple[Path, dict[str, Any]]) -> None:
    command = [sys.executable, "-m", "pipeline.compare", "--json", f"tracking.root={filled[0]}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.slow
def test_a_thousand_runs_are_answered_in_less_than_three_seconds_of_work(
    config: Tracking, tmp_path: Path
) -> None:
    fill = Filler(Path(config.root) / DATABASE)
    same = {f"model.layers.hidden.option_{i}": i for i in range(54)}
    for number in range(1000):
        fill.run(
            "many",
            {**same, "seed": number % 5, "lr": number, "optimizer.name": "adam", "batch": 64},
            {f"system/{i}": 1.0 for i in range(18)} | {"best/val/accuracy": 0.5, "val/loss": 1.0},
        )
    fill.connection.commit()
    with closing(fill.connection):
        for words in ([], ["--group", "seed"], ["--json"]):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, "-m", "pipeline.compare", *words, f"tracking.root={config.root}"],
                capture_output=True,
                text=True,
                check=True,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert len(done.stdout.splitlines()) > 1000
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            assert seconds < 3
