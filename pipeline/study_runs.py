"""The runs of a study: those that the store has, those that are missing, and their numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline import worktree
from pipeline.analysis import verdict
from pipeline.analysis.leaderboard import counts
from pipeline.analysis.published import Row
from pipeline.config import Tracking
from pipeline.console import Console
from pipeline.errors import ConfigError, TrainingError, did_you_mean
from pipeline.signals import Stopped, StopSignals
from pipeline.studies import Kind, Planned, Study
from pipeline.tracking.location import locate
from pipeline.tracking.runs import Run, Runs, open_runs

CONFIG_TAG = "digest/config"
DATASET_TAG = "dataset.digest"
COMMIT_TAG = "mlflow.source.git.commit"

Curves = Mapping[str, Sequence[tuple[int, float]]]


def recorded(study: Study, tracking: Tracking) -> list[Run]:
    """The runs of the study that went to their end, the newest first; none in a store that is not
    there yet."""
    database = locate(tracking).database
    if database is not None and not database.exists():
        return []
    with open_runs(tracking) as runs:
        return [run for run in runs.read(experiment=study.experiment) if counts(run)]


def by_config(runs: Iterable[Run]) -> dict[str, Run]:
    """The newest run of each config."""
    found: dict[str, Run] = {}
    for run in runs:
        found.setdefault(run.tags.get(CONFIG_TAG, ""), run)
    return found


def run_missing(study: Study, missing: Collection[Planned], words: Sequence[str]) -> None:
    """Train what is missing: one sweep an arm, whose trials share one warm process.

    Args:
        words: overrides of ``tracking``, as on the command line.

    Raises:
        TrainingError: a trial failed. What finished stays in the store.
        SystemExit: stopped by Ctrl-C (130) or SIGTERM (143).
    """
    console = Console()
    folder = [f"--config-dir={study.config_dir}"] if study.config_dir else []
    arms = [arm for arm in study.asked.arms if any(each.arm == arm for each in missing)]
    for number, arm in enumerate(arms, 1):
        seeds = [str(planned.seed) for planned in missing if planned.arm == arm]
        console.line(f"arm {arm} ({number} of {len(arms)}): seed {', '.join(seeds)}")
        command = [sys.executable, "-m", "pipeline.train", "-m", *folder, *study.overrides(arm)]
        command += [f"seed={','.join(seeds)}", *words, f"tracking.experiment={study.experiment}"]
        with StopSignals():
            try:
                code = worktree.run_in(Path.cwd(), command, {})
            except Stopped as stopped:
                raise SystemExit(stopped.exit_code) from None
        if code in (130, 143):
            raise SystemExit(code)
        if code:
            raise TrainingError(
                f"arm {arm}: not all of its runs finished, the lines above say why; nothing is "
                "published. What did finish is kept: the same command runs the rest."
            )


def rows(study: Study, found: Mapping[Planned, Run], tracking: Tracking) -> list[Row]:
    """What each run of the plan came to.

    Args:
        found: a run for each; of kind same those of the baseline with the same seeds too.

    Raises:
        ConfigError: a run has no such metric.
    """
    made = []
    with open_runs(tracking) as runs:
        curves = {
            planned: curves_of(study, run, runs) if study.asked.kind == Kind.same else {}
            for planned, run in found.items()
        }
    baselines = {p.seed: curves[p] for p in found if p.arm == study.asked.baseline}
    for planned, run in found.items():
        for name in study.shown:
            _require(study, name, run.metrics, run)
        difference: tuple[float, str, int] | tuple[None, str, int] = (None, "", 0)
        if study.asked.kind == Kind.same and planned.arm != study.asked.baseline:
            difference = _difference(study, baselines[planned.seed], curves[planned])
        made.append(
            Row(
                arm=planned.arm,
                seed=planned.seed,
                run_id=run.run_id,
                metrics={name: run.metrics[name] for name in study.shown},
                config=planned.config,
                dataset=run.tags.get(DATASET_TAG, ""),
                commit=run.tags.get(COMMIT_TAG, ""),
                difference=difference[0],
                where=difference[1],
                points=difference[2],
            )
        )
    return made


def curves_of(study: Study, run: Run, runs: Runs) -> dict[str, list[tuple[int, float]]]:
    """The metrics over training that the study draws and, of kind same, compares.

    Raises:
        ConfigError: the run has no such metric.
    """
    for name in study.asked.curves:
        _require(study, name, run.metrics, run)
    return {name: runs.history(run.run_id, name) for name in study.asked.curves}


def _difference(study: Study, baseline: Curves, now: Curves) -> tuple[float, str, int]:
    """The largest relative difference, where it is, and of how many points it is the largest."""
    found = verdict.compare(baseline, now, tolerance=study.asked.tolerance)
    worst = found.largest
    if found.first is not None and math.isinf(found.first.relative):
        worst = found.first  # a point that one of the two lacks, or that is not finite
    if worst is None:
        return 0.0, "", found.points
    return worst.relative, f"{worst.metric} at step {worst.step}", found.points


def _require(study: Study, name: str, known: Mapping[str, float], run: Run) -> None:
    if name not in known:
        raise ConfigError(
            f"{study.folder / 'study.yaml'}: {name}: run {run.run_id[:8]} has no such metric. "
            f"{did_you_mean(name, known)}"
        )
