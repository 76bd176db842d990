"""``python -m pipeline.report <study>``: run what a study lacks, and publish what came of it.

    python -m pipeline.report optimizers
    python -m pipeline.report optimizers --check
    python -m pipeline.report mine folder=studies tracking.root=/data/mlruns

A study is a folder with a study.yaml: a question, arms (configs to compare), seeds, a metric. Runs
that the store has are not run again. Written are results.csv, figures, and the part of the study's
README.md that is between markers; nothing where a run fails.

--check  write nothing; compare what is published with the runs, digit by digit. Where the store
         does not have them, run one seed of each arm again and compare to rerun_tolerance. Exits
         with 1 where a number is not what the runs say
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from pipeline import studies
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.config import Report
from pipeline.console import Console, complain
from pipeline.errors import ConfigError, StoreError, did_you_mean, flag
from pipeline.studies import Kind, Planned, Study

FLAGS = {"--check": "check=true"}


def publish(study: Study, config: DictConfig, words: Sequence[str]) -> int:
    """Run what is missing and write everything. Returns the exit code."""
    from pipeline import publishing, study_runs
    from pipeline.analysis import published

    console = Console()
    publishing.require_page(study)
    known = study_runs.by_config(study_runs.recorded(study, config.tracking))
    missing = [planned for planned in study.plan if planned.config not in known]
    there = len(study.plan) - len(missing)
    console.line(f"study {study.name}: {there} of {len(study.plan)} runs are in the store")
    if missing:
        study_runs.run_missing(study, missing, words)
        known = study_runs.by_config(study_runs.recorded(study, config.tracking))
    found = {p: known[p.config] for p in study.plan if p.config in known}
    _require_all(study.plan, list(found))
    rows = study_runs.rows(study, found, config.tracking)
    publishing.write(study, rows, found, config.tracking)
    findings = published.findings(study, rows)
    console.whole_table(findings.columns, findings.table)
    for sentence in findings.sentences:
        console.line(sentence.replace("**", ""))
    console.line(f"published in {study.folder}: results.csv, README.md, 4 figures")
    return 0


def check(study: Study, config: DictConfig, words: Sequence[str]) -> int:
    """Say where what is published is not so. Returns the exit code."""
    from pipeline import publishing, study_runs
    from pipeline.analysis import published

    console = Console()
    rows = published.from_csv(study, study.folder / publishing.RESULTS)
    problems = list(publishing.plan_problems(study, rows))
    if not problems:
        problems += publishing.page_problems(study, rows)
        planned = {(each.arm, each.seed): each for each in study.plan}
        recorded = study_runs.recorded(study, config.tracking)
        by_id = {run.run_id: run for run in recorded}
        held = {planned[r.arm, r.seed]: by_id[r.run_id] for r in rows if r.run_id in by_id}
        if study.asked.kind == Kind.same:  # differences are from the baseline's run
            bases = {each.seed for each in held if each.arm == study.asked.baseline}
            held = {each: run for each, run in held.items() if each.seed in bases}
        by_place = {(row.arm, row.seed): row for row in rows}
        for now in study_runs.rows(study, held, config.tracking) if held else []:
            problems += publishing.row_problems(study, by_place[now.arm, now.seed], now)
        console.line(f"{len(held)} of {len(rows)} runs are in the store and were read again")
        sample = _sample(study, set(held))
        if sample:
            known = study_runs.by_config(recorded)
            missing = [each for each in sample if each.config not in known]
            console.line(f"of the others a sample of {len(sample)}, {len(missing)} of them to run")
            began = time.monotonic()
            study_runs.run_missing(study, missing, words)
            if missing:
                console.line(f"the sample took {time.monotonic() - began:.0f} s")
            known = study_runs.by_config(study_runs.recorded(study, config.tracking))
            again = {each: known[each.config] for each in sample if each.config in known}
            _require_all(sample, list(again))
            repeated = study_runs.rows(study, again, config.tracking)
            console.line(publishing.closeness(study, rows, repeated))
            for now in repeated:
                problems += publishing.rerun_problems(study, by_place[now.arm, now.seed], now)
    for problem in problems:
        complain(problem)
    console.line(
        f"study {study.name}: "
        + (f"not as published, {len(problems)} times" if problems else "as published")
    )
    return 1 if problems else 0


def _sample(study: Study, held: set[Planned]) -> list[Planned]:
    """One seed, the first that is not held, of each arm that has such; the baseline's as well where
    the others are measured from it."""
    lacking = [planned for planned in study.plan if planned not in held]
    if study.asked.kind == Kind.same and lacking:
        return [planned for planned in study.plan if planned.seed == lacking[0].seed]
    return list({planned.arm: planned for planned in reversed(lacking)}.values())[::-1]


def _require_all(plan: Sequence[Planned], found: Sequence[Planned]) -> None:
    if lacking := [planned for planned in plan if planned not in found]:
        names = ", ".join(f"{p.arm} seed {p.seed}" for p in lacking[:4])
        raise StoreError(
            f"{len(lacking)} runs ended but are not FINISHED in the store ({names}); what has not "
            "reached it is in its journal, and the same command goes on."
        )


# The command line --------------------------------------------------------------------------------


def configured(words: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """This verb's config, and the words that say where runs are kept.

    Raises:
        ConfigError: an unknown flag, or not one study.
    """
    names = {field.name for field in dataclasses.fields(Report)}
    chosen: list[str] = []
    own: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            own.append(flag(word, FLAGS))
        elif key == "study" or not equals:
            chosen.append(value if equals else word)
        else:
            if (first := key.lstrip("+~").partition(".")[0].partition("@")[0]) not in names:
                raise ConfigError(
                    f"{word}: this verb has no {first!r}; what is trained stands in study.yaml. "
                    f"{did_you_mean(first, names)}"
                )
            own.append(word)
    config = compose("report", own)
    if len(chosen) != 1 or not chosen[0]:
        given = f"{', '.join(chosen)} are given; " if len(chosen) > 1 else ""
        there = ", ".join(studies.names(Path(config.folder))) or "none"
        raise ConfigError(
            f"{given}give the name of one study, pipeline.report <study>. In {config.folder}: "
            f"{there}."
        )
    config.study = chosen[0]
    return config, [word for word in own if word.lstrip("+").startswith("tracking")]


def main(words: Sequence[str]) -> int:
    """Publish a study, or check what it has published. Returns the exit code."""
    config, tracking = configured(words)
    if config.tracking.kind == "off":
        raise ConfigError("tracking=off keeps no runs, and a study is made of them.")
    study = studies.find(config.study, Path(config.folder))
    return (check if config.check else publish)(study, config, tracking)


if __name__ == "__main__":
    verb(main, __doc__)
