"""Runs of a real training, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import compare
from pipeline.config import Tracking
from pipeline.tracking.asked import AskedRuns
from pipeline.tracking.runs import Run, open_runs

pytestmark = pytest.mark.slow  # whole runs; the quick tier has runs that were written by hand

SHORT = (
    "+experiment=digits",
    "trainer.duration=3 epochs",
    "trainer.compile=off",
    "model.layers.hidden.units=16",
    "tracking.experiment=compared",
)


@pytest.fixture(scope="module")
def runs(fit: Callable[..., Any]) -> dict[tuple[str, int], str]:
    """Ids by optimizer and seed."""
    return {
        (name, seed): fit(*SHORT, f"optimizer={name}", f"seed={seed}").run_id
        for name in ("adam", "sgd")
        for seed in (0, 1)
    }


@pytest.fixture
def told(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        capsys.readouterr()
        given = [*words, f"tracking.root={root}", "tracking.experiment=compared"]
        assert compare.main(given) == 0
        return capsys.readouterr().out

    return run


def plain(run: Run) -> dict[str, Any]:
    metrics = {key: "nan" if math.isnan(v) else v for key, v in run.metrics.items()}
    return {**vars(run), "metrics": metrics}


def test_both_ways_tell_the_same_of_real_runs(root: Path, runs: dict[tuple[str, int], str]) -> None:
    config = Tracking(root=str(root))
    with open_runs(config) as tables:
        asked = AskedRuns(config)
        ours, theirs = (each.read(experiment="compared") for each in (tables, asked))
        assert [plain(run) for run in ours] == [plain(run) for run in theirs]
        assert {run.run_id for run in ours} == set(runs.values())
        assert len(ours[0].params) > 50
        assert len(ours[0].metrics) > 10
        for key in ours[0].metrics:
            assert tables.history(ours[0].run_id, key) == asked.history(ours[0].run_id, key)


def test_the_board_has_what_the_runs_reached_and_only_what_differs(
    runs: dict[tuple[str, int], str], told: Callable[..., str], root: Path
) -> None:
    _, objective, heading, *rows = told().splitlines()
    assert objective == "objective: highest val/accuracy"
    assert heading.split()[:4] == ["run", "best/val/accuracy", "test/accuracy", "test/loss"]
    assert heading.split()[6:] == ["seed", "name"]
    with open_runs(Tracking(root=str(root))) as reader:
        known = {run.run_id[:8]: run for run in reader.read(ids=list(runs.values()))}
    values = []
    for row in rows:
        run_id, best, accuracy = row.split()[:3]
        values.append(known[run_id].metrics["best/val/accuracy"])
        assert float(best) == pytest.approx(values[-1], rel=1e-5)
        assert float(accuracy) == pytest.approx(known[run_id].metrics["test/accuracy"], rel=1e-5)
        assert row.split()[-1] == known[run_id].params["optimizer.name"]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4


def test_one_run_of_each_config_stands_for_its_seeds(
    runs: dict[tuple[str, int], str], told: Callable[..., str]
) -> None:
    out = told("--group", "seed", runs["sgd", 1][:8], runs["adam", 0][:8])
    a = ",".join(runs["sgd", seed][:8] for seed in (0, 1))
    assert f"A ({runs['sgd', 1][:8]}): {a}  (seed 0, 1)\n" in out
    assert "\noptimizer.name" in out
    assert "note: A and B have" not in out  # one machine, one code, one set of data
    assert "paired t" in out
    assert "(val/loss) ^" in out
