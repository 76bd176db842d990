"""From words of a command line to runs, and from two sides of runs to what differs between them.

A word names runs in one of these ways, tried in this order:

- the name of an experiment: all its runs, less the parents of sweeps;
- a filter, which it is where it compares something: those that it fits, of the experiment that
  ``tracking.experiment`` names, else of the one of the newest run;
- a list of experiments, run ids (or beginnings of them) and ``latest``, with commas between. The
  id of a sweep's parent stands for its trials.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.analysis import filters
from pipeline.analysis.differences import differing
from pipeline.analysis.leaderboard import (
    PRUNED_TAG,
    SPACE_TAG,
    Objective,
    counts,
    objective_of,
    siblings,
    value_of,
)
from pipeline.errors import ConfigError, StoreError, did_you_mean
from pipeline.tracking.runs import Run, Runs, find

COMPARES = re.compile(r"[<>=!]|\s(in|like)\b")
SHOWN_ID = 8  # characters; enough to give it again
# What two sides should have in common, for a difference between them to be one of the config.
CONDITIONS = {
    "digest/training": "training data",
    "digest/validation": "validation data",
    "digest/test": "test data",
    "mlflow.source.git.commit": "code",
}


class Chosen:
    """What the words choose from one store."""

    def __init__(self, runs: Runs, experiment: str | None) -> None:
        self.runs = runs
        self._given = experiment

    @cached_property
    def experiments(self) -> list[str]:
        """All there are, that of the newest run first."""
        return self.runs.experiments()

    @cached_property
    def experiment(self) -> str:
        """The one that is meant where none is named.

        Raises:
            StoreError: there is no such experiment, or none at all.
        """
        name = self._given or next(iter(self.experiments), None)
        if name is None:
            raise StoreError("The store holds no runs yet.")
        if name not in self.experiments:
            raise StoreError(
                f"There is no experiment {name!r}. {did_you_mean(name, self.experiments)}"
            )
        return name

    @cached_property
    def everything(self) -> list[Run]:
        """The runs of that experiment."""
        return self._of_experiment(self.experiment)

    def by(self, word: str) -> list[Run]:
        """The runs that a word names.

        Raises:
            UserError: it names none; the text says what there is.
        """
        if word in self.experiments:
            return self._of_experiment(word)
        if COMPARES.search(word):
            condition = filters.parse(word, self.everything)
            found = [run for run in self.everything if condition(run)]
            if not found:
                raise StoreError(f"No run of experiment {self.experiment!r} fits {word!r}.")
            return found
        found = [run for part in word.split(",") if part for run in self._of(part.strip())]
        return list({run.run_id: run for run in found}.values())

    def group_of(self, runs: Sequence[Run], key: str) -> list[Run]:
        """``runs`` and those of the same experiments that differ from them in ``key`` alone."""
        found = {run.run_id: run for run in runs}
        for run in runs:
            for other in siblings(run, self._of_experiment(run.experiment), key):
                found.setdefault(other.run_id, other)
        return list(found.values())

    def _of(self, word: str) -> list[Run]:
        if word in self.experiments:
            return self._of_experiment(word)
        if word == "latest":
            newest = self.runs.beginning("")
            return self.runs.read(ids=newest[:1])
        try:
            run_id = find(self.runs, word)
        except StoreError as error:
            if "Several" in str(error) or not self.experiments:
                raise
            raise StoreError(
                f"{word!r} is no experiment, and no run. {did_you_mean(word, self.experiments)} "
                f"{error}"
            ) from None
        [run] = self.runs.read(ids=[run_id])
        if SPACE_TAG not in run.tags:
            return [run]
        trials = self.runs.read(parent=run_id)
        if not trials:
            raise StoreError(f"The sweep {run_id} has no trials yet.")
        return trials

    def _of_experiment(self, name: str) -> list[Run]:
        if name not in self._read:
            found = self.runs.read(experiment=name)
            self._read[name] = [run for run in found if SPACE_TAG not in run.tags]
        return self._read[name]

    @cached_property
    def _read(self) -> dict[str, list[Run]]:
        return {}


@dataclass(frozen=True)
class Side:
    """One config, in the runs of its seeds.

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

    def values(self, metric: str, best: bool = False) -> dict[str, float]:
        """By seed. ``best``: of the objective the best value, where it is known."""
        read = (
            (lambda run: value_of(run, metric)) if best else (lambda run: run.metrics.get(metric))
        )
        return {seed: value for seed, run in self.runs.items() if (value := read(run)) is not None}


def side(label: str, runs: Sequence[Run], key: str) -> Side:
    """The runs of one config that count, one for each value of ``key``.

    Raises:
        ConfigError: none counts, or they are runs of several configs.
    """
    left_out, usable = [], []
    for run in runs:
        if counts(run):
            usable.append(run)
        else:
            state = "pruned" if PRUNED_TAG in run.tags else run.status
            left_out.append(f"{run.run_id[:SHOWN_ID]}: {state}")
    if not usable:
        told = f" ({', '.join(left_out)})" if left_out else ""
        raise ConfigError(f"{label} has no run that finished{told}: there is nothing to compare.")
    if several := [other for other in differing(usable) if other != key]:
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


def common_objective(a: Side, b: Side) -> Objective | None:
    """What both sides are to be judged by; None where they disagree, or do not say."""
    found = {objective_of(run) for each in (a, b) for run in each.runs.values()}
    return next(iter(found)) if len(found) == 1 else None


def other_conditions(a: Side, b: Side) -> list[str]:
    """What differs between the sides beside the config, in words."""
    found = []
    for tag, what in CONDITIONS.items():
        before, after = ({run.tags.get(tag) for run in each.runs.values()} for each in (a, b))
        if before != after:
            found.append(f"A and B have different {what} ({tag})")
    return found


def require_apart(a: Side, b: Side) -> None:
    """Raise ``ConfigError`` where a run is on both sides."""
    before = {run.run_id for run in a.runs.values()}
    if both := [run.run_id for run in b.runs.values() if run.run_id in before]:
        raise ConfigError(f"run {both[0][:SHOWN_ID]} is in both A and B: nothing differs there.")
