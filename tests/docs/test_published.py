"""The tables of the pages are those that the studies have written."""

from __future__ import annotations

import csv
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SPEED = PROJECT / "experiments" / "speed"


def _table(page: Path, name: str) -> list[str]:
    marked = re.search(
        rf"<!-- table: {name} -->\n(.*?)<!-- end -->", page.read_text("utf-8"), re.DOTALL
    )
    assert marked, f"{page}: no table {name} between markers"
    return [line for line in marked[1].splitlines() if line]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_speeds_of_the_readme_are_the_study_s() -> None:
    published = (SPEED / "results.md").read_text("utf-8").splitlines()
    shown = _table(PROJECT / "README.md", "speed")
    assert len(shown) == 2 + 4 + 4
    assert [line for line in shown if line not in published] == []


def test_growth_that_is_described_was_measured() -> None:
    page = PROJECT / "docs" / "scaling.md"
    with open(PROJECT / "experiments" / "scaling" / "scaling.csv", newline="") as file:
        measured = list(csv.DictReader(file))
    for name in ("model", "batch", "replicas", "steps", "runs"):
        points = list(dict.fromkeys(row["point"] for row in measured if row["table"] == name))
        assert [_cells(line)[0] for line in _table(page, name)[2:]] == points
        for row in (row for row in measured if row["table"] == name):
            head, line = _table(page, name)[0], _table(page, name)[2 + points.index(row["point"])]
            shown = _cells(line)[_cells(head).index(row["what"])]
            assert abs(float(shown.replace(",", "")) - float(row["value"])) <= 0.01 * float(
                row["value"]
            )
