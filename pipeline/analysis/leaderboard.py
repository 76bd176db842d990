"""Recorded runs as rows: what they reached, how they differ, the best first.

Plain runs in, plain rows out. With ``group="seed"`` the runs that differ in nothing but the seed
become one row, with mean, sample standard deviation and number.
"""

from __future__ import annotations

import fnmatch
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.analysis.differences import NOT_CONFIG, differing, plain
from pipeline.analysis.filters import Keys, Value, duration, number
from pipeline.errors import ConfigError, did_you_mean
from pipeline.tracking.runs import Run

SHOWN_ID = 8  # characters of a run id; enough to give it again
PRUNED_TAG = "sweep/pruned"
SPACE_TAG = "sweep/space"  # of a sweep's parent run


@dataclass(frozen=True)
class Objective:
    """What runs are ranked by."""

    metric: str
    maximise: bool

    def __str__(self) -> str:
        return f"{'highest' if self.maximise else 'lowest'} {self.metric}"


@dataclass(frozen=True)
class Score:
    """A value of one run, or the mean over several.

    Attributes:
        deviation: sample standard deviation (n - 1); None for fewer than two values.
        count: values that are finite. Of several runs only those count that finished, unpruned.
    """

    value: float | None
    deviation: float | None = None
    count: int = 1


@dataclass(frozen=True)
class Row:
    """One run, or the runs of one group.

    Attributes:
        runs: of a group the newest first.
        config: the values of the board's ``keys``; None where a run lacks the key.
        duration: seconds, of a group the mean; None while it runs.
        status: of a group the statuses with their numbers.
    """

    runs: tuple[Run, ...]
    objective: Objective | None
    score: Score
    metrics: dict[str, Score]
    config: dict[str, str | None]
    duration: float | None
    status: str

    @property
    def run_id(self) -> str:
        """The id of the run, of a group that of the newest."""
        return self.runs[0].run_id


@dataclass(frozen=True)
class Leaderboard:
    """Rows in order, and what their columns are.

    Attributes:
        objectives: each that a run has, the most frequent first.
        metrics: columns beside the objective.
        keys: the config keys that differ, which are columns.
        notes: what the reader should know of the numbers.
    """

    rows: list[Row]
    objectives: list[Objective]
    metrics: list[str]
    keys: list[str]
    group: str | None
    notes: list[str]


def leaderboard(
    runs: Sequence[Run],
    *,
    metrics: Sequence[str] = (),
    sort: str | None = None,
    group: str | None = None,
) -> Leaderboard:
    """The rows of ``runs``.

    Args:
        metrics: patterns of names to show beside the objective and ``test/*``: ``val/*``.
        sort: a key, as a filter names it, or ``objective``, perhaps followed by ``asc`` or
            ``desc``; by default the objective, the best first. What lacks the key comes last.
        group: a config key, in which the runs of one row may differ.

    Raises:
        ConfigError: there is no such key or metric.
    """
    _require_key(group, runs)
    columns = metric_columns(runs, metrics)
    objectives = Counter(found for run in runs if (found := objective_of(run)) is not None)
    ranked = [each for each, _ in objectives.most_common()]
    different = differing(runs)
    keys = [key for key in different if key != group]
    rows = [_row(members, columns, keys) for members in _groups(runs, group)]
    notes = []
    if len(ranked) > 1:
        counts = ", ".join(f"{name} ({count} runs)" for name, count in objectives.most_common())
        notes.append(f"the runs have different objectives, and are ranked within each: {counts}")
    notes += [
        f"the same as {key} in every run: {', '.join(different[key])}"
        for key in keys
        if different[key]
    ]
    return Leaderboard(_sorted(rows, sort, ranked, runs), ranked, columns, keys, group, notes)


def objective_of(run: Run) -> Objective | None:
    """What the run's config says that it is to be judged by."""
    metric = run.params.get("objective.metric")
    if metric is None:
        return None
    return Objective(metric, run.params.get("objective.mode", "max") == "max")


def value_of(run: Run, metric: str) -> float | None:
    """The best value of the objective, where that is meant and known; else the last value."""
    found = objective_of(run)
    if found is not None and metric == found.metric and f"best/{metric}" in run.metrics:
        return run.metrics[f"best/{metric}"]
    return run.metrics.get(metric)


def counts(run: Run) -> bool:
    """Whether a run's values may stand for its config: it went to its end."""
    return run.status == "FINISHED" and PRUNED_TAG not in run.tags


def siblings(run: Run, runs: Iterable[Run], group: str) -> list[Run]:
    """The ``runs`` whose config is that of ``run`` in everything but the key ``group``."""
    same = _identity(run, group)
    return [other for other in runs if _identity(other, group) == same]


# Columns -----------------------------------------------------------------------------------------


def _require_key(group: str | None, runs: Sequence[Run]) -> None:
    known = {key for run in runs for key in run.params}
    if group is not None and runs and group not in known:
        raise ConfigError(f"--group {group}: no run has that key. {did_you_mean(group, known)}")


