"""Two configs, each in the runs of its seeds, against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.analysis import statistics
from pipeline.analysis.differences import differing
from pipeline.analysis.leaderboard import (
    PRUNED_TAG,
    SHOWN_ID,
    Objective,
    counts,
    metric_columns,
    objective_of,
)
from pipeline.analysis.statistics import Paired
from pipeline.errors import ConfigError
from pipeline.tracking.runs import Run

# What two sides should have in common, for a difference between them to be one of the config.
CONDITIONS = {
    "digest/training": "training data",
    "digest/validation": "validation data",
    "digest/test": "test data",
    "mlflow.source.git.commit": "code",
}


@dataclass(frozen=True)
class Side:
    """One config.

    Attributes:
        runs: by the value of the key that they differ in, a seed as a rule.
        left_out: runs that do not count, and why.
    """

    label: str
    runs: dict[str, Run]
    left_out: list[str] = field(default_factory=list)

    @property
    def ids(self) -> str:
        """The beginnings of the ids, as a word that names these runs again."""
        return ",".join(run.run_id[:SHOWN_ID] for run in self.runs.values())

    def values(self, metric: str) -> dict[str, float]:
        """The last value of each run that has one, by seed."""
        return {s: run.metrics[metric] for s, run in self.runs.items() if metric in run.metrics}


@dataclass(frozen=True)
class Comparison:
    """B against A.

    Attributes:
        key: what the runs of a side differ in, by which they are paired.
        objective: what both are to be judged by; None where they disagree, or do not say.
        config: the values of A and of B of each key that differs; None where a side lacks it.
        compared: the metrics, the objective first.
        notes: what differs beside the config.
    """

    a: Side
    b: Side
    key: str
    objective: Objective | None
    config: dict[str, tuple[str | None, str | None]]
    compared: list[Paired]
    notes: list[str]

    @property
    def decisive(self) -> str | None:
        """The metric that is decided on alone: that of the objective."""
        return self.compared[0].metric if self.objective and self.compared else None

    @property
    def better(self) -> str | None:
        """The side that is better in the objective, where the difference is larger than noise."""
        if self.objective is None or not self.compared or not self.compared[0].larger:
            return None
        return "B" if (self.compared[0].difference > 0) == self.objective.maximise else "A"


def side(label: str, runs: Sequence[Run], key: str) -> Side:
    """The runs of one config that count, one for each value of ``key``.

    Raises:
        ConfigError: none counts, or they are runs of several configs.
    """
    usable = [run for run in runs if counts(run)]
    states = {run.run_id: "PRUNED" if PRUNED_TAG in run.tags else run.status for run in runs}
    left_out = [f"{i[:SHOWN_ID]}: {state}" for i, state in states.items() if state != "FINISHED"]
    if not usable:
        told = f" ({', '.join(left_out)})" if left_out else ""
        raise ConfigError(f"{label} has no run that finished{told}: there is nothing to compare.")
    if several := [other for other in _all_differing(usable) if other != key]:
        named = ", ".join(several[:4]) + (", …" if len(several) > 4 else "")
        raise ConfigError(
            f"{label} is {len(usable)} runs that differ in more than {key}: {named}. A side is one "
            "config: add conditions, as in 'optimizer.name=adam and seed<3', or list its runs."
        )
    found: dict[str, Run] = {}
    for run in sorted(usable, key=lambda run: run.start or 0, reverse=True):
        value = run.params.get(key, "none")
        if value in found:
            newer = found[value].run_id[:SHOWN_ID]
            left_out.append(f"{run.run_id[:SHOWN_ID]}: {newer} is a newer run of {key} {value}")
        found.setdefault(value, run)
    order = sorted(found, key=lambda value: (len(value), value))
    return Side(label, {value: found[value] for value in order}, left_out)


def compare(a: Side, b: Side, key: str, metrics: Sequence[str] = ()) -> Comparison:
    """Judge B against A by the objective, ``test/*`` and ``metrics`` (names or patterns).

    Raises:
        ConfigError: a run is on both sides, or no run has such a metric.
    """
    before = {run.run_id for run in a.runs.values()}
    if both := [run.run_id for run in b.runs.values() if run.run_id in before]:
        raise ConfigError(f"run {both[0][:SHOWN_ID]} is in both A and B: nothing differs there.")
    runs = [*a.runs.values(), *b.runs.values()]
    objectives = {objective_of(run) for run in runs}
    objective = next(iter(objectives)) if len(objectives) == 1 else None
    names = metric_columns(runs, metrics)
    if objective is not None:
        best = f"best/{objective.metric}"
        names.insert(0, best if all(best in run.metrics for run in runs) else objective.metric)
    values = {name: (a.values(name), b.values(name)) for name in dict.fromkeys(names)}
    one, other = (next(iter(each.runs.values())).params for each in (a, b))
    pair = [next(iter(each.runs.values())) for each in (a, b)]
    notes = _other_conditions(a, b)
    if objective is None:
        notes.append(
            "A and B do not have one objective: no metric is decided on alone, and all p values "
            "are corrected for their number (Holm)"
        )
    return Comparison(
        a=a,
        b=b,
        key=key,
        objective=objective,
        config={k: (one.get(k), other.get(k)) for k in _all_differing(pair) if k != key},
        compared=statistics.judge(values, names[0] if objective else None),
        notes=notes,
    )


def _all_differing(runs: Sequence[Run]) -> list[str]:
    """The keys that differ, and those that have the same values as one of them: of few runs, such
    a key may be another that only happens to agree."""
    return [key for first, copies in differing(runs).items() for key in (first, *copies)]


def _other_conditions(a: Side, b: Side) -> list[str]:
    found = []
    for tag, what in CONDITIONS.items():
        before, after = ({run.tags.get(tag) for run in each.runs.values()} for each in (a, b))
        if before != after:
            found.append(f"A and B have different {what} ({tag})")
    return found
