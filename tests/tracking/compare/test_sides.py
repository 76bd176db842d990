"""Two sides of a comparison, and what the verb costs."""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Tracking
from pipeline.tracking.location import DATABASE


def short(run_ids: list[str]) -> list[str]:
    return [run_id[:8] for run_id in run_ids]


# A against B -------------------------------------------------------------------------------------


@pytest.mark.slow
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
    config: Tracking, filler: Callable[[Path], Any]
) -> None:
    fill = filler(Path(config.root) / DATABASE)
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
