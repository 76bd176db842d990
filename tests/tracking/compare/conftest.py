"""A store that was written by hand, and what ``pipeline.compare`` says of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import compare
from pipeline.cli import reporting
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
def filler() -> type[Filler]:
    """What writes runs into a database."""
    return Filler


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
