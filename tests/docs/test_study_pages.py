"""The studies that are shipped: what their pages say is what their results give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import publishing, studies
from pipeline.analysis import published
from pipeline.studies import Kind

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = studies.names(EXPERIMENTS)


def test_three_studies_are_published() -> None:
    assert NAMES == ["local_learning", "optimizers", "replicas"]
    assert publishing.INDEX[0] in (EXPERIMENTS / "README.md").read_text("utf-8")


def test_study_that_the_page_shows_can_be_run_and_has_every_key(tmp_path: Path) -> None:
    shown = re.search(
        r"^```yaml\n(.*?)^```$", (EXPERIMENTS / "README.md").read_text("utf-8"), re.M | re.S
    )
    assert shown
    (tmp_path / "width").mkdir()
    (tmp_path / "width" / "study.yaml").write_text(shown[1])
    assert len(studies.find("width", tmp_path).plan) == 10
    keys = re.findall(r"^(\w+):", shown[1], re.M)
    assert keys == list(studies.Schema.__dataclass_fields__)


@pytest.mark.parametrize("name", NAMES)
def test_results_are_of_the_configs_that_the_study_names(name: str) -> None:
    study = studies.find(name, EXPERIMENTS)
    rows = published.from_csv(study, study.folder / publishing.RESULTS)
    assert list(publishing.plan_problems(study, rows)) == []
    assert len(study.asked.seeds) >= 5
    assert len({row.run_id for row in rows}) == len(rows) == len(study.plan)
    assert len({row.dataset for row in rows}) == len({row.commit for row in rows}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_table_verdict_and_figures_are_those_of_the_results(name: str) -> None:
    study = studies.find(name, EXPERIMENTS)
    rows = published.from_csv(study, study.folder / publishing.RESULTS)
    assert list(publishing.page_problems(study, rows)) == []


@pytest.mark.parametrize("name", NAMES)
def test_conclusion_in_words_holds_for_the_numbers(name: str) -> None:
    study = studies.find(name, EXPERIMENTS)
    rows = published.from_csv(study, study.folder / publishing.RESULTS)
    page = (study.folder / "README.md").read_text("utf-8")
    said = " ".join(page.partition("## Conclusion")[2].partition("## ")[0].split())
    assert said
    if study.asked.kind == Kind.same:
        same = all((row.difference or 0.0) <= study.asked.tolerance for row in rows)
        assert said.startswith("Yes." if same else "No.")
        return
    for paired in published.compared(study, rows):
        verdict = "" if paired.larger else "not "
        assert f"`{paired.metric}` against `{study.asked.baseline}`: {verdict}larger than" in said
