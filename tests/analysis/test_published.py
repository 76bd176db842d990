"""The rows of a study, and the table and verdict that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import publishing
from pipeline.analysis import published, statistics, study_figures
from pipeline.analysis.published import Row
from pipeline.errors import ConfigError
from pipeline.studies import Kind, Mode, Schema, Study
from pipeline.study_runs import _difference

SCORES = {
    "a": [0.90, 0.91, 0.92, 0.93, 0.94],
    "b": [0.95, 0.955, 0.975, 0.98, 0.985],
    "c": [0.90, 0.92, 0.91, 0.93, 0.95],
}


def study_of(tmp_path: Path, **asked: Any) -> Study:
    arms = {arm: [] for arm in SCORES}
    schema = Schema(question="Which?", metric="test/accuracy", baseline="a", arms=arms)
    return Study(tmp_path / "letters", replace(schema, **asked))


def rows_of(study: Study) -> list[Row]:
    return [
        Row(arm, seed, f"{arm}{seed}".ljust(32, "0"), {"test/accuracy": value}, f"config {arm}")
        for arm, values in SCORES.items()
        for seed, value in zip(study.asked.seeds, values, strict=True)
    ]


def test_verdict_is_that_of_the_paired_test_raised_by_holm(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    b, c = published.compared(study, rows_of(study))
    by_seed = [{str(i): v for i, v in enumerate(values)} for values in SCORES.values()]
    alone = [statistics.compare("x", by_seed[0], other).p for other in by_seed[1:]]
    assert [b.p, c.p] == pytest.approx(statistics.holm(alone))
    assert (b.larger, c.larger) == (True, False)
    found = published.findings(study, rows_of(study))
    assert found.table[1][:3] == ["b", "0.969000 ± 0.016", "+0.049"]
    assert found.table[1][-1] == "larger than seed noise"
    assert found.answer == (
        "test/accuracy: a 0.920000; b 0.969000, better: larger than seed noise; "
        "c 0.922000, not larger than seed noise with 5 seeds"
    )


def test_lower_is_better_where_the_study_says_so(tmp_path: Path) -> None:
    study = study_of(tmp_path, mode=Mode.min)
    assert "b 0.969000, worse: larger" in published.findings(study, rows_of(study)).answer


def test_rows_come_back_from_the_file_to_the_last_digit(tmp_path: Path) -> None:
    study = study_of(tmp_path, kind=Kind.same)
    rows = [replace(row, metrics={"test/accuracy": 0.1 + 0.2}) for row in rows_of(study)]
    rows[6] = replace(rows[6], difference=1 / 3, where="val/loss at step 7", points=9)
    file = tmp_path / "results.csv"
    file.write_text(published.to_csv(study, rows))
    assert published.from_csv(study, file) == rows
    with pytest.raises(ConfigError, match="its columns are arm, seed, .* Publish it again"):
        published.from_csv(study_of(tmp_path), file)


@pytest.mark.parametrize(("largest", "answer"), [(9e-4, "yes"), (2e-3, "no"), (math.inf, "no")])
def test_same_is_the_largest_difference_against_the_tolerance(
    largest: float, answer: str, tmp_path: Path
) -> None:
    study = study_of(tmp_path, kind=Kind.same, tolerance=1e-3)
    rows = [replace(row, difference=1e-5, points=140) for row in rows_of(study)]
    rows[8] = replace(rows[8], difference=largest, where="val/loss at step 7", points=140)
    found = published.findings(study, rows)
    assert found.answer.startswith(f"{answer}: the largest relative difference of train/loss and")
    verdict = {"yes": "the same", "no": "not the same"}[answer]
    assert found.table[1][-3:] == ["val/loss at step 7, seed 3", "700", verdict]
    assert found.table[2][-1] == "the same"


def test_difference_is_that_of_all_points_of_the_curves(tmp_path: Path) -> None:
    study = study_of(tmp_path, kind=Kind.same)
    baseline = {"train/loss": [(1, 2.0), (2, 1.0)], "val/loss": [(2, 1.0)]}
    assert _difference(study, baseline, baseline) == (0.0, "", 3)
    now = {"train/loss": [(1, 2.0), (2, 1.25)], "val/loss": [(2, 0.9)]}
    assert _difference(study, baseline, now) == (0.2, "train/loss at step 2", 3)
    lacking = {"train/loss": [(1, 2.0)], "val/loss": [(2, 1.0)]}
    assert _difference(study, baseline, lacking) == (math.inf, "train/loss at step 2", 3)
    lost = {"train/loss": [(1, 2.0), (2, math.nan)], "val/loss": [(2, 1.0)]}
    assert _difference(study, baseline, lost)[0] == math.inf


def test_other_code_and_other_data_are_told(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    rows = rows_of(study)
    assert not any("Note" in each for each in published.findings(study, rows).sentences)
    rows[3] = replace(rows[3], commit="another")
    assert published.findings(study, rows).sentences[-1] == (
        "Note: the runs are of different code (`commit`)."
    )


@pytest.fixture
def page(tmp_path: Path) -> Callable[[], tuple[Study, list[Row]]]:
    def write() -> tuple[Study, list[Row]]:
        study = study_of(tmp_path)
        rows = rows_of(study)
        study.folder.mkdir()
        publishing.require_page(study)
        publishing._replace(
            study.folder / "README.md", publishing.REPORT, published.block(study, rows)
        )
        digest = publishing._digest(published.to_csv(study, rows))
        study_figures.draw_scores(SCORES, "test/accuracy", "a", study.folder / "scores", digest)
        curves = {"val/loss": {a: [[(1, 2.0), (2, v)] for v in SCORES[a]] for a in SCORES}}
        study_figures.draw_curves(curves, study.folder / "curves", digest)
        return study, rows

    return write


def test_a_number_of_the_page_that_is_not_the_table_s_is_named(
    page: Callable[[], tuple[Study, list[Row]]],
) -> None:
    study, rows = page()
    assert list(publishing.page_problems(study, rows)) == []
    file = study.folder / "README.md"
    file.write_text(file.read_text().replace("| b | 0.969000", "| b | 0.979000"))
    assert list(publishing.page_problems(study, rows)) == [
        "letters/README.md, line 9: 0.979000 is published, results.csv gives 0.969000"
    ]


def test_a_figure_of_other_rows_is_named(page: Callable[[], tuple[Study, list[Row]]]) -> None:
    study, rows = page()
    before = {file.name: file.read_bytes() for file in study.folder.glob("*.[ps][nv]g")}
    rows[0] = replace(rows[0], run_id="0" * 32)
    said = list(publishing.page_problems(study, rows))
    for name in ("scores.png", "scores.svg", "curves.png", "curves.svg"):
        assert f"{name} was drawn with another results.csv" in said
    for file in study.folder.iterdir():
        file.unlink()
    study.folder.rmdir()
    page()  # drawn again
    assert {f.name: f.read_bytes() for f in study.folder.glob("*.[ps][nv]g")} == before
    assert len(before) == 4


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    study.folder.mkdir()
    (study.folder / "README.md").write_text("# by hand\n")
    with pytest.raises(ConfigError, match="needs one line <!-- report:begin -->"):
        publishing.require_page(study)
    assert (study.folder / "README.md").read_text() == "# by hand\n"


def test_list_of_studies_does_not_trip_over_one_that_has_changed(
    page: Callable[[], tuple[Study, list[Row]]],
) -> None:
    study, rows = page()
    arms = "{a: [x], b: [y], c: [z]}"
    text = f"question: Which?\nmetric: test/accuracy\nbaseline: a\narms: {arms}\n"
    (study.folder / "study.yaml").write_text(text)
    assert publishing.index_text(study.folder.parent).endswith("Which?\n  not published yet.")
    results = study.folder / "results.csv"
    results.write_text(published.to_csv(study, rows))
    assert "b 0.969000, better" in publishing.index_text(study.folder.parent)
    results.write_text(published.to_csv(study, rows[1:]))
    assert "not what study.yaml asks for now." in publishing.index_text(study.folder.parent)
