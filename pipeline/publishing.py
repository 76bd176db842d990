"""What a study publishes, written and checked: results.csv, figures, and the marked parts of pages.

All that is written follows from the runs; everything outside of the markers is a person's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from pipeline import studies
from pipeline.analysis import published, study_figures
from pipeline.analysis.published import Row
from pipeline.analysis.verdict import Difference
from pipeline.config import Tracking
from pipeline.errors import ConfigError
from pipeline.studies import Planned, Study
from pipeline.study_runs import curves_of
from pipeline.tracking.runs import Run, open_runs

RESULTS = "results.csv"
PAGE = "README.md"
REPORT = ("<!-- report:begin -->", "<!-- report:end -->")
INDEX = ("<!-- studies:begin -->", "<!-- studies:end -->")
FIGURES = ("scores", "curves")


def require_page(study: Study) -> None:
    """Make the study's README where there is none, before hours of training.

    Raises:
        ConfigError: there is one, without a place for the table.
    """
    page = study.folder / PAGE
    if not page.exists():
        begin, end = REPORT
        page.write_text(f"# {study.name}\n\n{study.asked.question}\n\n{begin}\n{end}\n", "utf-8")
    _marked(page, REPORT)


def write(
    study: Study, rows: Sequence[Row], found: Mapping[Planned, Run], tracking: Tracking
) -> None:
    """Write results.csv, the figures, the table in the README and the list of studies."""
    text = published.to_csv(study, rows)
    (study.folder / RESULTS).write_text(text, "utf-8")
    digest = _digest(text)
    arms = list(study.asked.arms)
    scores = {a: [row.metrics[study.asked.metric] for row in rows if row.arm == a] for a in arms}
    study_figures.draw_scores(
        scores, study.asked.metric, study.asked.baseline, study.folder / "scores", digest
    )
    with open_runs(tracking) as runs:
        curves = {planned: curves_of(study, run, runs) for planned, run in found.items()}
    panels = {
        metric: {arm: [c[metric] for p, c in curves.items() if p.arm == arm] for arm in arms}
        for metric in study.asked.curves
    }
    study_figures.draw_curves(panels, study.folder / "curves", digest)
    _replace(study.folder / PAGE, REPORT, published.block(study, rows))
    index = study.folder.parent / PAGE
    if index.is_file() and INDEX[0] in index.read_text("utf-8"):
        _replace(index, INDEX, index_text(study.folder.parent))


def index_text(folder: Path) -> str:
    """A line for each study below ``folder``: its question and, where it is published, its answer.

    Raises:
        ConfigError: a study cannot be read.
    """
    lines = []
    for file in sorted(folder.glob(f"*/{studies.STUDY_FILE}")):
        study = studies.read(file.parent)
        question = study.asked.question.strip()
        lines.append(f"- [{study.name}]({study.name}): {question}\n  {_answer(study)}.")
    return "\n".join(lines)


def _answer(study: Study) -> str:
    if not (study.folder / RESULTS).is_file():
        return "not published yet"
    try:
        rows = published.from_csv(study, study.folder / RESULTS)
    except ConfigError:
        rows = []
    asked = {(arm, seed) for arm in study.asked.arms for seed in study.asked.seeds}
    if {(row.arm, row.seed) for row in rows} != asked:
        return "what is published is not what study.yaml asks for now"
    return published.findings(study, rows).answer


# Whether what is published is so ------------------------------------------------------------------


def plan_problems(study: Study, rows: Sequence[Row]) -> Iterator[str]:
    """Where results.csv is not about the runs that study.yaml asks for."""
    planned = {(each.arm, each.seed): each.config for each in study.plan}
    given = {(row.arm, row.seed): row.config for row in rows}
    if len(given) < len(rows):
        yield f"{RESULTS}: an arm has two rows of one seed"
    for arm, seed in sorted(planned.keys() - given.keys()):
        yield f"{RESULTS}: arm {arm}, seed {seed} is missing"
    for arm, seed in sorted(given.keys() - planned.keys()):
        yield f"{RESULTS}: arm {arm}, seed {seed} is not in study.yaml"
    for arm, seed in sorted(planned.keys() & given.keys()):
        if planned[arm, seed] != given[arm, seed]:
            yield f"{RESULTS}: arm {arm}, seed {seed}: its config is another one now"


def row_problems(study: Study, row: Row, now: Row) -> Iterator[str]:
    """Where a row is not, to the last digit, what its run says."""
    there = now.cells(study)
    for column, cell in row.cells(study).items():
        if cell != there[column]:
            yield (
                f"{RESULTS}: arm {row.arm}, seed {row.seed}, {column}: {cell or 'nothing'} is "
                f"published, run {now.run_id[:8]} says {there[column] or 'nothing'}"
            )


def rerun_problems(study: Study, row: Row, now: Row) -> Iterator[str]:
    """Where a row is further than the tolerance from a run that repeats it."""
    for name in study.shown:
        pair = Difference(name, 0, row.metrics[name], now.metrics[name])
        if pair.recorded != pair.now and not pair.relative <= study.asked.rerun_tolerance:
            yield (
                f"{RESULTS}: arm {row.arm}, seed {row.seed}, {name}: {pair.recorded:.9g} is "
                f"published, its repetition {now.run_id[:8]} says {pair.now:.9g}, which is not "
                f"within {study.asked.rerun_tolerance:g}"
            )
    if now.difference is not None and now.difference > study.asked.tolerance:
        yield (
            f"arm {row.arm}, seed {row.seed}: the curves of the repetition {now.run_id[:8]} differ "
            f"by {now.difference:.2g} ({now.where}) from those of {study.asked.baseline}"
        )


def closeness(study: Study, rows: Sequence[Row], again: Sequence[Row]) -> str:
    """In words, how close repetitions came to what is published."""
    recorded = {(row.arm, row.seed): row.metrics for row in rows}
    pairs = [
        Difference(name, 0, recorded[now.arm, now.seed][name], now.metrics[name])
        for now in again
        for name in study.shown
    ]
    largest = max((p.relative for p in pairs if p.recorded != p.now), default=0.0)
    if not largest:
        return "their metrics are bit-identical to what is published"
    return (
        f"their metrics differ by {largest:.2g} at most, relatively; up to "
        f"{study.asked.rerun_tolerance:g} counts as equal"
    )


def page_problems(study: Study, rows: Sequence[Row]) -> Iterator[str]:
    """Where README.md, the list of studies or a figure is not what results.csv gives."""
    page = study.folder / PAGE
    yield from _text_problems(page, REPORT, published.block(study, rows))
    index = study.folder.parent / PAGE
    if index.is_file() and INDEX[0] in index.read_text("utf-8"):
        yield from _text_problems(index, INDEX, index_text(study.folder.parent))
    digest = _digest(published.to_csv(study, rows)).encode()
    for name in FIGURES:
        for ending in study_figures.ENDINGS:
            file = study.folder / f"{name}{ending}"
            if not file.is_file():
                yield f"{file.name} is missing"
            elif digest not in file.read_bytes():
                yield f"{file.name} was drawn with another {RESULTS}"


def _text_problems(page: Path, markers: tuple[str, str], expected: str) -> Iterator[str]:
    before, shown, _ = _marked(page, markers)
    first = before.count("\n") + 2  # the line below the marker, counted from 1
    pairs = zip_longest(shown.strip("\n").split("\n"), expected.split("\n"), fillvalue="")
    for number, (line, right) in enumerate(pairs, first):
        if line == right:
            continue
        words, right_words = line.split(" "), right.split(" ")
        said, asked = line, right
        if len(words) == len(right_words):
            wrong = [(a, b) for a, b in zip(words, right_words, strict=True) if a != b]
            said, asked = (" ".join(side) for side in zip(*wrong, strict=True))
        where = f"{page.parent.name}/{page.name}, line {number}"
        yield f"{where}: {said or 'nothing'} is published, {RESULTS} gives {asked or 'nothing'}"


# Marked parts of pages ----------------------------------------------------------------------------


def _marked(page: Path, markers: tuple[str, str]) -> tuple[str, str, str]:
    """What stands before, between and behind the markers.

    Raises:
        ConfigError: the page lacks them.
    """
    begin, end = markers
    text = page.read_text("utf-8") if page.is_file() else ""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ConfigError(
            f"{page}: needs one line {begin} and below it one line {end}, between which the table "
            "is written"
        )
    before, _, rest = text.partition(begin)
    shown, _, after = rest.partition(end)
    return before, shown, after


def _replace(page: Path, markers: tuple[str, str], text: str) -> None:
    before, _, after = _marked(page, markers)
    page.write_text(f"{before}{markers[0]}\n{text}\n{markers[1]}{after}", "utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