def metric_columns(runs: Sequence[Run], asked: Sequence[str]) -> list[str]:
    """Metrics to show beside the objective: those of the test split, and what is asked for."""
    of_test = sorted({key for run in runs for key in run.metrics if key.startswith("test/")})
    return list(dict.fromkeys([*of_test, *asked_metrics(runs, asked)]))


def asked_metrics(runs: Sequence[Run], asked: Sequence[str]) -> list[str]:
    """The metrics of ``runs`` that fit the patterns ``asked``.

    Raises:
        ConfigError: none fits one of them.
    """
    known = sorted({key for run in runs for key in run.metrics})
    found = []
    for pattern in asked:
        fitting = fnmatch.filter(known, pattern)
        if runs and not fitting:
            raise ConfigError(f"--metrics {pattern}: no run has it. {did_you_mean(pattern, known)}")
        found += fitting
    return found


# Rows --------------------------------------------------------------------------------------------


def _groups(runs: Sequence[Run], group: str | None) -> list[list[Run]]:
    if group is None:
        return [[run] for run in runs]
    found: dict[object, list[Run]] = defaultdict(list)
    for run in runs:
        found[_identity(run, group)].append(run)
    return list(found.values())


def _identity(run: Run, group: str) -> object:
    """What the runs of one group have in common; a number is one number however it is written."""
    return frozenset(
        (key, plain(value))
        for key, value in run.params.items()
        if key != group and not key.startswith(NOT_CONFIG)
    )


def _row(runs: Sequence[Run], columns: Sequence[str], keys: Sequence[str]) -> Row:
    objective = objective_of(runs[0])
    seconds = [each for run in runs if (each := duration(run)) is not None]
    return Row(
        runs=tuple(runs),
        objective=objective,
        score=_score(runs, objective.metric) if objective else Score(None, count=0),
        metrics={name: _score(runs, name, best=False) for name in columns},
        config={key: runs[0].params.get(key) for key in keys},
        duration=statistics.fmean(seconds) if seconds else None,
        status=_status(runs),
    )


def _score(runs: Sequence[Run], metric: str, best: bool = True) -> Score:
    read: Callable[[Run], float | None] = (
        (lambda run: value_of(run, metric)) if best else (lambda run: run.metrics.get(metric))
    )
    if len(runs) == 1:
        value = read(runs[0])
        return Score(value, count=int(value is not None and math.isfinite(value)))
    values = [v for run in runs if counts(run) and (v := read(run)) is not None]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Score(values[0] if values else None, count=0)
    deviation = statistics.stdev(finite) if len(finite) > 1 else None
    return Score(statistics.fmean(finite), deviation, len(finite))


def _status(runs: Sequence[Run]) -> str:
    found = Counter("PRUNED" if PRUNED_TAG in run.tags else run.status for run in runs)
    if len(runs) == 1:
        return next(iter(found))
    return ", ".join(f"{count} {status}" for status, count in found.most_common())


# Order -------------------------------------------------------------------------------------------


def _sorted(
    rows: list[Row], sort: str | None, ranked: Sequence[Objective], runs: Sequence[Run]
) -> list[Row]:
    words = (sort or "objective").rsplit(maxsplit=1)
    order = words[1].lower() if len(words) > 1 and words[1].lower() in ("asc", "desc") else None
    key = words[0] if order else " ".join(words)
    if key == "objective":
        place = {objective: index for index, objective in enumerate(ranked)}

        def by_objective(row: Row) -> tuple[int, int, float]:
            if row.objective is None:
                return len(place), 1, 0.0
            down = row.objective.maximise if order is None else order == "desc"
            return place[row.objective], *_place(row.score.value, down)

        return sorted(rows, key=by_objective)
    try:
        read = Keys(runs).reader(key)
    except ConfigError as error:
        raise ConfigError(f"--sort {sort}: {error}") from None
    name = key.removeprefix("metrics.")
    best = next((o for o in ranked if name in (o.metric, f"best/{o.metric}")), None)
    down = order == "desc" if order else best is not None and best.maximise
    known = [(row, values) for row in rows if (values := _known(read, row.runs))]
    rest = [row for row in rows if not _known(read, row.runs)]
    if all(number(value) is not None for _, values in known for value in values):
        known.sort(key=lambda pair: _place(_mean(pair[1]), down))
    else:
        known.sort(key=lambda pair: str(pair[1][0]), reverse=down)
    return [row for row, _ in known] + rest


def _known(read: Callable[[Run], Value], runs: Iterable[Run]) -> list[str | float]:
    return [value for run in runs if (value := read(run)) is not None]


def _mean(values: Iterable[Value]) -> float | None:
    known = [v for value in values if (v := number(value)) is not None and not math.isnan(v)]
    return sum(known) / len(known) if known else None


def _place(value: float | None, down: bool) -> tuple[int, float]:
    """Where a value stands: NaN and what is missing come last either way."""
    if value is None or math.isnan(value):
        return 1, 0.0
    return 0, -value if down else value
