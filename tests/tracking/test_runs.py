"""Recorded runs as SQLite has them, and as MLflow's client tells them: the same values."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from serving import Server

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import ConfigError, StoreError
from pipeline.tracking import runs as runs_module
from pipeline.tracking.asked import AskedRuns
from pipeline.tracking.location import DATABASE, locate
from pipeline.tracking.runs import PARENT_TAG, Run, find, open_runs, read_history, read_runs
from pipeline.tracking.store import Point, Store
from pipeline.tracking.tables import SqliteRuns


@pytest.fixture(scope="module")
def template(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A store with runs of two experiments, a sweep, one that failed, one that was deleted; and
    their ids by name."""
    root = tmp_path_factory.mktemp("filled")
    shutil.copy(empty_database, root / DATABASE)
    store = tracking.open_store(Tracking(root=str(root)))
    made: dict[str, str] = {}
    for name, experiment, tags in (
        ("first", "digits", {"note": "it's 100 % \n \u00e4"}),
        ("parent", "digits", {"sweep/space": "{}"}),
        ("child", "digits", {}),
        ("gone", "digits", {}),
        ("other", "elsewhere", {}),
    ):
        if name == "child":
            tags = {PARENT_TAG: made["parent"]}
        made[name] = store.create_run(experiment, name, tags)
    log(store, made["first"], {"val/loss": [3.0, 2.0, 1.5], "val/odd": [1.0, math.nan]})
    store.send_params(made["first"], {"seed": "0", "optimizer.learning_rate": "1e-05"})
    store.client.log_metric(made["child"], "unbounded", math.inf, timestamp=1, step=0)
    store.client.log_metric(made["child"], "below", -math.inf, timestamp=1, step=0)
    log(store, made["child"], {"val/loss": [0.1 + 0.2]})
    store.set_status(made["first"], "FINISHED", 1_900_000_000_000)
    store.set_status(made["child"], "FAILED", 1_900_000_000_001)
    store.client.delete_run(made["gone"])
    return root / DATABASE, made


@pytest.fixture
def filled(template: tuple[Path, dict[str, str]], config: Tracking) -> dict[str, str]:
    """A copy of that store under ``config``; the ids by name."""
    shutil.copy(template[0], Path(config.root) / DATABASE)
    return template[1]


@pytest.fixture
def store(filled: dict[str, str], config: Tracking) -> Store:
    return tracking.open_store(config)


def experiment_id(store: Store, name: str) -> str:
    return store.client.get_experiment_by_name(name).experiment_id


def log(store: Store, run_id: str, metrics: dict[str, list[float]]) -> None:
    points = [
        Point(key, value, step, 1_800_000_000_000 + step)
        for key, values in metrics.items()
        for step, value in enumerate(values)
    ]
    store.send_points(run_id, points)


