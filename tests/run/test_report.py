"""A small study, run, published, looked after and run again, with real trainings."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import publishing, report, study_runs
from pipeline.config import Tracking
from pipeline.errors import TrainingError
from pipeline.tracking import open_store
from pipeline.tracking.runs import open_runs

pytestmark = pytest.mark.slow  # sweeps, in processes of their own

STUDY = """
question: Does a wider layer reach a lower loss after one epoch?
metric: val/loss
mode: min
metrics: [test/accuracy]
curves: [val/loss]
baseline: narrow
seeds: [0, 1]
rerun_tolerance: 1e-4
common:
  - +experiment=digits
  - trainer.duration=1 epoch
  - trainer.compile=off
arms:
  narrow: [model.layers.hidden.units=8]
  wide: [model.layers.hidden.units=64]
"""


@pytest.fixture(scope="module")
def quick(forked: Callable[..., Any]) -> Iterator[pytest.MonkeyPatch]:
    """Sweeps begin without the seconds of heavy imports; all else is as ever."""

    def run_in(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> int:
        assert command[:3] == [sys.executable, "-m", "pipeline.train"]
        process = forked("pipeline.train", *command[3:], cwd=folder, environment={**environment})
        out, err = process.communicate(timeout=300)
        print(out, err)
        return process.returncode

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_runs.worktree, "run_in", run_in)
        yield patch


@pytest.fixture(scope="module")
def folder(
    quick: pytest.MonkeyPatch,
    new_store: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A person's folder, with one study that was published there."""
    folder = tmp_path_factory.mktemp("studies")
    new_store(folder)
    (folder / "experiments" / "width").mkdir(parents=True)
    (folder / "experiments" / "width" / "study.yaml").write_text(STUDY)
    begin, end = publishing.INDEX
    (folder / "experiments" / "README.md").write_text(f"# Studies\n\n{begin}\n{end}\n")
    quick.chdir(folder)
    assert report.main(["width", "tracking.system_metrics=false"]) == 0
    return folder


@pytest.fixture
def study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study's folder, whose files are as published before and after."""
    monkeypatch.chdir(folder)
    here = folder / "experiments" / "width"
    files = {path: path.read_bytes() for path in here.iterdir()}
    yield here
    for path, content in files.items():
        path.write_bytes(content)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("a run was started")

    monkeypatch.setattr(study_runs.worktree, "run_in", refuse)


def test_published_are_the_numbers_of_four_runs_of_two_sweeps(study: Path) -> None:
    with open_runs(Tracking()) as runs:
        found = runs.read(experiment="study/width")
    trials = {run.run_id: run for run in found if run.parent}
    assert len(trials) == 4
    assert len({run.parent for run in trials.values()}) == 2
    with open(study / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("narrow", "0"),
        ("narrow", "1"),
        ("wide", "0"),
        ("wide", "1"),
    ]
    page = (study / "README.md").read_text()
    for row in rows:
        run = trials[row["run_id"]]
        units = {"narrow": "8", "wide": "64"}[row["arm"]]
        assert (run.params["model.layers.hidden.units"], run.params["seed"]) == (units, row["seed"])
        assert float(row["val/loss"]) == run.metrics["val/loss"]
        assert float(row["test/accuracy"]) == run.metrics["test/accuracy"]
        assert run.run_id[:8] in page
    assert page.startswith("# width\n\nDoes a wider layer reach a lower loss after one epoch?\n")
    index = (study.parent / "README.md").read_text()
    assert "- [width](width): Does a wider layer" in index
    assert "  val/loss: narrow " in index


@pytest.mark.usefixtures("nothing_runs")
def test_what_is_in_the_store_is_not_run_again(study: Path) -> None:
    before = {path.name: path.read_bytes() for path in study.iterdir()}
    assert len(before) == 7
    assert report.main(["width"]) == 0
    assert {path.name: path.read_bytes() for path in study.iterdir()} == before


@pytest.mark.usefixtures("nothing_runs")
def test_check_passes_and_names_each_number_that_was_changed(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["width", "--check"]) == 0
    said = capsys.readouterr()
    assert "4 of 4 runs are in the store and were read again" in said.out
    assert (said.out.splitlines()[-1], said.err) == ("study width: as published", "")

    results = study / "results.csv"
    with open(results, newline="") as file:
        lines = list(csv.reader(file))
    right, run_id = lines[3][lines[0].index("val/loss")], lines[3][2]
    results.write_text(results.read_text().replace(right, "0.125"))
    page = study / "README.md"
    page.write_text(page.read_text().replace("larger than seed noise", "larger than anything"))
    changed = {path: path.read_bytes() for path in study.iterdir()}
    assert report.main(["width", "--check"]) == 1
    said = capsys.readouterr()
    expected = f"wide, seed 0, val/loss: 0.125 is published, run {run_id[:8]} says {right}"
    assert expected in said.err
    assert "anything" in said.err
    assert "study width: not as published, " in said.out
    assert {path: path.read_bytes() for path in study.iterdir()} == changed


@pytest.mark.usefixtures("nothing_runs")
def test_check_tells_that_the_study_has_changed_since(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study / "study.yaml"
    file.write_text(file.read_text().replace("units=64", "units=32").replace("[0, 1]", "[0, 2]"))
    assert report.main(["width", "--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "results.csv: arm narrow, seed 2 is missing",
        "results.csv: arm wide, seed 2 is missing",
        "results.csv: arm narrow, seed 1 is not in study.yaml",
        "results.csv: arm wide, seed 1 is not in study.yaml",
        "results.csv: arm wide, seed 0: its config is another one now",
    ]


@pytest.mark.exhaustive
def test_where_runs_are_not_in_the_store_one_of_the_arm_is_run_again(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = study / "results.csv"
    with open(results, newline="") as file:
        lines = list(csv.DictReader(file))
    client = open_store(Tracking()).client
    for row in lines[2:]:
        client.delete_run(row["run_id"])
    assert report.main(["width", "--check", "tracking.system_metrics=false"]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 runs are in the store" in said
    assert "of the others a sample of 1, 1 of them to run" in said
    assert "arm wide (1 of 1): seed 0" in said
    assert "their metrics are bit-identical to what is published" in said

    right = lines[2]["val/loss"]
    wrong = str(float(right) * 1.001)
    results.write_text(results.read_text().replace(right, wrong))
    assert report.main(["width", "--check"]) == 1
    said = capsys.readouterr()
    assert "a sample of 1, 0 of them to run" in said.out  # it is in the store by now
    assert "their metrics differ by 0.001 at most, relatively; up to 0.0001 counts" in said.out
    assert f"arm wide, seed 0, val/loss: {float(wrong):.9g} is published" in said.err
    for row in lines[2:]:
        client.restore_run(row["run_id"])


def test_nothing_is_published_where_a_run_fails(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = study / "study.yaml"
    file.write_text(file.read_text().replace("units=64", "units=32"))
    before = {path: path.read_bytes() for path in study.iterdir()}
    monkeypatch.setattr(study_runs.worktree, "run_in", lambda *_: 1)
    with pytest.raises(TrainingError, match="arm wide: not all of its runs finished"):
        report.main(["width"])
    assert {path: path.read_bytes() for path in study.iterdir()} == before