@pytest.fixture(params=["tables", "client"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "client":
        monkeypatch.setattr(runs_module, "_open", AskedRuns)
    return request.param


def plain(run: Run) -> dict[str, Any]:
    """For comparison: NaN by its name."""
    metrics = {k: "nan" if math.isnan(v) else v for k, v in run.metrics.items()}
    fields = {name: getattr(run, name) for name in ("run_id", "experiment", "name", "status")}
    times = {"start": run.start, "end": run.end}
    return {**fields, **times, "params": run.params, "tags": run.tags, "metrics": metrics}


def test_both_ways_tell_the_same_of_every_run(
    config: Tracking, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = locate(config).database
    assert database is not None
    with closing(SqliteRuns(database)) as tables:
        asked = AskedRuns(config)
        choices: list[dict[str, Any]] = [
            {},
            {"experiment": "digits"},
            {"experiment": "elsewhere"},
            {"parent": filled["parent"]},
            {"ids": [filled["child"], filled["first"]]},
        ]
        for choice in choices:
            ours, theirs = tables.read(**choice), asked.read(**choice)
            assert [plain(run) for run in ours] == [plain(run) for run in theirs]
            assert ours
        assert tables.experiments() == asked.experiments()
        assert tables.beginning("") == asked.beginning("")
        start = filled["first"][:7]
        assert tables.beginning(start) == asked.beginning(start) == [filled["first"]]
        for run_id in filled.values():
            for key in ("val/loss", "val/odd", "unbounded", "none"):
                assert repr(tables.history(run_id, key)) == repr(asked.history(run_id, key))


def test_values_are_those_that_were_logged(
    config: Tracking, filled: dict[str, str], way: str
) -> None:
    [child] = read_runs(config, parent=filled["parent"])
    assert child.metrics == {
        "unbounded": math.inf,
        "below": -math.inf,
        "val/loss": 0.30000000000000004,
    }
    assert (child.status, child.end, child.parent) == (
        "FAILED",
        1_900_000_000_001,
        filled["parent"],
    )
    [first] = read_runs(config, ids=[filled["first"][:6]])
    assert first.params == {"seed": "0", "optimizer.learning_rate": "1e-05"}
    assert first.tags["note"] == "it's 100 % \n \u00e4"
    assert math.isnan(first.metrics["val/odd"])
    assert first.metrics["val/loss"] == 1.5
    assert read_history(config, first.run_id, "val/loss") == [(0, 3.0), (1, 2.0), (2, 1.5)]
    assert math.isnan(read_history(config, first.run_id, "val/odd")[1][1])


def test_deleted_runs_and_experiments_are_not_there(
    config: Tracking, store: Store, filled: dict[str, str], way: str
) -> None:
    names = {run.name for run in read_runs(config)}
    assert names == {"first", "parent", "child", "other"}
    store.client.delete_experiment(experiment_id(store, "elsewhere"))
    assert {run.name for run in read_runs(config)} == {"first", "parent", "child"}
    with open_runs(config) as runs:
        assert "elsewhere" not in runs.experiments()
        with pytest.raises(StoreError, match="There is no run"):
            find(runs, filled["gone"])


def test_the_newest_comes_first_and_so_does_its_experiment(
    config: Tracking, store: Store, filled: dict[str, str], way: str
) -> None:
    client = store.client
    experiment = experiment_id(store, "digits")
    late = client.create_run(experiment, start_time=1_950_000_000_000, run_name="late")
    with open_runs(config) as runs:
        assert runs.experiments()[0] == "digits"
        assert runs.beginning("")[0] == late.info.run_id
        assert runs.read()[0].name == "late"


def test_what_is_not_there_is_told(config: Tracking, filled: dict[str, str], way: str) -> None:
    with pytest.raises(StoreError, match="no experiment 'digit'. Did you mean 'digits'"):
        read_runs(config, experiment="digit")
    with pytest.raises(StoreError, match="There is no run 'abcdefgh'. Nearest: "):
        read_runs(config, ids=["abcdefgh"])
    with pytest.raises(StoreError, match="'abc' is too short for a run: give at least 6"):
        read_runs(config, ids=["abc"])


def test_a_beginning_of_several_runs_is_refused(config: Tracking, filled: dict[str, str]) -> None:
    with closing(sqlite3.connect(locate(config).database)) as connection:  # type: ignore[arg-type]
        copy = filled["first"][:20] + "0" * 12
        connection.execute(
            "INSERT INTO runs (run_uuid, status, lifecycle_stage, experiment_id, start_time)"
            " SELECT ?, status, lifecycle_stage, experiment_id, start_time FROM runs LIMIT 1",
            (copy,),
        )
        connection.commit()
    with pytest.raises(StoreError, match="Several runs begin with .* Give more of it"):
        read_runs(config, ids=[filled["first"][:8]])


def test_no_store_and_no_tracking_are_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There are no runs here"):
        read_runs(Tracking(root=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="tracking=off keeps no runs"):
        read_runs(Tracking(kind="off"))
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="cannot be read: file is not a database. Restore it"):
        read_runs(Tracking(root=str(tmp_path)))


def test_tables_of_another_version_are_left_to_mlflow(
    config: Tracking, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [plain(run) for run in read_runs(config)]
    monkeypatch.setattr(
        "pipeline.tracking.tables.NEEDED", {"runs": {"run_uuid", "a_column_of_tomorrow"}}
    )
    with open_runs(config) as runs:
        assert isinstance(runs, AskedRuns)
        assert [plain(run) for run in runs.read()] == before


def test_reading_writes_nothing_and_waits_for_nobody_who_reads(
    config: Tracking, filled: dict[str, str]
) -> None:
    database = locate(config).database
    assert database is not None
    before = database.read_bytes()
    with open_runs(config) as runs, closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM runs").fetchone()
        assert len(runs.read()) == 4
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            runs._connection.execute("DELETE FROM runs")  # type: ignore[attr-defined]
    assert database.read_bytes() == before


def test_many_ids_are_read_in_pieces_and_keep_their_order(
    config: Tracking, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tables.MOST_IDS", 2)
    order = [filled[name] for name in ("other", "first", "parent", "child")]
    assert [run.run_id for run in read_runs(config, ids=order)] == order


def test_answers_of_several_pages_are_put_together(
    config: Tracking, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.asked.PAGE", 3)
    assert [plain(run) for run in AskedRuns(config).read()] == [
        plain(run) for run in read_runs(config)
    ]


def test_a_local_store_is_read_without_mlflow(config: Tracking, filled: dict[str, str]) -> None:
    program = (
        "import sys\n"
        "from pipeline.config import Tracking\n"
        "from pipeline.tracking.runs import read_history, read_runs\n"
        f"config = Tracking(root={config.root!r})\n"
        "[run] = read_runs(config, experiment='elsewhere')\n"
        "read_history(config, run.run_id, 'val/loss')\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'mlflow', 'tensorflow', 'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_thousand_runs_take_a_handful_of_queries(config: Tracking, store: Store) -> None:
    store.client.create_experiment("many")
    with closing(sqlite3.connect(locate(config).database)) as connection:  # type: ignore[arg-type]
        many_runs(connection, 200)
    seen: list[str] = []
    with open_runs(config) as runs:
        runs._connection.set_trace_callback(seen.append)  # type: ignore[attr-defined]
        assert len(runs.read(experiment="many")) == 200
    assert len(seen) <= 6


def many_runs(connection: sqlite3.Connection, count: int) -> None:
    """Runs of experiment ``many``, as MLflow would have written them."""
    [experiment] = connection.execute(
        "SELECT experiment_id FROM experiments WHERE name = 'many'"
    ).fetchone()
    for index in range(count):
        run_id = f"{index:032x}"
        connection.execute(
            "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage,"
            " experiment_id) VALUES (?, 'trial', 'FINISHED', ?, ?, 'active', ?)",
            (run_id, index * 1000, index * 1000 + 500, experiment),
        )
    connection.commit()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_server_tells_what_its_tables_hold(
    config: Tracking, filled: dict[str, str], tmp_path: Path
) -> None:
    here = read_runs(config)
    server = Server(config)
    try:
        server.start()
        away = Tracking(root=str(tmp_path / "away"), uri=server.uri)
        assert [plain(run) for run in read_runs(away)] == [plain(run) for run in here]
        assert read_history(away, filled["first"][:8], "val/loss") == [(0, 3.0), (1, 2.0), (2, 1.5)]
    finally:
        server.kill()
